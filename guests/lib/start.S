/* SPDX-License-Identifier: MIT */
/*
 * The PVH entry (Xen docs/misc/pvh.pandoc): 32-bit protected mode, paging off,
 * flat segments, EBX = physical address of hvm_start_info. From here to 64-bit
 * mode on page tables of our own that map the first 4 GiB one to one with
 * 2 MiB pages.
 */
#include "guests/lib/cpu.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start32

	.section .text.start, "ax"
	.code32
	.globl start32
start32:
	cld
	mov %ebx, start_info_pa
	mov $cpu_slots + CPU_STACK_TOP, %esp

	/* Upper levels allow user mode; a leaf decides. */
	movl $page_pdpt + 7, page_pml4
	mov $page_pd + 7, %eax
	mov $page_pdpt, %edi
	mov $4, %ecx
1:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 1b

	/* 2048 large pages: present, writable, PS. */
	mov $0x83, %eax
	mov $page_pd, %edi
	mov $2048, %ecx
2:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 2b

	mov $CR4_PAE_, %eax
	mov %eax, %cr4
	mov $page_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $(1 << 8 | 1 << 11), %eax	/* LME, NXE */
	wrmsr
	mov $CR0_VALUE, %eax
	mov %eax, %cr0
	lgdt boot_gdtr
	ljmp $SEL_CODE64, $start64

	.code64
start64:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $cpu_slots + CPU_STACK_TOP, %rsp
	xor %ebp, %ebp
	mov start_info_pa(%rip), %edi
	call guest_start
	ud2

/* A second vCPU begins here, in 64-bit mode on the same tables, its stack set;
 * no descriptor table is loaded yet. RDI = its number. */
	.globl start_secondary
start_secondary:
	lgdt boot_gdtr
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	push $SEL_CODE64
	lea 3f(%rip), %rax
	push %rax
	lretq
3:	xor %ebp, %ebp
	call smp_secondary
	ud2

	.set CR4_PAE_, 1 << 5
	.set CR0_VALUE, 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1	/* PG WP NE ET PE */

	.data
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00209b0000000000	/* code, long mode */
	.quad 0x00cf93000000ffff	/* data */
boot_gdtr:
	.word . - boot_gdt - 1
	.quad boot_gdt
start_info_pa:
	.long 0

	.bss
	.balign 4096
	.globl page_pml4, page_pdpt, page_pd
page_pml4:
	.skip 4096
page_pdpt:
	.skip 4096
page_pd:
	.skip 4 * 4096
	.section .note.GNU-stack, "", @progbits
