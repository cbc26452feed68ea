/* SPDX-License-Identifier: MIT */
/*
 * Step 1 of the scan for a policy that is shown every private page (its `look`): KSM, which
 * knows nothing of dirty bits, and its kin. In the place of mm/scan_walk.c, which
 * passes over what has not changed.
 *
 * A policy that is not blind has dirty bits harvested on the way, and is told: a page that was
 * written is not read in this slice, as the flush is still owed. If it is blind, they are left
 * alone, for whichever policy comes next; a page may then be read at any time, as
 * a merge reads it once more when it can no longer change (mm/merge.c).
 *
 * Pages that are read and not placed carry no mark, so regions that such a policy goes
 * through lose theirs (mm/quiet.c).
 *
 * No region is made whole again here (mm/shape.c): without dirty bits nobody knows that it is still.
 *
 * Not shown: what was never touched, holes, foreign leaves, pinned pages, and, but for the
 * throw of a dice, pages that hold a guest's page tables.
 */
#include "mm/guest_table.h"
#include "mm/index.h"
#include "mm/quiet.h"
#include "mm/scan.h"
#include "mm/scan_walk.h"
#include "mm/shape.h"
#include "mm/trace.h"

/* ---- one page ---- */

static enum scan_want look_ask(struct scan_slice *w, gfn_t gfn, struct scan_look l)
{
	enum scan_want want;

	l.domid = w->space->domid;
	l.gfn = gfn;
	l.state = scan_state(frame_mfn(l.frame));
	want = w->policy->look(&l);
	w->stop |= want == SCAN_STOP;
	w->scanned += want == SCAN_READ || want == SCAN_GATE;
	w->skipped += want == SCAN_SKIP && !l.merged;
	return want;
}

/* A page that is private to its guest. */
static void look_private(struct scan_slice *w, gfn_t gfn, struct scan_look l)
{
	struct frame *f = l.frame;
	enum scan_want want;

	if (frame_kind(f) != FRAME_PRIVATE || frame_flag(f, FRAME_PINNED))
		return;
	if (l.written) {
		frame_set_flag(f, FRAME_STALE);
		trace_written(f);
		index_remove(frame_mfn(f));
		w->written++;
	}
	if (frame_flag(f, FRAME_GUEST_TABLE) &&
	    (l.written || guest_table_rests(w->space, gfn, frame_mfn(f))))
		return;
	want = look_ask(w, gfn, l);
	if ((want == SCAN_READ || want == SCAN_GATE) && !l.written)
		scan_note(w, gfn, frame_mfn(f), want == SCAN_GATE);
}

/* A small leaf. */
static void look_leaf(struct scan_slice *w, uint64_t *leaf, gfn_t gfn, bool picked)
{
	const struct pte_format *f = mm.format;
	uint64_t e = p2m_entry_get(leaf);
	struct scan_look l = {.picked = picked};

	if (!e || pte_kind(e, 1) != PTE_LEAF)
		return;
	if (scan_is_private(e, 1)) {
		l.frame = frame_at(f->frame(e, 1));
		l.written = mm_by_dirty() && e & f->dirty_mask;
		if (l.written && !scan_leave_dirty(w, gfn, f->frame(e, 1))) {
			scan_change(leaf, f->dirty_mask, f->look_mask | f->clean_mask);
			w->owes_flush = true;
		}
		look_private(w, gfn, l);
	} else if (f->sw(e) & PTE_SW_SHARED) {
		l.frame = frame_at(f->frame(e, 1));
		l.merged = true;
		l.constant = frame_kind(l.frame) == FRAME_CONSTANT;
		look_ask(w, gfn, l);
	}
}

/* ---- a region ---- */

static void look_leaves(struct scan_slice *w, uint64_t *table)
{
	uint64_t i = w->gfn.n % LARGE_PAGES;

	while (i < LARGE_PAGES && w->budget && w->n < SCAN_CHUNK) {
		look_leaf(w, &table[i], w->gfn, false);
		if (w->stop)
			return;
		i++;
		w->gfn.n++;
		w->looked++;
		w->budget -= w->budget > 0;
	}
}

