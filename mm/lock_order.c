/* SPDX-License-Identifier: MIT */
/*
 * The lock order, asserted. Each CPU keeps the ranks of the locks that it holds,
 * in the order in which it took them; nobody but that CPU reads or writes them.
 */
#include "mm/lock_order.h"
#include "mm/env.h"

#define LOCKS_HELD_MAX 12u

struct held_locks {
	unsigned n;
	uint16_t rank[LOCKS_HELD_MAX + 1]; /* from 1 on; rank[0] is 0, below every lock's */
} __attribute__((aligned(64)));

static struct held_locks held[ENV_MAX_CPUS];

void lock_order_init(void)
{
	for (unsigned cpu = 0; cpu < ENV_MAX_CPUS; cpu++)
		held[cpu].n = 0;
}

static inline void lock_push(struct held_locks *h, unsigned n, unsigned rank)
{
	ASSERT(n < LOCKS_HELD_MAX);
	h->rank[n + 1] = (uint16_t)rank;
	h->n = n + 1;
}

void lock_take(struct spinlock *l, unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];
	unsigned n = h->n;

	/* Equal ranks are refused too: it is the same lock, or a pair without an order. */
	ASSERT(h->rank[n] < rank);
	lock_push(h, n, rank); /* seen by this CPU only: as well now as when the lock is ours */
	spin_lock(l);
}

bool lock_try(struct spinlock *l, unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	if (!spin_trylock(l))
		return false;
	lock_push(h, h->n, rank);
	return true;
}

/* Two p2m locks may go in any order: take the rank out of the middle. */
static void lock_forget(struct held_locks *h, unsigned rank)
{
	unsigned i = h->n;

	while (i > 0 && h->rank[i] != rank)
		i--;
	ASSERT(i > 0);
	for (; i < h->n; i++)
		h->rank[i] = h->rank[i + 1];
	h->n--;
}

void lock_drop(struct spinlock *l, unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	if (h->rank[h->n] == rank) /* nearly always */
		h->n--;
	else
		lock_forget(h, rank);
	spin_unlock(l);
}

bool lock_held(unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	for (unsigned i = 1; i <= h->n; i++)
		if (h->rank[i] == rank)
			return true;
	return false;
}

void lock_assert_none(void)
{
	ASSERT(held[env_cpu()].n == 0);
}
