/* SPDX-License-Identifier: MIT */
/*
 * Large leaves, made. (They are split in p2m.c, by whoever needs a small one.)
 *
 * Populate: a large frame of zeroes for 512 pages that hold no frame of their own.
 *
 * Coalesce: 512 small leaves become one again. Two ways:
 *
 *	in place	the frames still lie in one large frame, in order: the level-2
 *			entry is exchanged -> flush -> what the CPUs noted in the old
 *			leaves goes to the new one -> the table is given back
 *	in place, shared  the same for 512 shared pages (mm/large_share.c)
 *	by copy		take a large frame -> protect the small leaves -> flush -> copy
 *			-> exchange, still read-only -> flush -> writes are allowed,
 *			the table and the old frames are given back
 *
 * Why no byte is lost. In place every page keeps its frame, so old and new translations
 * reach the same bytes. A copy is protected like a merge: after the first flush
 * no CPU can write, and who tries waits for the p2m lock. Between the exchange and the second
 * flush one CPU may read the old frame and its neighbour the new one, which is why nobody
 * may write yet (mm/cow.c has the same step and the reason).
 *
 * Why no write is overlooked. Accessed and dirty bits are in the leaves. In place, a CPU may
 * set them in an old leaf until the flush; they are collected after it, into the new leaf, where
 * one D bit speaks for all 512. Nobody reads D bits meanwhile: that takes the p2m
 * lock. (Without dirty flags, where "dirty" is the write right, the large leaf is protected if all
 * the small ones were.) By copy, protecting turned D into STALE. A new frame is STALE from birth, unless
 * the old one was a hint and not stale: then the content is that of the fingerprint still, and
 * the hint moves along.
 *
 * A large leaf can be split at any time, which needs a table and must not fail. So one is made
 * only where a table is set aside for promised RAM (mm/p2m_table.c), and the table
 * that it replaces goes back to just that share of the pool.
 */
#include "mm/large.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/large_share.h"
#include "mm/p2m_table.h"

unsigned large_access(void)
{
	return PTE_R | PTE_W | (mm.large_nx ? 0 : PTE_X);
}

void large_open(uint64_t *e, uint64_t more)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), open;

	do {
		open = f->leaf(f->frame(v, 2), 2, large_access(), 0) | more;
		open |= v & (f->accessed_mask | f->dirty_mask);
	} while (!p2m_entry_cas(e, &v, open));
}

void large_leave_clean(uint64_t *e)
{
	const struct pte_format *f = mm.format;
	mfn_t mfn = f->frame(p2m_entry_get(e), 2);

	p2m_entry_exchange(e, f->leaf(mfn, 2, large_access() & ~PTE_W, PTE_SW_PROTECTED));
}

/* ---- populate ---- */

static void large_zero(mfn_t first)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		env_page_zero(env_frame(MFN(first.n + i)));
}

enum mm_status large_populate(struct space *s, gfn_t first)
{
	mfn_t mfn = fund_take_large(s, first, FUND_POPULATE);
	uint64_t *e, old;

	if (!mfn_valid(mfn))
		return MM_NOMEM;
	large_zero(mfn);
	e = p2m_make_large(s, first);
	ASSERT(e && p2m_table_promised(s, first, 1));
	old = p2m_entry_exchange(e, mm.format->leaf(mfn, 2, large_access() & ~PTE_W, 0));
	if (pte_kind(old, 2) == PTE_TABLE) {
		flush_space(s);
		p2m_table_release(s, mm.format->frame(old, 2), true);
	}
	/* Writable only now, as in cow.c: some of the pages may have been read as zeroes. */
	large_open(e, 0);
	s->stats.private_pages += LARGE_PAGES;
	s->stats.populates += LARGE_PAGES;
	s->stats.large_leaves++;
	s->large = true;
	return MM_OK;
}

/* How many of the 512 pages are untouched but mapped; LARGE_PAGES + 1 if one is not untouched. */
static uint64_t large_count_mapped(struct space *s, gfn_t first)
{
	uint64_t mapped = 0;

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		struct p2m_view v = p2m_lookup_locked(s, GFN(first.n + i));

		if (v.type != P2M_UNTOUCHED || !p2m_is_ram(s, GFN(first.n + i)))
			return LARGE_PAGES + 1;
		mapped += mfn_valid(v.mfn);
	}
	return mapped;
}

enum mm_status mm_populate_large(struct space *s, gfn_t first)
{
	enum mm_status st = MM_INVAL;
	uint64_t mapped;

	if (first.n % LARGE_PAGES || first.n >= GFN_LIMIT)
		return MM_INVAL;
	p2m_lock(s);
	mapped = large_count_mapped(s, first);
	if (!s->dying && mapped <= LARGE_PAGES)
		st = large_populate(s, first);
	if (st == MM_OK) {
		s->stats.untouched -= LARGE_PAGES;
		s->stats.untouched_mapped -= mapped;
	}
	p2m_unlock(s);
	return st;
}

/* ---- coalesce ---- */

/* One level-1 table that is about to go. */
struct large_old {
	gfn_t first;
	uint64_t *leaves; /* 512 small leaves */
	uint64_t *e;      /* the level-2 entry that leads to them */
	bool written;     /* without dirty flags: one of them may be written */
};

static mfn_t large_old_frame(const struct large_old *old, unsigned i)
{
	return mm.format->frame(p2m_entry_get(&old->leaves[i]), 1);
}

/*
 * Protected is what a clean page is, without dirty flags; a merge that has protected it for
 * itself finds it gone, and gives up (p2m_protected).
 */
