/* SPDX-License-Identifier: MIT */
/*
 * Large leaves that map shared frames.
 *
 * There is no large shared frame: there are 512 shared frames that lie side by side, each with its
 * count and its entry in the index, and leaves of 2 MiB that map all of them, read-only.
 * Such a leaf is one mapping of each. So the frames need not know who maps them by a large
 * leaf and who by a small one:
 *
 *	guest 1   [ shared, 2 MiB, read-only ]		a write of guest 2 has split its leaf,
 *	             |    |    |    |    |    |		copied one page, and dropped that frame's
 *	frames       2    2    2    1    2    2		count; guest 1 notices nothing
 *	             |    |    |         |    |
 *	guest 2   [ ][ ][ ][private][ ][ ]
 *
 * and all that knows small shared pages works as it did: a third guest's single page may be
 * merged with one of them; a split takes no count and gives none, as 512 small leaves are as many
 * mappings; it needs a table, which is set aside while the leaf is large (mm/p2m_table.c).
 *
 *	private, large --protect--> protected --merge (merge_large.c)--> shared, large
 *	       ^                                                          |        ^
 *	       +----- taken back: nobody else maps any of the 512 --------+      split, by a
 *	                                                                  |      write or a hole
 *	                512 small leaves, shared, in order <--------------+        |
 *	                              +------ joined: again in order --------------+
 *
 * Joined: a page that was broken, and is written as it was before, is merged with the frame that
 * the others still have; then all 512 lie in order again, and the table goes (mm_coalesce). The
 * frames stay, so this is one exchange and one flush.
 */
#include "mm/large_share.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/large.h"
#include "mm/p2m_table.h"
#include "mm/quiet.h"
#include "mm/trace.h"

/* The entry of the large leaf at first, or NULL. */
static uint64_t *large_entry(struct space *s, gfn_t first)
{
	struct p2m_slot p = p2m_find(s, first);

	ASSERT(first.n % LARGE_PAGES == 0);
	return p.entry && p.level == 2 ? p.entry : NULL;
}

/* Whether a frame of the run has one of these flags. */
static bool large_any(mfn_t frames, unsigned flags)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		if (frame_flag(frame_at(MFN(frames.n + i)), flags))
			return true;
	return false;
}

/* ---- on the way to being shared ---- */

mfn_t large_mergeable(struct space *s, gfn_t first)
{
	uint64_t *e = large_entry(s, first);
	mfn_t frames;

	if (!e || s->dying || mm.format->sw(p2m_entry_get(e)) & ~PTE_SW_PROTECTED)
		return MFN_NONE;
	frames = mm.format->frame(p2m_entry_get(e), 2);
	return large_any(frames, FRAME_PINNED | FRAME_GUEST_TABLE) ? MFN_NONE : frames;
}

static void large_written(mfn_t frames)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		frame_set_flag(frame_at(MFN(frames.n + i)), FRAME_STALE);
		trace_written(frame_at(MFN(frames.n + i)));
	}
}

void large_protect(struct space *s, gfn_t first)
{
	const struct pte_format *f = mm.format;
	uint64_t *e = large_entry(s, first), v, protected;
	mfn_t frames;

	ASSERT(e);
	v = p2m_entry_get(e);
	frames = f->frame(v, 2);
	do {
		protected = f->leaf(frames, 2, f->access(v) & ~PTE_W, PTE_SW_PROTECTED);
		protected |= v & f->accessed_mask;
	} while (!p2m_entry_cas(e, &v, protected));
	if (v & f->dirty_mask)
		large_written(frames);
}

bool large_protected(struct space *s, gfn_t first, mfn_t frames)
{
	uint64_t *e = large_entry(s, first);

	p2m_assert_flushed(s);
	return e && mfn_eq(large_mergeable(s, first), frames) &&
	       mm.format->sw(p2m_entry_get(e)) & PTE_SW_PROTECTED &&
	       (mm.blind || !large_any(frames, FRAME_STALE));
}

void large_unprotect(struct space *s, gfn_t first)
{
	const struct pte_format *f = mm.format;
	uint64_t *e = large_entry(s, first), v;

	for (unsigned i = 0; !e && i < LARGE_PAGES; i++)
		p2m_unprotect(s, GFN(first.n + i)); /* somebody has split it meanwhile */
	v = e ? p2m_entry_get(e) : 0;
	if (!e || f->sw(v) != PTE_SW_PROTECTED)
		return;
	/* Protected is what a clean page is, where there are no dirty flags. */
	if (!f->clean_mask || large_any(f->frame(v, 2), FRAME_STALE))
		p2m_allow_write(e, 2);
	quiet_doubt(s, first);
}

