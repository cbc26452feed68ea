/* SPDX-License-Identifier: MIT */
/* MSRs, control registers, CPUID, and the local APIC by MSR and by memory. */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/trap.h"

#define MSR_APIC_BASE  0x1bu
#define APIC_PAGE      UINT64_C(0xfee00000)
#define BASE_X2APIC    0x400u
#define BASE_ENABLE    0x800u
#define REG_ICR        0x30u
#define REG_ICR_HIGH   0x31u
#define REG_SELF       0x3fu
#define DELIVERY_MODES 0x700u
#define LOWEST         0x100u

struct access {
	uint32_t reg;
	uint64_t value;
	struct fuzzer *f;
};

static void read_one(void *arg)
{
	struct access *a = arg;

	a->value = rdmsr(a->reg);
}

static void write_one(void *arg)
{
	const struct access *a = arg;

	wrmsr(a->reg, a->value);
}

static bool try_read(struct access *a)
{
	return trap_vector(read_one, a) == TRAP_NONE;
}

static bool try_write(struct access *a)
{
	return trap_vector(write_one, a) == TRAP_NONE;
}

static uint32_t some_msr(struct fuzzer *f)
{
	static const uint32_t known[] = {
	    0x10,       0x1b,       0x3a,       0x3b,       0x48,       0x8b,       0xc1,
	    0xfe,       0x10a,      0x122,      0x174,      0x175,      0x176,      0x17a,
	    0x186,      0x1a0,      0x1d9,      0x200,      0x250,      0x277,      0x2ff,
	    0x345,      0x38f,      0x400,      0x480,      0x48b,      0x48c,      0x48f,
	    0x570,      0x600,      0x6e0,      0x802,      0xda0,      0x40000000, 0x40000001,
	    0x40000020, 0x4b564d00, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100,
	    0xc0000101, 0xc0000102, 0xc0000103, 0xc0000104, 0xc0010015, 0xc001001f, 0xc0010114,
	    0xc0010117, 0xc0010118, 0xc001102a, 0xc0010140};

	switch (below(f, 4)) {
	case 0:
		return (uint32_t)odd_number(f);
	case 1:
		return (chance(f, 2) ? 0xc0000000 : 0xc0010000) + (uint32_t)below(f, 0x200);
	default:
		return known[below(f, sizeof(known) / sizeof(known[0]))] +
		       (chance(f, 8) ? (uint32_t)below(f, 3) - 1 : 0);
	}
}

bool any_msr(struct fuzzer *f)
{
	struct access a = {some_msr(f), 0, f}, was;
	bool readable = try_read(&a), ok;

	if (!readable && chance(f, 2))
		return false;
	was = a;
	a.value = chance(f, 2) ? odd_number(f) : a.value ^ UINT64_C(1) << below(f, 64);
	/* The hypercall page is written where it says: not over our code. */
	if (a.reg == 0x40000000)
		a.value = odd_gfn(f) << 12 | below(f, 2);
	if (a.reg >= 0x800 && a.reg < 0x900)
		return apic_msr(f);
	ok = try_write(&a);
	if (ok && readable && a.reg != 0x40000000)
		try_write(&was);
	return ok;
}

/* ---- the local APIC ---- */

/* INIT, start-up and NMI to one that is there would end what we do: to nobody, then. */
static uint64_t icr(struct fuzzer *f)
{
	uint64_t low = odd_number(f) & 0xcffff;

	if (fuzz_lethal && chance(f, 16))
		return below(f, 3) << 32 | low;
	if ((low & DELIVERY_MODES) > LOWEST)
		return UINT64_C(0x55) << 32 | (low & 0x4fff & ~UINT64_C(0x800));
	return (chance(f, 2) ? below(f, 3) : odd_number(f)) << 32 | low;
}

static void mode(struct fuzzer *f, bool x2)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!(base & BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
	else if (!!(base & BASE_X2APIC) != x2)
		wrmsr(MSR_APIC_BASE, base & ~(uint64_t)(BASE_ENABLE | BASE_X2APIC));
	base = rdmsr(MSR_APIC_BASE);
	wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
	if (x2)
		wrmsr(MSR_APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);
	(void)f;
}

bool apic_msr(struct fuzzer *f)
{
	struct access a = {0x800 + (uint32_t)below(f, chance(f, 8) ? 0x400 : 0x40), 0, f};

	if (!(rdmsr(MSR_APIC_BASE) & BASE_X2APIC) && !chance(f, 8))
		mode(f, true);
	if (chance(f, 2))
		return try_read(&a);
	a.value = a.reg == 0x800 + REG_ICR ? icr(f)
	                                   : odd_number(f) & (chance(f, 4) ? UINT64_MAX : 0x3ffff);
	return try_write(&a);
}

