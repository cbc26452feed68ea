/* SPDX-License-Identifier: MIT */
/*
 * The order of locks, written once:
 *
 *	scan lock -> repayments -> compression -> p2m locks by ascending domain id
 *	-> one index bucket -> free list -> a policy's -> the page of compress_peek
 *
 * Each lock has a rank; a CPU may only take a lock of a higher rank than every
 * lock it holds. lock_take() asserts that, per CPU, in every build: it costs a
 * handful of instructions. A trylock may be taken out of order (it cannot
 * deadlock) but what is taken under it counts from its rank.
 */
#ifndef MM_LOCK_ORDER_H
#define MM_LOCK_ORDER_H

#include "mm/leaf/lock.h"
#include "mm/leaf/types.h"

#define LOCK_SCAN     1u
#define LOCK_REPAY    2u
#define LOCK_COMPRESS 3u
#define LOCK_P2M      0x100u /* + domain id */
#define LOCK_BUCKET   0x1000u
#define LOCK_FREE     0x1001u
#define LOCK_POLICY   0x1002u
#define LOCK_PEEK     0x1003u

/* No CPU holds anything: at start. */
void lock_order_init(void);

void lock_take(struct spinlock *l, unsigned rank);
bool lock_try(struct spinlock *l, unsigned rank) must_check;
void lock_drop(struct spinlock *l, unsigned rank);

/* Whether this CPU holds a lock of this rank: for assertions. */
bool lock_held(unsigned rank);

/* Assert that this CPU holds no lock of mm/ at all. */
void lock_assert_none(void);

#endif