void large_set_shared(struct space *s, gfn_t first, mfn_t run)
{
	const struct pte_format *f = mm.format;
	uint64_t *e = large_entry(s, first), v, shared;

	ASSERT(e && f->sw(p2m_entry_get(e)) == PTE_SW_PROTECTED);
	ASSERT(frame_kind(frame_at(run)) == FRAME_SHARED);
	v = p2m_entry_get(e);
	do {
		shared = f->leaf(run, 2, f->access(v) & ~PTE_W, PTE_SW_SHARED);
		shared |= v & f->accessed_mask;
	} while (!p2m_entry_cas(e, &v, shared));
	flush_owe(s);
	s->stats.private_pages -= LARGE_PAGES;
	s->stats.shared_mappings += LARGE_PAGES;
	s->stats.merges += LARGE_PAGES;
	s->stats.large_shared++;
	s->stats.large_merges++;
	counter_add(&mm.count.shared_mappings, LARGE_PAGES);
}

/* ---- and back ---- */

bool large_is_alone(mfn_t run)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		if (frame_slot(frame_at(MFN(run.n + i))) != 1)
			return false;
	return true;
}

/* One of them: its fingerprint is that of its content, so it becomes a hint. */
static void large_take_page(struct space *s, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	uint32_t fingerprint = f->fingerprint;
	bool alone = index_take_over(mfn, s->domid, gfn);

	ASSERT(alone);
	frame_clear_flag(f, FRAME_STALE);
	frame_set_flag(f, FRAME_LARGE);
	if (!index_insert_hint(mfn, fingerprint, s->share_group))
		quiet_doubt(s, gfn);
}

bool large_take_back(struct space *s, gfn_t first)
{
	uint64_t *e = large_entry(s, first), v = e ? p2m_entry_get(e) : 0;
	mfn_t run;

	ASSERT(lock_held(LOCK_SCAN));
	if (!e || s->dying || mm.format->sw(v) != PTE_SW_SHARED)
		return false;
	run = mm.format->frame(v, 2);
	if (!large_is_alone(run))
		return false;
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		large_take_page(s, GFN(first.n + i), MFN(run.n + i));
	fund_hold(s, LARGE_PAGES);
	frame_count(FRAME_SHARED, FRAME_PRIVATE, LARGE_PAGES);
	if (mm.format->clean_mask)
		large_leave_clean(e);
	else
		large_open(e, 0);
	s->stats.shared_mappings -= LARGE_PAGES;
	s->stats.private_pages += LARGE_PAGES;
	s->stats.take_overs += LARGE_PAGES;
	s->stats.large_shared--;
	atomic_fetch_sub_explicit(&mm.count.shared_mappings, LARGE_PAGES, memory_order_relaxed);
	return true;
}

/* ---- joined ---- */

bool large_is_run(const uint64_t *leaves)
{
	const struct pte_format *f = mm.format;
	uint64_t first = p2m_entry_get(&leaves[0]);
	mfn_t run = pte_kind(first, 1) == PTE_LEAF ? f->frame(first, 1) : MFN_NONE;

	if (!mfn_valid(run) || run.n % LARGE_PAGES)
		return false;
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint64_t v = p2m_entry_get(&leaves[i]);

		if (pte_kind(v, 1) != PTE_LEAF || f->sw(v) != PTE_SW_SHARED ||
		    f->frame(v, 1).n != run.n + i ||
		    frame_kind(frame_at(f->frame(v, 1))) != FRAME_SHARED)
			return false;
	}
	return true;
}

void large_join_shared(struct space *s, uint64_t *over)
{
	const struct pte_format *f = mm.format;
	mfn_t table = f->frame(p2m_entry_get(over), 2), run;
	const uint64_t *leaves = env_frame(table);

	ASSERT(large_is_run(leaves));
	run = f->frame(p2m_entry_get(leaves), 1);
	p2m_entry_exchange(over, f->leaf(run, 2, large_access() & ~PTE_W, PTE_SW_SHARED));
	flush_space(s);
	p2m_table_release(s, table, true);
	s->stats.large_leaves++;
	s->stats.large_shared++;
	s->stats.coalesces++;
}
