/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader's 32-bit protected mode to x86_start() in long mode.
 * Two ways in: multiboot2 (GRUB, on BIOS and UEFI) and PVH (QEMU -kernel).
 * Both promise flat segments, paging off, interrupts off.
 *
 * The tables made here map the first 4 GiB three times (at 0, at the direct
 * map's place, and 1 GiB of it at the image's place) with all rights;
 * paging_init() replaces them.
 */
#define IMAGE_BASE 0xffffffff80000000
#define PHYS(x)    ((x) - IMAGE_BASE)

#define MULTIBOOT2_HEADER 0xe85250d6
#define MULTIBOOT2_MAGIC  0x36d76289
#define PVH_MAGIC         0x336ec578

	.section .multiboot2, "a"
	.balign 8
header:
	.long MULTIBOOT2_HEADER
	.long 0 /* i386 protected mode */
	.long header_end - header
	.long -(MULTIBOOT2_HEADER + 0 + (header_end - header))
	/* entry address: physical */
	.balign 8
	.short 3, 0
	.long 12
	.long PHYS(multiboot2_entry)
	/* framebuffer: optional, any size, 32 bits if there is a choice */
	.balign 8
	.short 5, 1
	.long 20
	.long 0, 0, 32
	/* end */
	.balign 8
	.short 0, 0
	.long 8
header_end:

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad PHYS(pvh_entry)

	.section .text.boot, "ax"
	.code32
	.global multiboot2_entry, pvh_entry

pvh_entry:
	movl $PVH_MAGIC, %eax
multiboot2_entry:
	cli
	cld
	movl $PHYS(boot_stack_top), %esp
	movl %eax, %ebp /* which way in */
	movl %ebx, %edi /* what we were told */

	/* long mode? (SDM vol. 2, CPUID leaf 80000001H) */
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb no_long_mode
	movl $0x80000001, %eax
	cpuid
	testl $(1 << 29), %edx
	jz no_long_mode

	/* four page directories of 2 MiB pages: 0 .. 4 GiB */
	movl $PHYS(boot_pd), %esi
	movl $0x83, %eax /* present, writable, large */
	xorl %ecx, %ecx
1:	movl %eax, (%esi, %ecx, 8)
	movl $0, 4(%esi, %ecx, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jb 1b

	movl $PHYS(boot_pdpt), %esi
	leal 3 + PHYS(boot_pd), %eax
	xorl %ecx, %ecx
2:	movl %eax, (%esi, %ecx, 8)
	addl $0x1000, %eax
	incl %ecx
	cmpl $4, %ecx
	jb 2b

	movl $PHYS(boot_pd) + 3, PHYS(boot_pdpt_image) + 510 * 8
	movl $PHYS(boot_pdpt) + 3, PHYS(boot_pml4)
	movl $PHYS(boot_pdpt) + 3, PHYS(boot_pml4) + 256 * 8
	movl $PHYS(boot_pdpt_image) + 3, PHYS(boot_pml4) + 511 * 8

	/* SDM vol. 3, 9.8.5: PAE, CR3, EFER.LME, then PG */
	movl $(1 << 5), %eax
	movl %eax, %cr4
	movl $PHYS(boot_pml4), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $(1 << 8), %eax
	wrmsr
	movl $0x80000001, %eax /* PG, PE */
	movl %eax, %cr0
	lgdt PHYS(boot_gdt_pointer)
	ljmp $8, $PHYS(long_mode)

no_long_mode:
	movl $PHYS(no_long_mode_text), %esi
	movl $0xb8000, %edi
	movb $0x0f, %ah
1:	lodsb
	testb %al, %al
	jz 2f
	stosw
	movw $0x3f8, %dx
	outb %al, %dx
	jmp 1b
2:	hlt
	jmp 2b

	.code64
long_mode:
	movq $start_high, %rax
	jmp *%rax
start_high:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $boot_stack_top, %rsp

	/* The stack protector's canary, before any C code: TSC, and RDRAND if there is one. */
	movl $1, %eax
	cpuid
	xorl %esi, %esi
	testl $(1 << 30), %ecx
	jz 1f
	rdrand %rsi
1:	rdtsc
	shlq $32, %rdx
	orq %rdx, %rax
	movabsq $0x9e3779b97f4a7c15, %rdx
	imulq %rdx, %rax
	xorq %rsi, %rax
	movb $0, %al /* a string overflow cannot write it */
	movq %rax, __stack_chk_guard

	movl %edi, %esi
	movl %ebp, %edi
	xorl %ebp, %ebp
	call x86_start
	ud2

	.section .rodata
no_long_mode_text:
	.asciz "Quire needs a 64-bit CPU: this one has no long mode. "
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9a000000ffff /* code, 64-bit */
	.quad 0x00cf92000000ffff /* data */
boot_gdt_pointer:
	.short boot_gdt_pointer - boot_gdt - 1
	.long PHYS(boot_gdt)

	.section .bss
	.balign 4096
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_pdpt_image:
	.skip 4096
boot_pd:
	.skip 4 * 4096
boot_stack:
	.skip 16384
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
