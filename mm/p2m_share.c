/* SPDX-License-Identifier: MIT */
/*
 * What happens to a leaf on the way to being shared:
 *
 *	private, writable --protect--> private, read-only --share---> shared (first mapping)
 *	        ^                          |        |
 *	        +------ write fault -------+        +-------switch--> shared or constant
 *
 * and the harvest of dirty bits. The p2m lock is held throughout; the flushes
 * between the steps are the caller's (mm/merge.c).
 */
#include "mm/quiet.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/scan.h"
#include "mm/trace.h"

/* The small leaf of gfn, or NULL. A merge asks several times for the same one. */
static uint64_t *leaf_small(struct space *s, gfn_t gfn)
{
	uint64_t *e = p2m_at(s, &s->near, gfn);

	return e && pte_kind(p2m_entry_get(e), 1) == PTE_LEAF ? e : NULL;
}

static bool leaf_is_private(uint64_t v)
{
	return !(mm.format->sw(v) & (PTE_SW_SHARED | PTE_SW_UNTOUCHED | PTE_SW_FOREIGN));
}

static mfn_t leaf_mergeable(struct space *s, const uint64_t *e)
{
	uint64_t v;
	mfn_t mfn;

	if (!e || s->dying)
		return MFN_NONE;
	v = p2m_entry_get(e);
	if (!leaf_is_private(v))
		return MFN_NONE;
	mfn = mm.format->frame(v, 1);
	return frame_flag(frame_at(mfn), FRAME_PINNED | FRAME_GUEST_TABLE) ? MFN_NONE : mfn;
}

mfn_t p2m_mergeable(struct space *s, gfn_t gfn)
{
	return leaf_mergeable(s, leaf_small(s, gfn));
}

void p2m_protect_leaf(uint64_t *e)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), protected;
	mfn_t mfn = f->frame(v, 1);

	do {
		protected = f->leaf(mfn, 1, f->access(v) & ~PTE_W, PTE_SW_PROTECTED);
		protected |= v & f->accessed_mask;
	} while (!p2m_entry_cas(e, &v, protected));
	if (v & f->dirty_mask) {
		frame_set_flag(frame_at(mfn), FRAME_STALE);
		trace_written(frame_at(mfn));
	}
}

bool p2m_protect(struct space *s, gfn_t gfn)
{
	uint64_t *e = leaf_small(s, gfn);
	mfn_t mfn = leaf_mergeable(s, e);

	if (!mfn_valid(mfn))
		return false;
	p2m_protect_leaf(e);
	if (frame_flag(frame_at(mfn), FRAME_STALE))
		quiet_doubt(s, gfn);
	return true;
}

/* Whether this leaf maps mfn, which may be merged, protected. */
static bool leaf_is_protected(struct space *s, const uint64_t *e, mfn_t mfn)
{
	return mfn_valid(mfn) && mfn_eq(leaf_mergeable(s, e), mfn) &&
	       mm.format->sw(p2m_entry_get(e)) & PTE_SW_PROTECTED;
}

bool p2m_protected(struct space *s, gfn_t gfn, mfn_t mfn)
{
	p2m_assert_flushed(s);
	return leaf_is_protected(s, leaf_small(s, gfn), mfn);
}

void p2m_unprotect(struct space *s, gfn_t gfn)
{
	uint64_t *e = leaf_small(s, gfn), v;

	if (!e)
		return;
	v = p2m_entry_get(e);
	if (!leaf_is_private(v) || !(mm.format->sw(v) & PTE_SW_PROTECTED))
		return;
	/* Protected is what a clean page is, where there are no dirty flags. */
	if (!mm.format->clean_mask || frame_flag(frame_at(mm.format->frame(v, 1)), FRAME_STALE))
		p2m_allow_write(e, 1);
	quiet_doubt(s, gfn);
}

void p2m_allow_write(uint64_t *e, unsigned level)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), open;

	do {
		open = f->leaf(f->frame(v, level), level, f->access(v) | PTE_W, 0);
		open |= v & (f->accessed_mask | f->dirty_mask);
	} while (!p2m_entry_cas(e, &v, open));
}

void p2m_allow_exec(uint64_t *e)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), open;

	do {
		open = f->leaf(f->frame(v, 1), 1, f->access(v) | PTE_X, f->sw(v));
		open |= v & (f->accessed_mask | f->dirty_mask | f->look_mask);
	} while (!p2m_entry_cas(e, &v, open));
}

