/* SPDX-License-Identifier: MIT */
/*
 * Giving back at once: see repay.h. The lock keeps a space from going away while somebody
 * gives its pages back: space.c calls repay_forget, which takes it, before it forgets the space.
 * It is taken outside of all p2m locks, so whoever is short lets go of its own space first.
 */
#include "mm/repay.h"
#include "mm/core.h"

#define REPAY_PAGES 64u /* at a time: some hundred thousand instructions of scrubbing */

static struct {
	struct spinlock lock;
	domid_t line[MM_MAX_SPACES];
	unsigned first;
	_Atomic unsigned n;
} repay;

void repay_init(void)
{
	__builtin_memset(&repay, 0, sizeof(repay));
}

static void repay_lock(void)
{
	lock_take(&repay.lock, LOCK_REPAY);
}

static void repay_unlock(void)
{
	lock_drop(&repay.lock, LOCK_REPAY);
}

static domid_t *repay_at(unsigned i)
{
	return &repay.line[(repay.first + i) % MM_MAX_SPACES];
}

static void repay_drop_first(void)
{
	ASSERT(repay.n > 0);
	repay.first = (repay.first + 1) % MM_MAX_SPACES;
	repay.n--;
}

bool repay_pending(void)
{
	return atomic_load_explicit(&repay.n, memory_order_relaxed) != 0;
}

void repay_offer(struct space *s)
{
	repay_lock();
	ASSERT(s->dying && repay.n < MM_MAX_SPACES);
	*repay_at(repay.n) = s->domid;
	repay.n++;
	repay_unlock();
}

void repay_forget(struct space *s)
{
	unsigned kept = 0;

	repay_lock();
	for (unsigned i = 0; i < repay.n; i++)
		if (*repay_at(i) != s->domid)
			*repay_at(kept++) = *repay_at(i);
	repay.n = kept;
	repay_unlock();
}

bool repay_some(void)
{
	bool some;

	if (!repay_pending())
		return false;
	repay_lock();
	some = repay.n > 0;
	if (some && space_give_back(space_find(*repay_at(0)), REPAY_PAGES))
		repay_drop_first();
	repay_unlock();
	return some;
}

bool repay_for(unsigned *turns)
{
	return (*turns)++ < REPAY_TURNS && repay_some();
}
