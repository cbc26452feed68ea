/* SPDX-License-Identifier: MIT */
/* uint64_t narrow_call(rdi = eax, rsi = ebx, rdx = ecx, rcx = edx, r8 = VMMCALL?): into a 32-bit
 * segment by far return, the call, and back by far jump. Everything lies below 4 GiB. */
#include "guests/lib/cpu.h"

	.text
	.globl narrow_call
narrow_call:
	push %rbx
	push %rbp
	mov %rsp, %rbp
	mov %rdi, %rax
	mov %rsi, %rbx
	mov %rcx, %r11
	mov %rdx, %rcx
	mov %r11, %rdx
	test %r8, %r8
	lea 1f(%rip), %r9
	lea 2f(%rip), %r10
	cmovnz %r10, %r9
	push $SEL_CODE32
	push %r9
	lretq
	.code32
1:	vmcall
	ljmp $SEL_CODE64, $3f
2:	vmmcall
	ljmp $SEL_CODE64, $3f
	.code64
3:	mov %rbp, %rsp
	pop %rbp
	pop %rbx
	ret
	.section .note.GNU-stack, "", @progbits
