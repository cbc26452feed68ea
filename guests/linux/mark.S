/* SPDX-License-Identifier: MIT */
/*
 * mark WORD: execute the NOP that tests/bench/count_plugin.c knows, with WORD's
 * first letter: `user` when user space is up, anything else for a round of work.
 * Any CPU passes over it; no compiler makes it.
 */
	.globl	_start
_start:
	mov	16(%rsp), %rsi		/* argv[1], or NULL */
	test	%rsi, %rsi
	jz	1f
	cmpb	$'u', (%rsi)
	je	2f
1:	.byte	0x0f, 0x1f, 0x80, 'Q', 'M', 'K', 'r'
	jmp	3f
2:	.byte	0x0f, 0x1f, 0x80, 'Q', 'M', 'K', 'u'
3:	xor	%edi, %edi
	mov	$60, %eax		/* exit(0) */
	syscall

	.section .note.GNU-stack, "", @progbits
