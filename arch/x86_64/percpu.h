/* SPDX-License-Identifier: MIT */
/*
 * What belongs to one CPU: reached through GS, whose base points at the
 * structure for as long as the CPU runs hypervisor code. A back end that lets
 * a guest change GS restores it before any C code runs.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include "arch/x86_64/cpu.h"
#include "mm/leaf/types.h"

/* Selectors of our GDT (SDM vol. 3, 3.4.5); the TSS takes two slots. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18

/* IST slots (SDM vol. 3, 6.14.5). */
#define IST_DF  1
#define IST_NMI 2
#define IST_MC  3

struct tss64 {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, io_map_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss64) == 104, "SDM vol. 3, figure 7-11");

struct percpu {
	struct percpu *self; /* at gs:0 */
	uint64_t stack_top;  /* where the run loop's stack begins, growing down */
	uint32_t cpu, apic_id;
	uint64_t gdt[5] __attribute__((aligned(16)));
	struct tss64 tss __attribute__((aligned(16)));
	bool online;        /* runs hypervisor code */
	bool virt_on;       /* hvm->cpu_on succeeded here */
	bool timer_fired;   /* set by the timer interrupt */
	bool kicked;        /* set by the kick interrupt */
	bool stopped;       /* has answered a stop NMI */
	int64_t tsc_offset; /* added to this CPU's TSC to get the boot CPU's */
	uint64_t timer_ns;  /* what machine_timer was last asked for */
	char symbol[96];    /* machine_symbol's answer */
};

static inline struct percpu *this_cpu(void)
{
	struct percpu *p;

	asm("movq %%gs:0, %0" : "=r"(p));
	return p;
}

/* By number; NULL past the last. */
extern struct percpu *percpu_table[];
struct percpu *percpu_of(unsigned cpu);

#endif
