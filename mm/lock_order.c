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
	uint16_t rank[LOCKS_HELD_MAX];
} __attribute__((aligned(64)));

static struct held_locks held[ENV_MAX_CPUS];

void lock_order_init(void)
{
	for (unsigned cpu = 0; cpu < ENV_MAX_CPUS; cpu++)
		held[cpu].n = 0;
}

static void lock_push(struct held_locks *h, unsigned rank)
{
	ASSERT(h->n < LOCKS_HELD_MAX);
	h->rank[h->n++] = (uint16_t)rank;
}

void lock_take(struct spinlock *l, unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	/* Equal ranks are refused too: it is the same lock, or a pair without an order. */
	ASSERT(h->n == 0 || h->rank[h->n - 1] < rank);
	spin_lock(l);
	lock_push(h, rank);
}

bool lock_try(struct spinlock *l, unsigned rank)
{
	if (!spin_trylock(l))
		return false;
	lock_push(&held[env_cpu()], rank);
	return true;
}

/* Two p2m locks may go in any order: take the rank out of the middle. */
static void lock_forget(struct held_locks *h, unsigned rank)
{
	unsigned i = h->n;

	while (i > 0 && h->rank[i - 1] != rank)
		i--;
	ASSERT(i > 0);
	for (; i < h->n; i++)
		h->rank[i - 1] = h->rank[i];
	h->n--;
}

void lock_drop(struct spinlock *l, unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	if (h->n && h->rank[h->n - 1] == rank) /* nearly always */
		h->n--;
	else
		lock_forget(h, rank);
	spin_unlock(l);
}

bool lock_held(unsigned rank)
{
	struct held_locks *h = &held[env_cpu()];

	for (unsigned i = 0; i < h->n; i++)
		if (h->rank[i] == rank)
			return true;
	return false;
}

void lock_assert_none(void)
{
	ASSERT(held[env_cpu()].n == 0);
}
