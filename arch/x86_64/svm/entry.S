/* SPDX-License-Identifier: MIT */
/*
 * void svm_enter(uint64_t vmcb_pa, uint64_t gpr[16], uint64_t host_pa)
 *
 * VMRUN and #VMEXIT switch CS SS DS ES, GDTR, IDTR, the control registers,
 * RFLAGS, RIP, RSP and RAX (APM vol. 2, 15.5.1 and 15.6). VMLOAD and VMSAVE do
 * FS GS TR LDTR and the system call MSRs; the other registers are ours to do.
 *
 * From CLGI to STGI nothing interrupts us, not even an NMI: our per-CPU base
 * and our TSS are not loaded for a while. RFLAGS.IF must be set when VMRUN
 * executes, or no physical interrupt would reach us out of the guest (15.21.1,
 * V_INTR_MASKING). An NMI that ended the guest's run is taken at STGI.
 */
	.text
	.globl	svm_enter
	.type	svm_enter, @function
svm_enter:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rsi
	mov	%rdi, %rax
	clgi
	sti
	vmload	%rax

	mov	8(%rsi), %rcx
	mov	16(%rsi), %rdx
	mov	24(%rsi), %rbx
	mov	40(%rsi), %rbp
	mov	56(%rsi), %rdi
	mov	64(%rsi), %r8
	mov	72(%rsi), %r9
	mov	80(%rsi), %r10
	mov	88(%rsi), %r11
	mov	96(%rsi), %r12
	mov	104(%rsi), %r13
	mov	112(%rsi), %r14
	mov	120(%rsi), %r15
	mov	48(%rsi), %rsi

	vmrun	%rax
	.globl	svm_landing
svm_landing:
	vmsave	%rax

	mov	(%rsp), %rax
	mov	%rcx, 8(%rax)
	mov	%rdx, 16(%rax)
	mov	%rbx, 24(%rax)
	mov	%rbp, 40(%rax)
	mov	%rsi, 48(%rax)
	mov	%rdi, 56(%rax)
	mov	%r8, 64(%rax)
	mov	%r9, 72(%rax)
	mov	%r10, 80(%rax)
	mov	%r11, 88(%rax)
	mov	%r12, 96(%rax)
	mov	%r13, 104(%rax)
	mov	%r14, 112(%rax)
	mov	%r15, 120(%rax)

	mov	8(%rsp), %rax
	vmload	%rax
	cli
	stgi

	/* Return predictions that the guest trained end here (spec_plan.c). */
	testb	$1, spec_fill_rsb(%rip)
	jnz	2f
	/* No RET is predicted before the fill has retired, nor past the branch around it, nor past
	 * the loop's (Linux, arch/x86/include/asm/nospec-branch.h, __FILL_RETURN_BUFFER). LFENCE is
	 * a barrier where DE_CFG says so (spec.c:spec_de_cfg). */
1:
	lfence
	/* Nothing of the guest's is left for our code to speculate with. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	add	$16, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

	/* Thirty-two calls that never return: each fills one entry with an address of ours. */
2:
	mov	$16, %ecx
3:
	call	4f
	int3
4:
	call	5f
	int3
5:
	add	$16, %rsp
	dec	%ecx
	jnz	3b
	jmp	1b
	.size	svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
