/* SPDX-License-Identifier: MIT */
/*
 * A ticket spinlock in C11 atomics: first come, first served, so that a CPU
 * which asks again and again cannot starve another.
 *
 * The hypervisor runs with interrupts off (see kernel/machine.h), and no
 * interrupt handler takes a lock, so there is no irq-saving form.
 *
 * The order of the memory core's locks is in mm/lock_order.h, and asserted for each CPU.
 */
#ifndef MM_LEAF_LOCK_H
#define MM_LEAF_LOCK_H

#include <stdatomic.h>
#include "mm/leaf/types.h"

struct spinlock {
	_Atomic uint32_t next;  /* the ticket that the next comer draws */
	_Atomic uint32_t owner; /* the ticket that is being served */
};

void env_relax(void); /* a pause in a spin loop (mm/env.h) */

static inline void spin_lock(struct spinlock *l)
{
	uint32_t mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&l->owner, memory_order_acquire) != mine)
		env_relax();
}

/* Take the lock if it is free; returns whether it was taken. */
static inline bool spin_trylock(struct spinlock *l)
{
	uint32_t owner = atomic_load_explicit(&l->owner, memory_order_acquire);
	uint32_t expected = owner;

	return atomic_compare_exchange_strong_explicit(&l->next, &expected, owner + 1,
	                                               memory_order_acquire, memory_order_relaxed);
}

static inline void spin_unlock(struct spinlock *l)
{
	uint32_t owner = atomic_load_explicit(&l->owner, memory_order_relaxed);

	atomic_store_explicit(&l->owner, owner + 1, memory_order_release);
}

/* Whether anyone holds the lock: for assertions only. */
static inline bool spin_is_locked(struct spinlock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) !=
	       atomic_load_explicit(&l->next, memory_order_relaxed);
}

#endif
