/* SPDX-License-Identifier: MIT */
/*
 * Step 1 of the scan: which pages were written, and which are to be read now?
 *
 * It goes by regions of 2 MiB, by the level-2 entry over each:
 *
 *	empty			over to the next that is not
 *	quiet as a whole	passed over, for one unit of the budget
 *	known			a look at each leaf, eight for one unit
 *	else			a look at each leaf, and its frame record, one for one unit
 *	large leaf		one dirty bit, then 512 frame records; shared: one for one unit
 *
 * A page that is noted, to be read, takes SCAN_READ_COST units in all.
 *
 * What is known of a region, and when, is told in mm/quiet.c. A region is walked
 * from its first page on, in as many slices as it takes; `walking` remembers
 * where the last slice stopped, so that a walk with a gap is not taken for a whole one.
 */
#include "mm/scan_walk.h"
#include "mm/guest_table.h"
#include "mm/index.h"
#include "mm/quiet.h"
#include "mm/shape.h"
#include "mm/trace.h"

#define KNOWN_LEAVES 8u  /* leaves of a known region for one unit of the budget */
#define SCOUT        64u /* leaves of a known region that are looked over at once */
#define DROPS_APART  4u  /* so many written pages are told of while a line comes from memory */

/* Guarded by the scan lock. */
static struct {
	domid_t domid; /* 0: none */
	gfn_t next;    /* where it goes on */
	bool calm;  /* "accessed" was found clear at its beginning, and no leaf calls for a look */
	bool still; /* nothing in it was written, or is read now */
} walking;

void scan_walk_init(void)
{
	walking.domid = 0;
	guest_table_init();
}

/* ---- one page ---- */

static inline unsigned scan_bits(mfn_t mfn)
{
	return atomic_load_explicit(&frame_at(mfn)->bits, memory_order_relaxed);
}

/*
 * Stale hints are taken out many at once. What that will read is asked for as they come in: with the
 * i-th its bucket, and for two that came before it who stands in front of them there.
 */
static void scan_drop_ask(struct scan_slice *w, unsigned i)
{
	for (unsigned back = DROPS_APART; back <= 2 * DROPS_APART && back <= i; back += DROPS_APART)
		if (i - back < w->nr_dropped) {
			index_ask_t *at = &w->asked[i - back];

			if (*at != &frame_at(MFN(w->dropped[i - back]))->link)
				*at = index_ask_next(*at);
		}
}

static void scan_drop(struct scan_slice *w)
{
	for (unsigned i = 0; i < 2 * DROPS_APART; i++)
		scan_drop_ask(w, w->nr_dropped + i);
	for (unsigned i = 0; i < w->nr_dropped; i++)
		index_drop_stale(MFN(w->dropped[i]));
	w->nr_dropped = 0;
}

static void scan_written(struct scan_slice *w, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	frame_set_flag(f, FRAME_STALE);
	trace_written(f);
	w->policy->written(f);
	w->written++;
	if (!frame_flag(f, FRAME_INDEXED))
		return;
	w->dropped[w->nr_dropped] = (uint32_t)mfn.n;
	w->asked[w->nr_dropped] = index_ask(f->fingerprint);
	scan_drop_ask(w, w->nr_dropped++);
	if (w->nr_dropped == SCAN_CHUNK)
		scan_drop(w);
}

void scan_note(struct scan_slice *w, gfn_t gfn, mfn_t mfn, bool gate)
{
	if (mm_by_dirty())
		index_remove(mfn); /* its fingerprint is of an older content */
	frame_clear_flag(frame_at(mfn), FRAME_STALE);
	w->page[w->n++] = (struct scan_page){.gfn = gfn, .mfn = mfn, .gate = gate};
	w->budget -= min_u64(w->budget, SCAN_READ_COST - 1);
}

/*
 * The frame of a private leaf whose D bit is clear: note it if it is to be read now. Returns
 * whether it must be looked at again in a later pass.
 */
static bool scan_clean(struct scan_slice *w, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	unsigned bits = scan_bits(mfn);

	if ((bits & (FRAME_INDEXED | FRAME_STALE)) == FRAME_INDEXED && !w->reread)
		return false; /* in the index, and unchanged: the common case */
	if ((bits & 15u) != FRAME_PRIVATE || (bits & FRAME_PINNED))
		return false;
	if (bits & FRAME_GUEST_TABLE && guest_table_rests(w->space, gfn, mfn))
		return true;
	if (!w->policy->quiet(f))
		return true;
	scan_note(w, gfn, mfn, false);
	return false;
}