static bool large_may_write(uint64_t leaf)
{
	const struct pte_format *f = mm.format;

	if (f->clean_mask && f->sw(leaf) == PTE_SW_PROTECTED)
		return true;
	return !f->sw(leaf) && f->access(leaf) & PTE_W;
}

/*
 * Whether all 512 leaves are private pages, none of them in the middle of a merge (protected),
 * and none pinned.
 */
static enum mm_status large_check(const struct large_old *old)
{
	const struct pte_format *f = mm.format;
	enum mm_status st = MM_OK;

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint64_t v = p2m_entry_get(&old->leaves[i]);

		if (pte_kind(v, 1) != PTE_LEAF || !large_may_write(v))
			return MM_INVAL;
		if (frame_flag(frame_at(f->frame(v, 1)), FRAME_PINNED))
			st = MM_PINNED;
	}
	return st;
}

static bool large_lies_in_order(const struct large_old *old)
{
	mfn_t first = large_old_frame(old, 0);

	if (first.n % LARGE_PAGES)
		return false;
	for (unsigned i = 1; i < LARGE_PAGES; i++)
		if (!mfn_eq(large_old_frame(old, i), MFN(first.n + i)))
			return false;
	return true;
}

/* What CPUs have set in the old leaves; final once they are flushed. */
static uint64_t large_collect(const struct large_old *old, uint64_t mask)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		bits |= p2m_entry_get(&old->leaves[i]);
	return bits & mask;
}

/* Every CPU has flushed: the leaf is opened, and the table that it replaced is free. */
static void large_finish(struct space *s, const struct large_old *old, uint64_t table,
                         uint64_t mask)
{
	const struct pte_format *f = mm.format;
	uint64_t bits = large_collect(old, mask) | (table & f->accessed_mask);

	if (f->clean_mask && !old->written && !(bits & f->dirty_mask))
		large_leave_clean(old->e);
	else
		large_open(old->e, bits);
	p2m_table_release(s, mm.format->frame(table, 2), true);
	s->stats.large_leaves++;
	s->stats.coalesces++;
}

static void large_join(struct space *s, const struct large_old *old)
{
	const struct pte_format *f = mm.format;
	unsigned access = f->clean_mask ? large_access() & ~PTE_W : large_access();
	uint64_t leaf = f->leaf(large_old_frame(old, 0), 2, access, 0), table;

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		frame_set_flag(frame_at(large_old_frame(old, i)), FRAME_LARGE);
	table = p2m_entry_exchange(old->e, leaf);
	flush_space(s);
	large_finish(s, old, table, f->accessed_mask | f->dirty_mask);
}

/* What is known of an old frame, for the new one of equal content: p2m lock held. */
static void large_carry(struct space *s, mfn_t from, mfn_t to)
{
	struct frame *f = frame_at(from), *t = frame_at(to);

	frame_set_age(t, frame_age(f));
	if (frame_flag(f, FRAME_GUEST_TABLE))
		frame_set_flag(t, FRAME_GUEST_TABLE);
	if (!frame_flag(f, FRAME_INDEXED) || frame_flag(f, FRAME_STALE))
		return;
	index_remove(from);
	frame_clear_flag(t, FRAME_STALE);
	index_insert_hint(to, f->fingerprint, s->share_group);
}

/* Copy every page; no CPU can write it. */
static void large_copy(const struct large_old *old, mfn_t to)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		env_page_copy(env_frame(MFN(to.n + i)), env_frame(large_old_frame(old, i)));
}

static void large_move(struct space *s, struct large_old *old, mfn_t to)
{
	const struct pte_format *f = mm.format;
	uint64_t table, generation;
	struct deferred d;

	deferred_init(&d, s);
	old->written = f->clean_mask && large_collect(old, f->dirty_mask);
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		p2m_protect_leaf(&old->leaves[i]);
	env_point(POINT_LARGE_PROTECTED);
	flush_space(s);
	large_copy(old, to);
	env_point(POINT_LARGE_COPIED);
	table = p2m_entry_exchange(old->e, f->leaf(to, 2, large_access() & ~PTE_W, 0));
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		large_carry(s, large_old_frame(old, i), MFN(to.n + i));
		deferred_add(&d, large_old_frame(old, i));
	}
	env_point(POINT_LARGE_SWITCHED);
	generation = deferred_seal(&d);
	flush_wait(s, generation);
	large_finish(s, old, table, f->accessed_mask);
	deferred_finish(&d, generation);
	s->stats.coalesce_copies++;
}

static enum mm_status large_coalesce(struct space *s, gfn_t first)
{
	struct large_old old = {.first = first};
	struct p2m_slot p = p2m_find(s, first);
	enum mm_status st;
	mfn_t to;

	if (s->dying || !p.entry || p.level != 1 || !p2m_table_promised(s, first, 1))
		return MM_INVAL;
	old.leaves = p.entry; /* first is the first of its table */
	old.e = p2m_find_over(s, first);
	if (large_is_run(old.leaves)) {
		large_join_shared(s, old.e);
		return MM_OK;
	}
	st = large_check(&old);
	if (st != MM_OK)
		return st;
	if (large_lies_in_order(&old)) {
		large_join(s, &old);
		return MM_OK;
	}
	to = fund_take_large(s, first, FUND_MOVE);
	if (!mfn_valid(to))
		return MM_NOMEM;
	large_move(s, &old, to);
	return MM_OK;
}

enum mm_status mm_coalesce(struct space *s, gfn_t first)
{
	enum mm_status st;

	if (first.n % LARGE_PAGES || first.n >= GFN_LIMIT)
		return MM_INVAL;
	p2m_lock(s);
	st = large_coalesce(s, first);
	p2m_unlock(s);
	return st;
}