/* A written large leaf: one dirty bit for all its pages, so they are told of in one go. */
static void look_large_written(struct scan_slice *w, uint64_t *over)
{
	uint64_t e = p2m_entry_get(over), pages = LARGE_PAGES - w->gfn.n % LARGE_PAGES;

	if (pages == LARGE_PAGES) { /* in the middle: the next pass sees it at the beginning */
		scan_change(over, mm.format->dirty_mask, mm.format->clean_mask);
		w->owes_flush = true;
	}
	for (uint64_t i = 0; i < pages; i++, w->gfn.n++) {
		mfn_t mfn = pte_frame(e, 2, w->gfn);

		look_private(w, w->gfn,
		             (struct scan_look){.frame = frame_at(mfn), .written = true});
	}
	if (pages == LARGE_PAGES)
		shape_written(w->space, GFN(w->gfn.n - LARGE_PAGES));
	w->stop = false; /* not in the middle: what is left would not be told any more */
	w->looked += pages;
	w->budget -= min_u64(w->budget, pages);
}

static void look_large(struct scan_slice *w, uint64_t *over)
{
	uint64_t e = p2m_entry_get(over), end = align_down(w->gfn.n, LARGE_PAGES) + LARGE_PAGES;

	if (!scan_is_private(e, 2)) {
		w->gfn.n = end;
		return;
	}
	if (mm_by_dirty() && e & mm.format->dirty_mask) {
		look_large_written(w, over);
		return;
	}
	if (!w->trust)
		shape_want(w->space->domid, w->gfn);
	while (w->gfn.n < end && w->budget && w->n < SCAN_CHUNK) {
		mfn_t mfn = pte_frame(e, 2, w->gfn);

		look_private(w, w->gfn, (struct scan_look){.frame = frame_at(mfn)});
		if (w->stop)
			return;
		w->gfn.n++;
		w->looked++;
		w->budget -= w->budget > 0;
	}
}

void scan_look_walk(struct scan_slice *w)
{
	struct space *s = w->space;

	w->n = 0;
	w->at = (struct p2m_cursor){0};
	p2m_lock(s);
	w->end = s->dying;
	while (!w->end && !w->stop && w->budget && w->n < SCAN_CHUNK) {
		uint64_t *over = p2m_over(s, &w->at, w->gfn);
		enum pte_kind kind = over ? pte_kind(p2m_entry_get(over), 2) : PTE_EMPTY;

		if (kind == PTE_TABLE || kind == PTE_LEAF)
			quiet_doubt(s, w->gfn);
		if (kind == PTE_TABLE)
			look_leaves(w, env_frame(mm.format->frame(p2m_entry_get(over), 2)));
		else if (kind == PTE_LEAF)
			look_large(w, over);
		else
			w->gfn.n = align_down(p2m_next_locked(s, w->gfn).n, LARGE_PAGES);
		w->end = w->gfn.n >= GFN_LIMIT;
	}
	p2m_unlock(s);
}

/* ---- picked pages ---- */

static void look_picked(struct scan_slice *w, gfn_t gfn)
{
	struct p2m_slot p = p2m_find(w->space, gfn);
	uint64_t e = p.entry ? p2m_entry_get(p.entry) : 0;

	if (!p.entry)
		return;
	quiet_doubt(w->space, gfn);
	if (p.level == 1) {
		look_leaf(w, p.entry, gfn, true);
	} else if (p.level == 2 && scan_is_private(e, 2)) {
		struct scan_look l = {.frame = frame_at(pte_frame(e, 2, gfn)), .picked = true};

		/* Its dirty bit is for 511 others too: it is left to the round. */
		if (!mm_by_dirty() || !(e & mm.format->dirty_mask))
			look_private(w, gfn, l);
	}
}

void scan_look_picked(struct scan_slice *w, const struct scan_cursor *pick, unsigned n)
{
	struct space *s = w->space;

	w->n = 0;
	p2m_lock(s);
	for (unsigned i = 0; i < n && !s->dying && !w->stop; i++)
		if (pick[i].gfn.n < GFN_LIMIT)
			look_picked(w, pick[i].gfn);
	p2m_unlock(s);
}