bool scan_is_private(uint64_t e, unsigned level)
{
	return e && pte_kind(e, level) == PTE_LEAF &&
	       !(mm.format->sw(e) & (PTE_SW_SHARED | PTE_SW_UNTOUCHED | PTE_SW_FOREIGN));
}

void scan_change(uint64_t *entry, uint64_t clear, uint64_t set)
{
	uint64_t e = p2m_entry_get(entry);

	while ((e & (clear | set)) != set && !p2m_entry_cas(entry, &e, (e & ~clear) | set))
		;
}

bool scan_leave_dirty(struct scan_slice *w, gfn_t gfn, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	if (!mm.format->clean_mask)
		return false;
	if (frame_flag(f, FRAME_GUEST_TABLE) && guest_table_rests(w->space, gfn, mfn))
		return true;
	return frame_flag(f, FRAME_PINNED);
}

/* A small leaf that is worth a closer look. */
static void scan_leaf(struct scan_slice *w, uint64_t *leaf, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	uint64_t e = p2m_entry_get(leaf);
	mfn_t mfn = mfn_of_addr(e & f->address_mask);
	unsigned noted = w->n;
	bool again = true;

	/* As a rule it has no software bits: then it is private, or empty. */
	if (!e || (e & f->sw_mask && !scan_is_private(e, 1)))
		return;
	if (e & f->dirty_mask) {
		walking.still = false;
		if (scan_leave_dirty(w, gfn, mfn)) {
			walking.calm = false;
			return;
		}
		scan_change(leaf, f->dirty_mask, f->look_mask | f->clean_mask);
		w->owes_flush = true;
		scan_written(w, mfn);
	} else {
		again = scan_clean(w, gfn, mfn);
		scan_change(leaf, f->look_mask, again ? f->look_mask : 0);
	}
	walking.calm &= !again;
	walking.still &= w->n == noted;
}

/* ---- the 512 leaves of a table ---- */

static void scan_looked(struct scan_slice *w, uint64_t pages, uint64_t cost)
{
	w->looked += pages;
	w->gfn.n += pages;
	w->budget -= min_u64(w->budget, cost);
}

/* Whether one of four entries calls for a look; if not, *leaves is more by those that there are. */
static inline bool scan_four_call(const uint64_t *e, uint64_t calls, uint64_t *leaves)
{
	uint64_t a = p2m_entry_get(&e[0]), b = p2m_entry_get(&e[1]);
	uint64_t c = p2m_entry_get(&e[2]), d = p2m_entry_get(&e[3]);

	if ((a | b | c | d) & calls)
		return true;
	*leaves += (a != 0) + (b != 0) + (c != 0) + (d != 0);
	return false;
}

/*
 * Which of n entries, 64 at most, call for a look: a bit for each. Their frame records lie apart and are
 * asked for here, all at once, so that a look at one does not wait for memory by itself. *leaves: as above.
 */
static uint64_t scan_scout(const uint64_t *e, uint64_t n, uint64_t *leaves)
{
	const uint64_t calls = mm.format->dirty_mask | mm.format->look_mask;
	const uint64_t address = mm.format->address_mask;
	uint64_t found = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t one;

		while (i + 4 <= n && !scan_four_call(&e[i], calls, leaves))
			i += 4;
		if (i == n)
			break;
		one = p2m_entry_get(&e[i]);
		*leaves += one != 0;
		if (one & calls) {
			found |= BIT(i);
			__builtin_prefetch(frame_at(mfn_of_addr(one & address)));
		}
	}
	return found;
}

/* Nothing but the leaves: those that do not call for a look are known. */
static void scan_known_leaves(struct scan_slice *w, uint64_t *table)
{
	uint64_t first = w->gfn.n % LARGE_PAGES, i = first, leaves = 0;
	gfn_t base = GFN(w->gfn.n - first);

	while (i < LARGE_PAGES && w->n < SCAN_CHUNK) {
		uint64_t end = align_down(i, SCOUT) + SCOUT;
		uint64_t found = scan_scout(&table[i], end - i, &leaves);

		for (; found && w->n < SCAN_CHUNK; found &= found - 1) {
			uint64_t at = i + (uint64_t)__builtin_ctzll(found);

			scan_leaf(w, &table[at], GFN(base.n + at));
		}
		if (found) { /* the chunk is full: it goes on with the next of them */
			uint64_t next = i + (uint64_t)__builtin_ctzll(found);

			for (; end > next; end--)
				leaves -= p2m_entry_get(&table[end - 1]) != 0;
		}
		i = end;
	}
	w->leaves += leaves;
	scan_looked(w, i - first, (i - first) / KNOWN_LEAVES + 1);
}

