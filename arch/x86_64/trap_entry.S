/* SPDX-License-Identifier: MIT */
/*
 * One stub a vector: pushes an error code where the CPU does not (SDM vol. 3,
 * 6.13), the vector, all registers, and calls trap_dispatch(struct trap_frame *).
 */
	.text
	.balign 16
	.global trap_stubs
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	/* 8 #DF, 10-14, 17 #AC, 21 #CP, 29 #VC, 30 #SX */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

	.balign 16
trap_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	movq %rsp, %rbp
	andq $-16, %rsp
	call trap_dispatch
	movq %rbp, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
