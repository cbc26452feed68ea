/* SPDX-License-Identifier: MIT */
/*
 * Random bits for keys and salts: a state of 256 bits into which every call
 * stirs RDRAND where there is one, and the TSC; SipHash's round
 * (Aumasson and Bernstein, 2012) between input and output, so that an output
 * tells nothing of the next.
 */
#include "arch/x86_64/cpu.h"
#include "kernel/machine.h"
#include "mm/leaf/lock.h"

#define SEED_ROUNDS 64u

static struct spinlock lock;
static uint64_t v[4] = {0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261,
                        0x7465646279746573};
static bool seeded;

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void round(void)
{
	v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
	v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* What the CPU gives of itself; 0 if it has nothing, or not at the moment. */
static uint64_t hardware(void)
{
	uint64_t r = 0;
	bool good = false;

	for (unsigned i = 0; i < 10 && !good && (cpuid(1, 0).ecx & BIT(30)); i++)
		asm volatile("rdrand %0; setc %1" : "=r"(r), "=qm"(good)::"cc");
	return good ? r : 0;
}

static void stir(uint64_t x)
{
	v[3] ^= x;
	round();
	round();
	v[0] ^= x;
}

/* How long a read of a slow port takes varies by some bits each time. */
static void seed(void)
{
	for (unsigned i = 0; i < SEED_ROUNDS; i++) {
		stir(rdtsc());
		inb(0x61);
		stir(hardware());
	}
	seeded = true;
}

uint64_t machine_random(void)
{
	uint64_t r;

	spin_lock(&lock);
	if (!seeded)
		seed();
	stir(rdtsc() ^ hardware());
	for (unsigned i = 0; i < 4; i++)
		round();
	r = v[0] ^ v[1] ^ v[2] ^ v[3];
	round();
	v[2] ^= 0xff; /* never the state that was shown */
	spin_unlock(&lock);
	return r;
}
