/* SPDX-License-Identifier: MIT */
/* Refusals on request: see inject.h. Who is refused so waits in line, or gives up, as if there were no frame. */
#include "kernel/inject.h"
#include "kernel/machine.h"

bool inject_on;
static uint64_t inject_k, inject_until_ns, inject_asked, inject_count;

static void inject_set(uint64_t k, uint64_t until_ns)
{
	__atomic_store_n(&inject_asked, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&inject_k, k, __ATOMIC_RELAXED);
	__atomic_store_n(&inject_until_ns, until_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&inject_on, k || until_ns, __ATOMIC_RELAXED);
}

void inject_every(uint64_t k)
{
	inject_set(k, 0);
}

void inject_all_until(uint64_t ns)
{
	inject_set(0, ns);
}

uint64_t inject_refused(void)
{
	return __atomic_load_n(&inject_count, __ATOMIC_RELAXED);
}

/* 2^64 by the golden ratio: the high bits of its multiples are well mixed. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/*
 * Request n: one of each k that follow each other. Which one changes: who asks twice for what it needs, and begins
 * anew when the second is refused, would never get it if that were the second of each two.
 */
static bool inject_is_kth(uint64_t n, uint64_t k)
{
	uint64_t drawn = n / k * GOLDEN;

	return n % k == (drawn >> 33) % k;
}

bool inject_refuses_now(void)
{
	uint64_t k = __atomic_load_n(&inject_k, __ATOMIC_RELAXED);
	uint64_t until = __atomic_load_n(&inject_until_ns, __ATOMIC_RELAXED);
	bool refused = machine_ns() < until;

	if (k)
		refused = inject_is_kth(__atomic_fetch_add(&inject_asked, 1, __ATOMIC_RELAXED), k);
	if (refused)
		__atomic_fetch_add(&inject_count, 1, __ATOMIC_RELAXED);
	return refused;
}
