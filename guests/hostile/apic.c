/* SPDX-License-Identifier: MIT */
/*
 * The local APIC: registers that are not there, reserved bits, IPIs of every kind to
 * ids that nobody has, nonsense into every register, in both modes. And, each a
 * run of its own, what is no 32-bit MOV on its page.
 */
#include "guests/hostile/apic.h"
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define MSR_BASE    0x1bu
#define BASE        0xfee00000u
#define BASE_X2APIC 0x400u
#define BASE_ENABLE 0x800u
#define ICR         0x30u
#define SELF_IPI    0x3fu
#define ROUNDS      4096u
#define NOBODY      0x55u

struct access {
	uint32_t msr;
	uint64_t value;
};

static void read_one(void *arg)
{
	struct access *a = arg;

	a->value = rdmsr(a->msr);
}

static void write_one(void *arg)
{
	const struct access *a = arg;

	wrmsr(a->msr, a->value);
}

/* Through "disabled", which resets it. */
static void fresh(uint64_t mode)
{
	uint64_t base = rdmsr(MSR_BASE) & ~(uint64_t)(BASE_ENABLE | BASE_X2APIC);

	wrmsr(MSR_BASE, base);
	if (mode & BASE_ENABLE)
		wrmsr(MSR_BASE, base | BASE_ENABLE);
	if (mode & BASE_X2APIC)
		wrmsr(MSR_BASE, base | BASE_ENABLE | BASE_X2APIC);
}

/* How many of the MSRs take `value`, or raise something else than #GP. */
static unsigned taken(uint64_t value)
{
	unsigned n = 0;

	for (uint32_t m = 0x800; m < 0xc00; m++) {
		struct access a = {m, value};

		n += trap_vector(write_one, &a) != TRAP_GP;
	}
	return n;
}

static void sweeps(void)
{
	unsigned readable = 0, strange = 0;

	fresh(BASE_ENABLE);
	tap_is(taken(0), 0, "APIC: no MSR of it in xAPIC mode");
	fresh(0);
	tap_is(taken(0), 0, "APIC: nor while it is disabled");
	fresh(BASE_ENABLE | BASE_X2APIC);
	tap_is(taken(UINT64_MAX), 0, "APIC: no MSR takes all ones");
	for (uint32_t m = 0x800; m < 0xc00; m++) {
		struct access a = {m, 0};
		int v = trap_vector(read_one, &a);

		readable += v == TRAP_NONE;
		strange += v != TRAP_NONE && v != TRAP_GP;
	}
	tap_ok(readable == 41 && strange == 0, "APIC: 41 of its MSRs can be read (%u)", readable);
}

static void base_values(void)
{
	unsigned strange = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t noise = random_mix(0xba5e + i);
		struct access a = {MSR_BASE, i % 2 ? noise : BASE | (noise & 0xfff)};
		int v = trap_vector(write_one, &a);

		strange += v != TRAP_NONE && v != TRAP_GP;
		strange += (rdmsr(MSR_BASE) & ~UINT64_C(0xd00)) != BASE;
	}
	tap_is(strange, 0, "APIC: any value for its base is #GP, or a mode");
}

/* Each kind of IPI there is, and is not, to ids without a vCPU. */
static void nobody(void)
{
	fresh(BASE_ENABLE | BASE_X2APIC);
	for (uint64_t mode = 0; mode < 8; mode++)
		for (uint64_t id = NOBODY; id < NOBODY + 200; id++) {
			struct access a = {0x800 + ICR, id << 32 | 0x4000 | mode << 8 | 0x40};

			trap_vector(write_one, &a);
		}
	tap_ok(true, "APIC: IPIs to nobody");
}

/* Interrupts are off; what comes of it is forgotten with the next `fresh`. */
static void noise_by_msr(void)
{
	unsigned strange = 0;

	fresh(BASE_ENABLE | BASE_X2APIC);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t noise = random_mix(0xa91c + i);
		struct access a = {0x800 + (noise >> 40) % 64, noise & (noise >> 8) & 0x3ffff};
		int v;

		if (a.msr == 0x800 + ICR)
			a.value = (uint64_t)NOBODY << 32 | (a.value & 0xcfff);
		v = trap_vector(write_one, &a);
		strange += v != TRAP_NONE && v != TRAP_GP;
	}
	tap_is(strange, 0, "APIC: noise by MSR: #GP or nothing");
}

static void noise_by_memory(void)
{
	uint32_t sum = 0;

	fresh(BASE_ENABLE);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t noise = random_mix(0x3310 + i);
		uint32_t offset = noise >> 40 & 0xffc;
		volatile uint32_t *at = (volatile uint32_t *)(uint64_t)(BASE + offset);

		sum += *at;
		if (offset >> 4 != ICR && offset >> 4 != ICR + 1)
			*at = (uint32_t)noise;
	}
	/* Not aligned: no register is there. */
	for (unsigned i = 1; i < 4; i++)
		sum += *(volatile uint32_t *)(uint64_t)(BASE + 0x30 + i);
	tap_ok(true, "APIC: noise by memory (%x)", sum);
}

void attack_apic(void)
{
	irq_off();
	sweeps();
	base_values();
	nobody();
	noise_by_msr();
	noise_by_memory();
	fresh(BASE_ENABLE);
	irq_on();
}

/* ---- each a run of its own; enabled, in xAPIC mode ---- */

static uint64_t const version = BASE + 0x30;

void apic_exchange(void)
{
	uint32_t value = 0;

	__asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(version) : "memory");
}

void apic_byte(void)
{
	(void)*(volatile uint8_t *)version;
}

void apic_wide(void)
{
	(void)*(volatile uint64_t *)version;
}

void apic_string(void)
{
	uint64_t from = version, to = (uint64_t)__builtin_frame_address(0) - 512, count = 4;

	__asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

void apic_stack(void)
{
	__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(version));
}

void apic_code(void)
{
	((void (*)(void))version)();
}

void apic_tables(void)
{
	WRITE_CR(3, BASE);
}

/* In x2APIC mode nothing is there. */
void apic_gone(void)
{
	fresh(BASE_ENABLE | BASE_X2APIC);
	(void)*(volatile uint32_t *)version;
}

/* The only vCPU waits for a start-up IPI that nobody can send. */
void apic_init_itself(void)
{
	fresh(BASE_ENABLE | BASE_X2APIC);
	wrmsr(0x800 + ICR, 0x4500);
	for (;;)
		__asm__ volatile("pause");
}
