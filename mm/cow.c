/* SPDX-License-Identifier: MIT */
/*
 * Copy on write: a write to a page that is not the domain's own becomes one.
 *
 *	never touched		populate.c: a zeroed frame
 *	compressed		compress.c: expanded into a frame
 *	protected for a merge	writable again; the merge will notice and give up
 *	shared, count one	taken over in place: the index entry goes, under the
 *				bucket lock, before the leaf becomes writable
 *	shared as 2 MiB		split, and then as above or below
 *	shared or constant	broken: copy -> switch the leaf, still read-only ->
 *				flush -> only then allow writes, and only then the
 *				old frame loses its count
 *
 * The copy is made while the leaf is read-only, so no write can be lost. Until
 * the flush is done one CPU of this guest may read the old frame and another the
 * new one. Both hold the same bytes as long as nobody can write: were the new leaf
 * writable at once, a CPU could see a later write of its neighbour and still miss
 * an earlier one to this page, which x86 promises never happens (SDM vol. 3, 8.2).
 *
 * A take-over and an unprotect only add rights to the same frame: no flush. A CPU
 * with the old translation faults once more and is told to go on. But the frame that is taken over may be one
 * that a merge has just put there, and a CPU may read the one before it until the batch is flushed
 * (merge.c): that flush is made now (flush_settle), for the same reason as with a break.
 */
#include "mm/cow.h"
#include "mm/compress.h"
#include "mm/dirty.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/guest_table.h"
#include "mm/populate.h"
#include "mm/quiet.h"
#include "mm/scan.h"
#include "mm/trace.h"

static void cow_unmap_counted(struct space *s, mfn_t old)
{
	if (mfn_eq(old, zero_frame())) {
		s->stats.zero_mappings--;
	} else if (mfn_eq(old, ones_frame())) {
		s->stats.ones_mappings--;
	} else {
		s->stats.shared_mappings--;
		atomic_fetch_sub_explicit(&mm.count.shared_mappings, 1, memory_order_relaxed);
	}
}

/*
 * The small leaf of a shared page. 2 MiB that are shared as a whole are split first: to copy one page
 * costs a five-hundredth of the copy of all, in time and in memory, and the 511 others stay
 * shared. The table for it is set aside while the large leaf is there, so this cannot fail; and it is
 * done when nothing else can.
 */
static uint64_t *cow_small(struct space *s, gfn_t gfn, struct p2m_slot p)
{
	uint64_t *e = p.entry;

	if (p.level > 1) {
		p2m_split_known(s, gfn);
		flush_space(s); /* the level changed; a take-over flushes nothing itself */
		e = p2m_at(s, &s->near, gfn);
		ASSERT(e);
	}
	return e;
}

/* The last reference: the shared frame becomes ours, where it is. */
static void cow_take_over(struct space *s, gfn_t gfn, mfn_t mfn, struct p2m_slot p)
{
	uint64_t *e = cow_small(s, gfn, p);

	flush_settle(s);
	fund_hold(s, 1);
	frame_count(FRAME_SHARED, FRAME_PRIVATE, 1);
	frame_set_flag(frame_at(mfn), FRAME_STALE);
	p2m_allow_write(e, 1);
	cow_unmap_counted(s, mfn);
	s->stats.private_pages++;
	s->stats.take_overs++;
}

/* No write is coming: where a clean page is a protected one, it is protected from the first. */
void cow_take_back(struct space *s, gfn_t gfn, uint64_t *e)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(e), accessed = v & f->accessed_mask;
	mfn_t mfn = f->frame(v, 1);
	uint32_t fingerprint = frame_at(mfn)->fingerprint;
	unsigned rights = f->access(v);
	bool alone = index_take_over(mfn, s->domid, gfn);

	ASSERT(alone && lock_held(LOCK_SCAN));
	fund_hold(s, 1);
	frame_count(FRAME_SHARED, FRAME_PRIVATE, 1);
	frame_clear_flag(frame_at(mfn), FRAME_STALE);
	if (!index_insert_hint(mfn, fingerprint, s->share_group))
		quiet_doubt(s, gfn);
	if (f->clean_mask)
		p2m_entry_exchange(e, f->leaf(mfn, 1, rights, PTE_SW_PROTECTED) | accessed);
	else
		p2m_allow_write(e, 1);
	cow_unmap_counted(s, mfn);
	s->stats.private_pages++;
	s->stats.take_overs++;
}

static void cow_fill(mfn_t to, mfn_t from, bool clean)
{
	if (!mfn_eq(from, zero_frame()))
		env_page_copy(env_frame(to), env_frame(from));
	else if (!clean)
		env_page_zero(env_frame(to));
}

