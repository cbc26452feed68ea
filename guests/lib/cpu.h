/* SPDX-License-Identifier: MIT */
/*
 * A guest's per-vCPU area: stacks, descriptor tables, and the little that must
 * be known at a trap. It is CPU_BYTES long and as much aligned, and RSP always
 * points into it, so this_cpu() needs no segment register: a test may do with
 * FS and GS what it likes.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#define CPU_MAX       4
#define CPU_BYTES     0x8000
#define CPU_STACK_TOP 0x4000 /* offset of the end of the ordinary stack */
#define CPU_TRAP_TOP  0x6000 /* and of the stack on which exceptions run (IST 1) */
#define CPU_DATA      0x6000 /* and of struct cpu's own fields */

#define SEL_CODE64    0x08
#define SEL_DATA      0x10
#define SEL_CODE32    0x18
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS       0x30 /* 16 bytes */
#define SEL_SPARE     0x40 /* four descriptors for tests */
#define GDT_ENTRIES   12

#ifndef __ASSEMBLY__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tss64 {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, iomap_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss64) == 104, "SDM vol. 3, figure 8-11");

struct trap_result;

struct cpu {
	uint8_t stack[CPU_STACK_TOP];
	uint8_t trap_stack[CPU_TRAP_TOP - CPU_STACK_TOP];
	unsigned id;
	uint64_t catch_rsp; /* where trap_try() goes on after an exception, or 0 */
	struct trap_result *catch_info;
	struct vcpu_info *info;    /* events and time of this vCPU (event.c) */
	uint16_t timer_port;       /* time.c */
	volatile uint64_t upcalls; /* callbacks taken */
	struct tss64 tss;
	uint64_t gdt[GDT_ENTRIES];
	uint8_t rest[];
} __attribute__((aligned(CPU_BYTES)));

struct cpu_slot {
	struct cpu cpu;
} __attribute__((aligned(CPU_BYTES)));
_Static_assert(sizeof(struct cpu_slot) == CPU_BYTES, "this_cpu() depends on it");
_Static_assert(offsetof(struct cpu, id) == CPU_DATA, "start.S depends on it");

extern struct cpu_slot cpu_slots[CPU_MAX];

static inline struct cpu *this_cpu(void)
{
	uint64_t rsp;

	__asm__("mov %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)((rsp - 1) & ~(uint64_t)(CPU_BYTES - 1));
}

/* Descriptor tables of vCPU `id`, which runs here. */
void cpu_init(unsigned id);

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
	                 :
	                 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
	                 : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	__asm__ volatile("cpuid"
	                 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
	                 : "a"(leaf), "c"(sub));
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void irq_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void irq_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

#define READ_CR(n)                                                                                 \
	({                                                                                         \
		uint64_t v_;                                                                       \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_) : : "memory");                    \
		v_;                                                                                \
	})
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((uint64_t)(v)) : "memory")

#define CR0_PE  (1u << 0)
#define CR0_TS  (1u << 3)
#define CR0_NE  (1u << 5)
#define CR0_WP  (1u << 16)
#define CR0_AM  (1u << 18)
#define CR0_NW  (1u << 29)
#define CR0_CD  (1u << 30)
#define CR0_PG  (1u << 31)
#define CR4_PAE (1u << 5)

#define MSR_EFER 0xc0000080u
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#endif
#endif