/* The forms of MOV that reach a register of the APIC, at random distances. */
static uint32_t load(uint64_t at, unsigned form)
{
	uint64_t base = at - 0x40, index = 8;
	uint32_t v = 0;

	switch (form) {
	case 0:
		__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("movl 0x40(%1), %0" : "=r"(v) : "r"(base) : "memory");
		break;
	case 2:
		__asm__ volatile("movl (%1,%2,8), %0" : "=r"(v) : "r"(base), "r"(index) : "memory");
		break;
	case 3:
		__asm__ volatile("movl -0x1000(%1), %0" : "=r"(v) : "r"(at + 0x1000) : "memory");
		break;
	case 4:
		__asm__ volatile("movl (%1), %0" : "=a"(v) : "D"(at) : "memory");
		break;
	default:
		__asm__ volatile("movl %%gs:(%1), %%r13d\n\tmov %%r13d, %0"
		                 : "=r"(v)
		                 : "r"(at)
		                 : "memory", "r13");
	}
	return v;
}

static void store(uint64_t at, uint32_t value, unsigned form)
{
	switch (form) {
	case 0:
		__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("movl $0x1ff, (%0)" : : "r"(at) : "memory");
		break;
	case 2:
		__asm__ volatile("movl $0x100ff, 0x7f(%0)" : : "r"(at - 0x7f) : "memory");
		break;
	default:
		__asm__ volatile("movl %0, (%1,%2,1)"
		                 :
		                 : "a"(value), "r"(at), "r"(UINT64_C(0))
		                 : "memory");
	}
}

bool apic_memory(struct fuzzer *f)
{
	uint32_t reg = (uint32_t)below(f, chance(f, 4) ? 0x100 : 0x40);
	uint64_t at = APIC_PAGE + reg * 16, command = icr(f);

	if ((rdmsr(MSR_APIC_BASE) & (BASE_ENABLE | BASE_X2APIC)) != BASE_ENABLE)
		mode(f, false);
	if (chance(f, 2)) {
		(void)load(at + (chance(f, 16) ? below(f, 13) : 0), (unsigned)below(f, 6));
		return true;
	}
	if (reg == REG_ICR || reg == REG_ICR_HIGH) {
		store(APIC_PAGE + REG_ICR_HIGH * 16, (uint32_t)(command >> 32) << 24, 0);
		store(APIC_PAGE + REG_ICR * 16, (uint32_t)command, 0);
		return true;
	}
	store(at, (uint32_t)odd_number(f), (unsigned)below(f, 4));
	return true;
}

/* ---- control registers; all is as it was after ---- */

static void bend_cr0(void *arg)
{
	uint64_t was = READ_CR(0);
	uint64_t bit = UINT64_C(1) << below(arg, 64);

	/* Without WP, with TS or CD or what is reserved; PE and PG are another matter. */
	if (bit == CR0_PE || bit == CR0_PG)
		bit = CR0_WP;
	WRITE_CR(0, was ^ bit);
	WRITE_CR(0, was);
}

static void bend_cr4(void *arg)
{
	uint64_t was = READ_CR(4);

	WRITE_CR(4, was ^ UINT64_C(1) << below(arg, 64));
	WRITE_CR(4, was);
}

static void bend_cr8(void *arg)
{
	WRITE_CR(8, odd_number(arg) & 0x1f);
	WRITE_CR(8, 0);
}

static void bend_xcr0(void *arg)
{
	uint64_t was, value = odd_number(arg), cr4 = READ_CR(4);
	uint32_t lo, hi;

	WRITE_CR(4, cr4 | 1u << 18);
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	was = (uint64_t)hi << 32 | lo;
	if (chance(arg, 2))
		value = below(arg, 1024);
	__asm__ volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
	__asm__ volatile("xsetbv" : : "a"((uint32_t)was), "d"((uint32_t)(was >> 32)), "c"(0));
}

bool any_cr(struct fuzzer *f)
{
	static void (*const bends[])(void *f) = {bend_cr0, bend_cr4, bend_cr8, bend_xcr0};
	uint64_t cr0 = READ_CR(0), cr4 = READ_CR(4);
	bool ok = trap_vector(bends[below(f, 4)], f) == TRAP_NONE;

	if (READ_CR(0) != cr0)
		WRITE_CR(0, cr0);
	if (READ_CR(4) != cr4)
		WRITE_CR(4, cr4);
	return ok;
}

bool any_cpuid(struct fuzzer *f)
{
	static const uint32_t first[] = {0, 0x40000000, 0x40000100, 0x80000000};
	uint32_t r[4], leaf = first[below(f, 4)] + (uint32_t)below(f, 64);

	cpuid(chance(f, 4) ? (uint32_t)odd_number(f) : leaf,
	      (uint32_t)(chance(f, 2) ? 0 : odd_number(f)), r);
	return true;
}