/* A frame of our own in the place of a shared or constant one. */
static enum mm_status cow_copy(struct space *s, gfn_t gfn, struct p2m_slot p, mfn_t *out)
{
	const struct pte_format *f = mm.format;
	uint64_t v = p2m_entry_get(p.entry), generation, *e;
	mfn_t old = pte_frame(v, p.level, gfn), new;
	bool clean;

	new = fund_take(s, gfn, FUND_BREAK, &clean);
	if (!mfn_valid(new))
		return MM_NOMEM;
	e = cow_small(s, gfn, p);
	cow_fill(new, old, clean);
	env_point(POINT_BREAK_COPIED);
	p2m_entry_exchange(e, f->leaf(new, 1, f->access(v) & ~PTE_W, PTE_SW_PROTECTED));
	env_point(POINT_BREAK_SWITCHED);
	generation = flush_begin(s);
	deferred_free(s, old, generation); /* waits for the flush first */
	p2m_entry_exchange(e, f->leaf(new, 1, f->access(v) | PTE_W, 0));
	cow_unmap_counted(s, old);
	s->stats.private_pages++;
	s->stats.breaks++;
	trace_event(TRACE_BREAK, s, gfn, 0);
	*out = new;
	return MM_OK;
}

static enum mm_status cow_break(struct space *s, gfn_t gfn, struct p2m_slot p, bool guest_walk,
                                mfn_t *out)
{
	mfn_t old = pte_frame(p2m_entry_get(p.entry), p.level, gfn);
	struct frame *f = frame_at(old);
	bool constant = frame_kind(f) == FRAME_CONSTANT;
	enum mm_status st = MM_OK;
	unsigned age;

	env_prefetch_page(env_frame(old)); /* it will be copied, as a rule */
	age = frame_age(f);
	if (frame_kind(f) == FRAME_SHARED && index_take_over(old, s->domid, gfn)) {
		cow_take_over(s, gfn, old, p);
		trace_event(TRACE_BREAK, s, gfn, 1);
		*out = old;
	} else {
		st = cow_copy(s, gfn, p, out);
	}
	if (st == MM_OK)
		scan_tell(s, gfn, SCAN_BROKEN);
	if (st == MM_OK && guest_walk)
		guest_table_found(s, gfn, *out, age,
		                  constant ? GUEST_TABLE_CONSTANT : GUEST_TABLE_BROKE);
	return st;
}

/* By a merge, or to learn that it is written (mm/dirty_protect.c); *out: the page's frame. */
static enum mm_status cow_unprotect(struct space *s, gfn_t gfn, struct p2m_slot p, bool guest_walk,
                                    const mfn_t *out)
{
	if (mm.format->clean_mask)
		dirty_sign(s, gfn); /* the leaf calls for the look */
	else
		quiet_doubt(s, gfn);
	p2m_allow_write(p.entry, p.level);
	frame_set_flag(frame_at(*out), FRAME_STALE); /* a write is coming */
	if (guest_walk)
		guest_table_found(s, gfn, *out, frame_age(frame_at(*out)), GUEST_TABLE_PROTECTED);
	s->stats.unprotects++;
	return MM_OK;
}

static enum mm_status cow_leaf(struct space *s, gfn_t gfn, struct p2m_slot p, bool guest_walk,
                               mfn_t *out)
{
	uint64_t v = p2m_entry_get(p.entry);
	unsigned sw;

	*out = pte_frame(v, p.level, gfn);
	if (mm.format->access(v) & PTE_W)
		return MM_OK;
	sw = mm.format->sw(v);
	if (sw & PTE_SW_PROTECTED)
		return cow_unprotect(s, gfn, p, guest_walk, out);
	if (sw & PTE_SW_SHARED) {
		quiet_doubt(s, gfn);
		return cow_break(s, gfn, p, guest_walk, out);
	}
	ASSERT(p.level == 1); /* no other large leaf is read-only */
	if (sw & PTE_SW_UNTOUCHED)
		return populate_page(s, gfn, p.entry, out);
	return MM_INVAL;
}

enum mm_status cow_writable(struct space *s, gfn_t gfn, bool guest_walk, mfn_t *out)
{
	struct p2m_slot p;
	enum pte_kind kind;

	if (gfn.n >= GFN_LIMIT || s->dying)
		return MM_NORAM;
	p = (struct p2m_slot){p2m_at(s, &s->near, gfn), 1};
	if (!p.entry)
		p = p2m_find(s, gfn);
	kind = p.entry ? pte_kind(p2m_entry_get(p.entry), p.level) : PTE_EMPTY;
	if (kind == PTE_LEAF)
		return cow_leaf(s, gfn, p, guest_walk, out);
	if (kind == PTE_EMPTY && p2m_is_ram(s, gfn))
		return populate_page(s, gfn, p.entry, out);
	if (kind == PTE_SOFT && compress_is(p2m_entry_get(p.entry)))
		return compress_expand(s, gfn, p.entry, out);
	return MM_NORAM;
}