/*
 * Most pages are private, in the index and unchanged: told from one look at the entry
 * and one at the frame record. (A soft entry has its state where a leaf has its software bits;
 * foreign leaves, too, have one set: the frame of either may have no record.)
 */
static void scan_leaves(struct scan_slice *w, uint64_t *table)
{
	const struct pte_format *f = mm.format;
	const uint64_t address = f->address_mask;
	const uint64_t closer = f->dirty_mask | f->look_mask | (f->sw_mask & ~f->clean_mask);
	const unsigned known = w->reread ? ~0u : FRAME_PRIVATE | FRAME_INDEXED;
	const unsigned mask = 15u | FRAME_INDEXED | FRAME_STALE;
	uint64_t first = w->gfn.n % LARGE_PAGES, i = first, leaves = 0;
	uint64_t end = min_u64(LARGE_PAGES, first + w->budget);

	for (; i < end && w->n < SCAN_CHUNK; i++) {
		uint64_t e = p2m_entry_get(&table[i]);

		if (!e)
			continue;
		leaves++;
		if (!(e & closer) && (scan_bits(mfn_of_addr(e & address)) & mask) == known)
			continue;
		scan_leaf(w, &table[i], GFN(w->gfn.n - first + i));
	}
	w->leaves += leaves;
	scan_looked(w, i - first, i - first);
}

/* ---- a large leaf ---- */

/* It was written: all its pages were, for all we know. */
static void scan_large_written(struct scan_slice *w, uint64_t *over)
{
	uint64_t left = LARGE_PAGES - w->gfn.n % LARGE_PAGES;

	quiet_forget(over);
	if (left == LARGE_PAGES) {
		mfn_t first = mm.format->frame(p2m_entry_get(over), 2);

		scan_change(over, mm.format->dirty_mask, mm.format->clean_mask);
		w->owes_flush = true;
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			scan_written(w, MFN(first.n + i));
		shape_written(w->space, w->gfn);
	} else {
		w->written += left; /* in the middle: the next pass sees D at the beginning */
	}
	w->leaves += left;
	scan_looked(w, left, left);
}

static void scan_large(struct scan_slice *w, uint64_t *over)
{
	uint64_t e = p2m_entry_get(over);
	uint64_t first = w->gfn.n, end = align_down(first, LARGE_PAGES) + LARGE_PAGES;
	gfn_t gfn = w->gfn;

	/* Shared as a whole; since the last slice, if this is its middle. */
	if (!scan_is_private(e, 2)) {
		shape_shared(w->space, GFN(align_down(first, LARGE_PAGES)), mm.format->frame(e, 2));
		scan_looked(w, end - first, 1);
		return;
	}
	if (e & mm.format->dirty_mask) {
		scan_large_written(w, over);
		return;
	}
	end = min_u64(end, first + w->budget);
	for (; gfn.n < end && w->n < SCAN_CHUNK; gfn.n++)
		if (scan_clean(w, gfn, pte_frame(e, 2, gfn)))
			quiet_forget(over);
	if (!w->trust)
		shape_want(w->space->domid, w->gfn);
	w->leaves += gfn.n - first;
	scan_looked(w, gfn.n - first, gfn.n - first);
}

/* ---- a region ---- */

static void scan_region_begin(struct scan_slice *w, uint64_t *over)
{
	uint64_t e = p2m_entry_get(over), sign = e & mm.format->sign_mask;
	bool known = w->trust && quiet_mark_of(e) >= QUIET_KNOWN;

	if (pte_kind(e, 2) == PTE_LEAF)
		sign = 0; /* it has a dirty bit to go by */
	walking.domid = w->space->domid;
	walking.calm = !sign || mm.format->sign_after;
	walking.still = true;
	w->owes_flush |= !walking.calm;
	/* What was not set in e stays, if it is set now: we owe no flush for that. */
	quiet_set(over, known ? QUIET_KNOWN : QUIET_BEGUN, sign);
}

/* All was looked at, and no doubt came up meanwhile. */
static void scan_region_whole(struct space *s, uint64_t *over, gfn_t first)
{
	if (quiet_mark_of(p2m_entry_get(over)) == QUIET_NOT)
		return;
	quiet_set(over, walking.calm ? QUIET_CALM : QUIET_KNOWN, 0);
	if (walking.still && pte_kind(p2m_entry_get(over), 2) == PTE_TABLE)
		shape_still(s, first);
}

