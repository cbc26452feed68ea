/* SPDX-License-Identifier: MIT */
/*
 * 32-bit and real-mode attacks. Everything lies below 4 GiB and is mapped one
 * to one, so paging can be switched off where we stand.
 */
#include "guests/lib/cpu.h"

#define OWN_CODE 0x08
#define OWN_DATA 0x10
#define OWN_TSS1 0x18
#define OWN_TSS2 0x20
#define OWN_UCODE 0x2b
#define OWN_UDATA 0x33
#define OWN_CODE16 0x38
#define OWN_DATA16 0x40

	.text
	.code64
	.globl legacy_enter
legacy_enter:
	cli
	mov %esi, %ebx
	push $SEL_CODE32
	lea 1f(%rip), %rax
	push %rax
	lretq
	.code32
1:	mov %cr0, %eax
	and $0x7fffffff, %eax		/* PG off: out of long mode (SDM vol. 3, 9.8.5.4) */
	mov %eax, %cr0
	mov $0xc0000080, %ecx
	rdmsr
	and $~(1 << 8), %eax
	wrmsr
	call fill_tables
	lgdt gdtr
	ljmp $OWN_CODE, $2f
2:	mov $OWN_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $stack_top, %esp
	lidt idtr_none
	jmp *%edi

/* The bases of the two TSSs, which the assembler cannot split. */
fill_tables:
	mov $tss1, %eax
	mov %ax, gdt + OWN_TSS1 + 2
	shr $16, %eax
	mov %al, gdt + OWN_TSS1 + 4
	mov $tss2, %eax
	mov %ax, gdt + OWN_TSS2 + 2
	shr $16, %eax
	mov %al, gdt + OWN_TSS2 + 4
	ret

	.globl legacy_pae_cd
legacy_pae_cd:
	mov $0xc0000000, %ecx
	jmp 1f
	.globl legacy_pae
legacy_pae:
	mov $0x80000000, %ecx
1:	mov %ebx, %cr3
	mov %cr4, %eax
	or $CR4_PAE_, %eax
	mov %eax, %cr4
	mov %cr0, %eax
	or %ecx, %eax
	mov %eax, %cr0
	mov %cr3, %eax
	mov %eax, %cr3
	jmp .
	.set CR4_PAE_, 1 << 5

	.globl legacy_task_gate
legacy_task_gate:
	mov $OWN_TSS1, %eax
	ltr %ax
	lidt idtr_gate
	int $0
	jmp .

	.globl legacy_task_jump
legacy_task_jump:
	mov $OWN_TSS1, %eax
	ltr %ax
	ljmp $OWN_TSS2, $0

	.globl legacy_ac_loop
legacy_ac_loop:
	/* The gate of vector 17 leads to user code: no change of stack at delivery. */
	mov $ac_handler, %eax
	mov %ax, idt_ac + 17 * 8
	shr $16, %eax
	mov %ax, idt_ac + 17 * 8 + 6
	lidt idtr_ac
	mov $OWN_TSS1, %eax
	ltr %ax
	mov %cr0, %eax
	or $1 << 18, %eax		/* AM */
	mov %eax, %cr0
	push $OWN_UDATA
	push $stack_top - 63		/* not aligned */
	push $1 << 18 | 2		/* AC */
	push $OWN_UCODE
	push $3f
	iret
3:	mov $OWN_UDATA, %eax
	mov %eax, %ds
	movl stack_top - 61, %eax	/* #AC; pushing its frame is #AC again */
ac_handler:
	jmp .

	.globl legacy_real_mode
legacy_real_mode:
	/* A blob below 1 MiB that knows no addresses of ours. */
	mov $real_begin, %esi
	mov $0x8000, %edi
	mov $real_end - real_begin, %ecx
	rep movsb
	movw $real_isr - real_begin + 0x8000, 0x60 * 4
	movw $0, 0x60 * 4 + 2
	lidt idtr_real
	ljmp $OWN_CODE16, $0x8000

/* From here on the code runs at 0x8000. */
real_begin:
	.code16
	mov %cr0, %eax
	and $~1, %eax
	mov %eax, %cr0
	.byte 0xea			/* ljmp $0, $5f */
	.word 5f - real_begin + 0x8000, 0
5:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7000, %sp
	int $0x60
	mov $0x80, %dx
	out %al, %dx
	xor %eax, %eax
	cpuid
6:	cli
	hlt
	jmp 6b
real_isr:
	iret
	.code32
real_end:

	.data
	.balign 16
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 08 code, 32 bits */
	.quad 0x00cf93000000ffff	/* 10 data */
	.quad 0x0000890000000067	/* 18 TSS, available */
	.quad 0x0000890000000067	/* 20 TSS, available */
	.quad 0x00cffb000000ffff	/* 28 user code */
	.quad 0x00cff3000000ffff	/* 30 user data */
	.quad 0x00009b000000ffff	/* 38 code, 16 bits, base 0 */
	.quad 0x000093000000ffff	/* 40 data, 16 bits */
gdtr:	.word . - gdt - 1
	.long gdt
idtr_none:
	.word 0
	.long 0
	.balign 8
idt_gate:
	.quad 0x0000850000200000	/* task gate, selector 20 */
idtr_gate:
	.word 7
	.long idt_gate
	.balign 8
idt_ac:
	.fill 17, 8, 0
	.quad 0x0000ee00002b0000	/* interrupt gate, DPL 3, selector 2b; offset filled in */
idtr_ac:
	.word . - idt_ac - 1
	.long idt_ac
idtr_real:
	.word 0x3ff
	.long 0

	.bss
	.balign 16
tss1:	.skip 104
tss2:	.skip 104
	.balign 4096
	.skip 4096
stack_top:
	.skip 16
	.section .note.GNU-stack, "", @progbits
