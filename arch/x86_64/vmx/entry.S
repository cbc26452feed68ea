/* SPDX-License-Identifier: MIT */
/*
 * bool vmx_enter(struct guest_regs *regs, bool launched, uint64_t *host_rsp)
 *
 * Into the guest and back. General registers are switched here, all but RSP,
 * which the VMCS holds. HOST_RSP is written only when it differs from the last
 * time. Returns 0 after a VM exit, 1 if VMLAUNCH or VMRESUME failed.
 *
 * After an exit the caller-saved registers are cleared, so that no value of the
 * guest's is left where speculation in the handler could use it.
 */
#define HOST_RSP_FIELD 0x6c14

#define RAX 0x00
#define RCX 0x08
#define RDX 0x10
#define RBX 0x18
#define RBP 0x28
#define RSI 0x30
#define RDI 0x38

	.text
	.globl	vmx_enter
	.type	vmx_enter, @function
vmx_enter:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi			/* regs, found again at the exit */
	cmpq	%rsp, (%rdx)
	je	1f
	movq	%rsp, (%rdx)
	movl	$HOST_RSP_FIELD, %eax
	vmwrite	%rsp, %rax
1:	testb	%sil, %sil		/* ZF: launched; MOV keeps the flags */
	movq	RAX(%rdi), %rax
	movq	RCX(%rdi), %rcx
	movq	RDX(%rdi), %rdx
	movq	RBX(%rdi), %rbx
	movq	RBP(%rdi), %rbp
	movq	RSI(%rdi), %rsi
	movq	0x40(%rdi), %r8
	movq	0x48(%rdi), %r9
	movq	0x50(%rdi), %r10
	movq	0x58(%rdi), %r11
	movq	0x60(%rdi), %r12
	movq	0x68(%rdi), %r13
	movq	0x70(%rdi), %r14
	movq	0x78(%rdi), %r15
	movq	RDI(%rdi), %rdi
	jz	2f
	vmresume
	jmp	3f
2:	vmlaunch
3:	movl	$1, %eax		/* only a failure comes here */
	addq	$8, %rsp
	jmp	4f

	.globl	vmx_exit_point
	.type	vmx_exit_point, @function
vmx_exit_point:
	pushq	%rdi
	movq	8(%rsp), %rdi
	movq	%rax, RAX(%rdi)
	movq	%rcx, RCX(%rdi)
	movq	%rdx, RDX(%rdi)
	movq	%rbx, RBX(%rdi)
	movq	%rbp, RBP(%rdi)
	movq	%rsi, RSI(%rdi)
	movq	%r8, 0x40(%rdi)
	movq	%r9, 0x48(%rdi)
	movq	%r10, 0x50(%rdi)
	movq	%r11, 0x58(%rdi)
	movq	%r12, 0x60(%rdi)
	movq	%r13, 0x68(%rdi)
	movq	%r14, 0x70(%rdi)
	movq	%r15, 0x78(%rdi)
	popq	RDI(%rdi)
	addq	$8, %rsp
	/* Return predictions that the guest trained end here (spec_plan.c). */
	testb	$1, spec_fill_rsb(%rip)
	jnz	5f
	/*
	 * No RET is predicted before the fill has retired, nor past the branch around it: on CPUs
	 * with PBRSB an unbalanced one would take the guest's entry (CVE-2022-26373; Intel,
	 * "Post-barrier Return Stack Buffer Predictions": a CALL and an LFENCE after the exit).
	 */
6:	lfence
	xorl	%eax, %eax
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
4:	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret

	/* Thirty-two calls that never return: each fills one entry with an address of ours. */
5:	.rept	32
	call	7f
	int3
7:
	.endr
	addq	$(32 * 8), %rsp
	/* CPUs with legacy IBRS all fill the return stack buffer too. */
	testb	$1, spec_ibrs_at_exit(%rip)
	jz	6b
	subq	$8, %rsp		/* the ABI's alignment */
	call	spec_after_exit
	addq	$8, %rsp
	jmp	6b
	.size	vmx_enter, . - vmx_enter

	.section .note.GNU-stack, "", @progbits