/*
 * The region of w->gfn is quiet, and others behind it are, most likely: most of memory, most of the
 * time. So where there are no large leaves to see to, this does nothing but look at their
 * entries, as far as the table over them goes.
 */
static void scan_pass_over(struct scan_slice *w, const uint64_t *over)
{
	uint64_t left = LARGE_PAGES - w->gfn.n / LARGE_PAGES % LARGE_PAGES, n = 1;
	uint64_t e = p2m_entry_get(over);

	if (!w->space->large)
		n += quiet_run(over + 1, min_u64(left, w->budget) - 1);
	else if (pte_kind(e, 2) == PTE_TABLE)
		shape_still(w->space, w->gfn);
	else if (!scan_is_private(e, 2))
		shape_shared(w->space, w->gfn, mm.format->frame(e, 2));
	w->passed += n * LARGE_PAGES;
	w->gfn.n += n * LARGE_PAGES;
	w->budget -= n;
}

/* The region of w->gfn, from there on; `over` is present. */
static void scan_region(struct scan_slice *w, uint64_t *over)
{
	const struct pte_format *f = mm.format;
	bool begins = w->gfn.n % LARGE_PAGES == 0;
	uint64_t e = p2m_entry_get(over);

	if (begins && w->trust && quiet_as_a_whole(e)) {
		scan_pass_over(w, over);
		return;
	}
	if (begins)
		scan_region_begin(w, over);
	else if (walking.domid != w->space->domid || walking.next.n != w->gfn.n)
		walking.domid = 0;
	if (f->kind(e, 2) == PTE_LEAF)
		scan_large(w, over);
	else if (w->trust && quiet_mark_of(p2m_entry_get(over)) >= QUIET_KNOWN)
		scan_known_leaves(w, env_frame(f->frame(e, 2)));
	else
		scan_leaves(w, env_frame(f->frame(e, 2)));
	walking.next = w->gfn;
	if (w->gfn.n % LARGE_PAGES == 0 && walking.domid)
		scan_region_whole(w->space, over, GFN(w->gfn.n - LARGE_PAGES));
}

void scan_walk(struct scan_slice *w)
{
	struct space *s = w->space;

	w->n = 0;
	w->nr_dropped = 0;
	w->at = (struct p2m_cursor){0};
	p2m_lock(s);
	w->end = s->dying;
	while (!w->end && w->budget && w->n < SCAN_CHUNK) {
		uint64_t *over = p2m_over(s, &w->at, w->gfn);
		enum pte_kind kind = over ? pte_kind(p2m_entry_get(over), 2) : PTE_EMPTY;

		if (kind == PTE_TABLE || kind == PTE_LEAF)
			scan_region(w, over);
		else /* a region is always entered by its first page */
			w->gfn.n = align_down(p2m_next_locked(s, w->gfn).n, LARGE_PAGES);
		w->end = w->gfn.n >= GFN_LIMIT;
	}
	scan_drop(w);
	p2m_unlock(s);
}

/* ---- picked pages ---- */

/*
 * One leaf out of turn. It may have called for a look from now on, which a region that is passed over
 * as a whole would not be asked about: so that one is known, and no longer calm. If the region is just
 * being walked, scan_leaf itself sees to that.
 */
static void scan_picked_leaf(struct scan_slice *w, gfn_t gfn)
{
	struct p2m_slot p = p2m_find(w->space, gfn);
	uint64_t *over;

	if (!p.entry || p.level != 1)
		return;
	over = p2m_over(w->space, &w->at, gfn);
	if (quiet_mark_of(p2m_entry_get(over)) == QUIET_CALM)
		quiet_set(over, QUIET_KNOWN, 0);
	scan_leaf(w, p.entry, gfn);
	w->leaves++;
}

void scan_walk_picked(struct scan_slice *w, const struct scan_cursor *pick, unsigned n)
{
	struct space *s = w->space;

	ASSERT(n <= SCAN_CHUNK);
	w->n = w->nr_dropped = 0;
	w->at = (struct p2m_cursor){0};
	p2m_lock(s);
	for (unsigned i = 0; i < n && !s->dying; i++)
		if (pick[i].gfn.n < GFN_LIMIT)
			scan_picked_leaf(w, pick[i].gfn);
	scan_drop(w);
	p2m_unlock(s);
}
