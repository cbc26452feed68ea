/* SPDX-License-Identifier: MIT */
/* Single instructions as functions, and the architecture's numbers (SDM vol. 3 ch. 2, vol. 4). */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "arch/x86_64/control_bits.h"
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_AC BIT(18)

#define MSR_APIC_BASE       0x0000001bu
#define MSR_FEATURE_CONTROL 0x0000003au
#define MSR_TSC_ADJUST      0x0000003bu
#define MSR_PAT             0x00000277u
#define MSR_MTRR_DEF_TYPE   0x000002ffu
#define MSR_TSC_DEADLINE    0x000006e0u
#define MSR_X2APIC          0x00000800u
#define MSR_EFER            0xc0000080u
#define MSR_STAR            0xc0000081u
#define MSR_LSTAR           0xc0000082u
#define MSR_CSTAR           0xc0000083u
#define MSR_SFMASK          0xc0000084u
#define MSR_FS_BASE         0xc0000100u
#define MSR_GS_BASE         0xc0000101u
#define MSR_KERNEL_GS_BASE  0xc0000102u
#define MSR_TSC_AUX         0xc0000103u

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	asm volatile("cpuid"
	             : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
	             : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
	             : "memory");
}

/*
 * An instruction at `insn` that may fault with #GP or #UD goes on at `fixup`
 * instead (trap.c looks into this table). Labels are local to the asm statement.
 */
#define EXTABLE(insn, fixup)                                                                       \
	".pushsection .extable, \"a\"\n\t.quad " insn "\n\t.quad " fixup "\n\t.popsection\n\t"

/* False, and *value untouched, if this CPU has no such register. */
static inline bool must_check rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t lo, hi, bad;

	asm volatile("1: rdmsr\n\txorl %2, %2\n\tjmp 3f\n"
	             "2: movl $1, %2\n3:\n\t" EXTABLE("1b", "2b")
	             : "=a"(lo), "=d"(hi), "=&r"(bad)
	             : "c"(msr)
	             : "memory");
	if (bad)
		return false;
	*value = (uint64_t)hi << 32 | lo;
	return true;
}

/* False if the register does not exist or does not take the value. */
static inline bool must_check wrmsr_safe(uint32_t msr, uint64_t value)
{
	uint32_t bad;

	asm volatile("1: wrmsr\n\txorl %0, %0\n\tjmp 3f\n"
	             "2: movl $1, %0\n3:\n\t" EXTABLE("1b", "2b")
	             : "=&r"(bad)
	             : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
	             : "memory");
	return !bad;
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* After all earlier loads, before all later instructions (SDM vol. 2, RDTSC). */
static inline uint64_t rdtsc_ordered(void)
{
	asm volatile("lfence" ::: "memory");
	return rdtsc();
}

#define CPU_READ_CR(n)                                                                             \
	static inline uint64_t read_cr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory");                            \
		return v;                                                                          \
	}
#define CPU_WRITE_CR(n)                                                                            \
	static inline void write_cr##n(uint64_t v)                                                 \
	{                                                                                          \
		asm volatile("mov %0, %%cr" #n ::"r"(v) : "memory");                               \
	}
CPU_READ_CR(0)
CPU_READ_CR(2)
CPU_READ_CR(3)
CPU_READ_CR(4)
CPU_WRITE_CR(0)
CPU_WRITE_CR(2)
CPU_WRITE_CR(3)
CPU_WRITE_CR(4)
#undef CPU_READ_CR
#undef CPU_WRITE_CR

#define CPU_DR(n)                                                                                  \
	static inline uint64_t read_dr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		asm volatile("mov %%dr" #n ", %0" : "=r"(v)::"memory");                            \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_dr##n(uint64_t v)                                                 \
	{                                                                                          \
		asm volatile("mov %0, %%dr" #n ::"r"(v) : "memory");                               \
	}
CPU_DR(0)
CPU_DR(1)
CPU_DR(2)
CPU_DR(3)
CPU_DR(6)
CPU_DR(7)
#undef CPU_DR

static inline uint64_t xgetbv(uint32_t n)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(n));
	return (uint64_t)hi << 32 | lo;
}

static inline void xsetbv(uint32_t n, uint64_t value)
{
	asm volatile("xsetbv" ::"c"(n), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
	             : "memory");
}

static inline void invlpg(const void *va)
{
	asm volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static inline void cpu_relax(void)
{
	asm volatile("pause" ::: "memory");
}

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outsb(uint16_t port, const void *bytes, size_t n)
{
	asm volatile("rep outsb" : "+S"(bytes), "+c"(n) : "d"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

/* True from the moment that CPUID leaf 1 or 7 says so. */
static inline bool cpu_has_leaf(uint32_t leaf)
{
	return cpuid(leaf & 0xc0000000u, 0).eax >= leaf;
}

#endif
