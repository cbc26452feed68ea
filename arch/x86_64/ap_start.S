/* SPDX-License-Identifier: MIT */
/*
 * The other CPUs' way from real mode to ap_main(). smp.c copies this page to
 * boot_trampoline and fills in the words at its end; a start-up IPI begins at
 * its first byte with CS = its address >> 4 (SDM vol. 3, 8.4.4).
 */
	.section .rodata
	.balign 16
	.global ap_trampoline, ap_trampoline_end
	.global ap_word_base, ap_word_root, ap_word_stack, ap_word_percpu, ap_word_entry
	.code16
ap_trampoline:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	movl (ap_word_base - ap_trampoline), %ebx
	lgdtl (ap_gdt_pointer - ap_trampoline)
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* caches on: CD = NW = 0 */
	orl $1, %eax
	movl %eax, %cr0
	ljmpl *(ap_far32 - ap_trampoline)

	.code32
ap_start32:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %ss
	movl $(1 << 5), %eax /* PAE */
	movl %eax, %cr4
	movl (ap_word_root - ap_trampoline)(%ebx), %eax
	movl %eax, %cr3
	movl $0x80000001, %eax
	movl %ebx, %esi
	cpuid
	movl %esi, %ebx
	movl %edx, %edi
	movl $0xc0000080, %ecx
	rdmsr
	orl $(1 << 8), %eax /* LME */
	testl $(1 << 20), %edi
	jz 1f
	orl $(1 << 11), %eax /* NXE: our tables have the bit set */
1:	wrmsr
	movl %cr0, %eax
	orl $0x80010000, %eax /* PG, WP */
	movl %eax, %cr0
	ljmpl *(ap_far64 - ap_trampoline)(%ebx)

	.code64
ap_start64:
	movq (ap_word_stack - ap_trampoline)(%rbx), %rsp
	movq (ap_word_percpu - ap_trampoline)(%rbx), %rdi
	xorl %ebp, %ebp
	movq (ap_word_entry - ap_trampoline)(%rbx), %rax
	pushq $0
	jmp *%rax

	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code */
	.quad 0x00cf93000000ffff /* data */
	.quad 0x00cf9b000000ffff /* 32-bit code */
	.global ap_gdt_pointer, ap_far32, ap_far64, ap_gdt, ap_start32, ap_start64
ap_gdt_pointer:
	.short ap_gdt_pointer - ap_gdt - 1
	.long 0 /* base */
	.short 0
ap_far32:
	.long 0
	.short 24, 0
ap_far64:
	.long 0
	.short 8, 0
	.balign 8
ap_word_base:
	.quad 0
ap_word_root:
	.quad 0
ap_word_stack:
	.quad 0
ap_word_percpu:
	.quad 0
ap_word_entry:
	.quad 0
ap_trampoline_end:

	.section .note.GNU-stack, "", @progbits
