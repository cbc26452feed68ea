/* SPDX-License-Identifier: MIT */
/*
 * Pins: the hypervisor keeps a pointer into a guest's page (shared_info, a vcpu_info,
 * a runstate area). Such a page is made private and writable once, at
 * registration, and then is never merged, moved or ballooned: FRAME_PINNED says so on
 * the frame, and the table of the space counts the pins of each guest frame.
 */
#include "mm/pin.h"
#include "mm/cow.h"
#include "mm/repay.h"

static struct space_pin *pin_find(struct space *s, gfn_t gfn)
{
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		if (s->pins[i].count && gfn_eq(s->pins[i].gfn, gfn))
			return &s->pins[i];
	return NULL;
}

static struct space_pin *pin_slot(struct space *s)
{
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		if (!s->pins[i].count)
			return &s->pins[i];
	return NULL;
}

/* A page that another domain has lent to us: it may go at any time (granted.c). */
static bool pin_granted(struct space *s, gfn_t gfn)
{
	struct p2m_slot p;

	if (!s->stats.granted)
		return false;
	p = p2m_find(s, gfn);
	return p.entry && p.level == 1 && pte_kind(p2m_entry_get(p.entry), 1) == PTE_LEAF &&
	       granted_leaf(s, p2m_entry_get(p.entry));
}

static enum mm_status pin_locked(struct space *s, gfn_t gfn, mfn_t *mfn)
{
	struct space_pin *p = pin_find(s, gfn);
	enum mm_status st;

	if (pin_granted(s, gfn))
		return MM_NORAM;
	if (!p)
		p = pin_slot(s);
	if (!p || p->count == UINT32_MAX)
		return MM_LIMIT;
	st = cow_writable(s, gfn, false, mfn);
	if (st != MM_OK)
		return st == MM_NOMEM ? MM_NOMEM : MM_NORAM;
	p2m_mark_dirty(s, gfn, *mfn);
	frame_set_flag(frame_at(*mfn), FRAME_PINNED);
	p->gfn = gfn;
	if (p->count++ == 0)
		s->stats.pinned++;
	return MM_OK;
}

enum mm_status mm_pin(struct space *s, gfn_t gfn, void **page)
{
	enum mm_status st;
	unsigned turns = 0;
	mfn_t mfn;

	do {
		p2m_lock(s);
		st = pin_locked(s, gfn, &mfn);
		p2m_unlock(s);
	} while (st == MM_NOMEM && repay_for(&turns));
	if (st == MM_OK)
		*page = env_frame(mfn);
	return st;
}

/* Whether another pin is on the same frame: a service page may have two places in a guest. */
static bool pin_elsewhere(struct space *s, mfn_t mfn)
{
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		if (s->pins[i].count && mfn_eq(p2m_lookup_locked(s, s->pins[i].gfn).mfn, mfn))
			return true;
	return false;
}

void mm_unpin(struct space *s, gfn_t gfn)
{
	struct space_pin *p;
	mfn_t mfn;

	p2m_lock(s);
	p = pin_find(s, gfn);
	ASSERT(p);
	mfn = p2m_lookup_locked(s, gfn).mfn;
	ASSERT(mfn_valid(mfn) && frame_flag(frame_at(mfn), FRAME_PINNED));
	p2m_mark_dirty(s, gfn, mfn);
	if (--p->count == 0) {
		if (frame_kind(frame_at(mfn)) == FRAME_PRIVATE || !pin_elsewhere(s, mfn))
			frame_clear_flag(frame_at(mfn), FRAME_PINNED);
		s->stats.pinned--;
	}
	p2m_unlock(s);
}

bool pin_in_range(const struct space *s, gfn_t first, uint64_t pages)
{
	if (!s->stats.pinned)
		return false;
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		if (s->pins[i].count && s->pins[i].gfn.n - first.n < pages)
			return true;
	return false;
}

void pin_drop_all(struct space *s)
{
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++) {
		if (!s->pins[i].count)
			continue;
		frame_clear_flag(frame_at(p2m_lookup_locked(s, s->pins[i].gfn).mfn), FRAME_PINNED);
		s->pins[i].count = 0;
	}
	s->stats.pinned = 0;
}
