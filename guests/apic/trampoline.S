/* SPDX-License-Identifier: MIT */
/*
 * What a start-up IPI enters: real mode at page << 12, CS the page, RDX as after INIT. From
 * here to 64-bit mode on the tables of start.S. Copied to a page below 1 MiB; what lies outside
 * of it is reached once there are 32-bit addresses.
 */
#include "guests/lib/cpu.h"

	.text
	.globl ap_begin, ap_end, ap_page
	.code16
ap_begin:
	cli
	mov %cs, %ax
	mov %ax, %ds
	mov %eax, %ebx			/* CS and the signature, for ap_main */
	lgdtl ap_gdtr - ap_begin
	mov $1, %eax
	mov %eax, %cr0
	/* A far jump through memory: where the copy lies is known only then. */
	ljmpl *(ap_jump - ap_begin)
	.code32
ap32:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $1 << 5, %eax		/* PAE */
	mov %eax, %cr4
	mov $page_pml4, %eax
	mov %eax, %cr3
	mov %edx, %esi
	mov $0xc0000080, %ecx
	rdmsr
	or $(1 << 8 | 1 << 11), %eax	/* LME, NXE */
	wrmsr
	mov $(1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1), %eax	/* PG WP NE ET PE */
	mov %eax, %cr0
	ljmp $SEL_CODE64, $ap64
	.balign 4
ap_gdtr:
	.word ap_gdt_end - ap_gdt - 1
	.long ap_gdt
	.balign 4
ap_jump:
	.long ap32 - ap_begin		/* ap_prepare adds where the copy lies */
	.word SEL_CODE32
ap_end:
	.code64
ap64:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $cpu_slots + CPU_BYTES + CPU_STACK_TOP, %rsp
	xor %ebp, %ebp
	movzwl %bx, %edi
	call ap_main
	ud2

	.data
	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00209b0000000000	/* 0x08: code, long mode */
	.quad 0x00cf93000000ffff	/* 0x10: data */
	.quad 0x00cf9b000000ffff	/* 0x18: 32-bit code */
ap_gdt_end:
	.globl ap_jump
	.section .note.GNU-stack, "", @progbits