/* A leaf that maps a shared or constant frame: read-only, no dirty bit. */
static void leaf_set_shared(uint64_t *e, mfn_t mfn)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), shared;

	do {
		shared = f->leaf(mfn, 1, f->access(v) & ~PTE_W, PTE_SW_SHARED);
		shared |= v & f->accessed_mask;
	} while (!p2m_entry_cas(e, &v, shared));
}

bool p2m_share(struct space *s, gfn_t gfn, mfn_t mfn)
{
	uint64_t *e = leaf_small(s, gfn);

	ASSERT(leaf_is_protected(s, e, mfn));
	if (!fund_unhold(s, 1))
		return false;
	leaf_set_shared(e, mfn);
	s->stats.private_pages--;
	s->stats.shared_mappings++;
	s->stats.merges++;
	counter_add(&mm.count.shared_mappings, 1);
	frame_count(FRAME_PRIVATE, FRAME_SHARED, 1);
	return true;
}

void p2m_switch(struct space *s, gfn_t gfn, mfn_t survivor, struct deferred *d)
{
	uint64_t *e = leaf_small(s, gfn);
	mfn_t old = leaf_mergeable(s, e);

	ASSERT(d->space == s && mfn_valid(old));
	ASSERT(mm.format->sw(p2m_entry_get(e)) & PTE_SW_PROTECTED);
	leaf_set_shared(e, survivor);
	flush_owe(s);
	s->stats.private_pages--;
	s->stats.merges++;
	if (mfn_eq(survivor, zero_frame())) {
		s->stats.zero_mappings++;
		deferred_add_clean(d, old); /* no leaf is writable any more: it stays zeroes */
		return;
	}
	if (mfn_eq(survivor, ones_frame())) {
		s->stats.ones_mappings++;
	} else {
		ASSERT(frame_kind(frame_at(survivor)) == FRAME_SHARED);
		s->stats.shared_mappings++;
		counter_add(&mm.count.shared_mappings, 1);
	}
	deferred_add(d, old);
}

/* ---- dirty bits ---- */

void p2m_mark_dirty(struct space *s, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	quiet_doubt(s, gfn);
	frame_set_flag(f, FRAME_STALE);
	if (frame_owner(f) == s->domid) /* else lent by another domain, and pinned there */
		trace_written(f);
	if (frame_kind(f) == FRAME_PRIVATE && frame_flag(f, FRAME_INDEXED))
		index_remove(mfn);
	scan_tell(s, gfn, SCAN_FILLED);
}

static void harvest_frame(struct frame *f)
{
	frame_set_flag(f, FRAME_STALE);
	trace_written(f);
}

static void harvest_frames(mfn_t first, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		if (frame_kind(frame_at(MFN(first.n + i))) == FRAME_PRIVATE)
			harvest_frame(frame_at(MFN(first.n + i)));
}

/* One leaf: returns whether it was dirty. */
static bool harvest_leaf(uint64_t *e, unsigned level)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e);

	if (!(v & f->dirty_mask)) /* quick: most are clean */
		return false;
	if (f->kind(v, level) != PTE_LEAF || !leaf_is_private(v))
		return false;
	while (!p2m_entry_cas(e, &v, (v & ~f->dirty_mask) | f->clean_mask))
		;
	harvest_frames(f->frame(v, level), level == 1 ? 1 : LARGE_PAGES);
	return true;
}

uint64_t p2m_harvest(struct space *s, gfn_t first, uint64_t pages)
{
	uint64_t end = min_u64(first.n + pages, GFN_LIMIT), dirty = 0, before;
	gfn_t gfn = first;

	while (gfn.n < end) {
		struct p2m_slot p = p2m_find(s, gfn);
		uint64_t stop = align_down(gfn.n, LARGE_PAGES) + LARGE_PAGES;

		if (!p.entry) {
			gfn = p2m_next_locked(s, gfn);
			continue;
		}
		before = dirty;
		if (p.level > 1)
			dirty += harvest_leaf(p.entry, p.level);
		for (gfn_t g = gfn; p.level == 1 && g.n < min_u64(stop, end); g.n++)
			dirty += harvest_leaf(p.entry++, 1);
		if (dirty != before)
			quiet_doubt(s, gfn);
		gfn.n = stop;
	}
	if (dirty)
		s->harvest_owes = atomic_load(&s->generation) + 1;
	return dirty;
}
