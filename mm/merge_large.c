/* SPDX-License-Identifier: MIT */
/*
 * Merging 2 MiB as a whole: two regions under large leaves, equal in all 512 pages, become one run
 * of 512 frames, and both keep a large leaf. The steps are those of mm/merge.c:
 *
 *	protect both leaves
 *	flush each space once				<- nobody can write any more
 *	under the p2m locks of both:
 *	    still protected, the same frames, none STALE?	else give up
 *	    compare all 512 pairs of pages			else give up
 *	    may all 512 survivors be shared (funding)?		else the other side's, or give up
 *	    switch both leaves, read-only
 *	flush who lost its frames once more		<- nobody reads them
 *	free the old 2 MiB
 *
 * and so are the reasons why no byte is lost. It is all or nothing: half a region is never
 * shared. Or the survivors are shared already, by others: then they need no protection, as a
 * count is taken of each before the compare, and only one space is flushed.
 *
 * What it saves, and what it costs. The same 512 pages as a split and 512 merges, with four flushes
 * in place of thirty-two, no table, and the guests keep the reach of their TLBs. The price
 * is one hold of two locks for a compare of 2 MiB with 2 MiB, as long as a large copy
 * takes (mm/large.c).
 *
 * When not. A split can save more than the whole does: pages that are zeroes, or alike among
 * themselves, or that others have under small leaves or share. If there is one of those, the
 * region is left to mm/shape.c, which weighs a split. So no content is ever shared in two frames, and
 * in no chain of the index is there less room for the survivors than they need.
 *
 * Which frames survive: one toss for all 512 (mm/merge.c says why it is tossed at all). A guest
 * that would steer where a victim's data lie has one toss for 2 MiB in the place of
 * 512: it learns as much from each, and cannot choose pages of different fates.
 *
 * What is found. The like of a page, at the same place of another large frame, leads there by its hint
 * in the index; then the fingerprints of all 512 pairs have to agree, which are
 * in the frame records. That is read without the other's lock, and believed by nobody. While some
 * are still to be read, and none differ, a leaf is not split: the last page that is read decides.
 */
#include "mm/merge_large.h"
#include "mm/deferred.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/hash.h"
#include "mm/large_share.h"
#include "mm/merge.h"
#include "mm/quiet.h"

#define PROBES 16u /* pages of a leaf that are asked for candidates */

/* ---- seeking ---- */

static uint32_t whole_fingerprint(mfn_t mfn)
{
	return __atomic_load_n(&frame_at(mfn)->fingerprint, __ATOMIC_ACQUIRE);
}

/* A private page under a large leaf that may be merged as far as its record says. */
static bool whole_may_merge(mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	return frame_kind(f) == FRAME_PRIVATE && frame_flag(f, FRAME_LARGE) &&
	       !frame_flag(f, FRAME_PINNED | FRAME_GUEST_TABLE);
}

/* And which is still to be read. */
static bool whole_is_unknown(mfn_t mfn)
{
	return !mm.blind && frame_flag(frame_at(mfn), FRAME_STALE);
}

enum whole_seems {
	WHOLE_DIFFERS,
	WHOLE_LATER, /* what is known is equal, but some of it is not known yet */
	WHOLE_EQUAL,
};

/* Of `other` no more is known than that one frame is RAM: the others may be a hole's (mm_config). */
static enum whole_seems whole_compare(mfn_t frames, mfn_t other, bool shared)
{
	enum whole_seems seems = WHOLE_EQUAL;

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		mfn_t a = MFN(frames.n + i), b = MFN(other.n + i);

		if (!whole_may_merge(a))
			return WHOLE_DIFFERS;
		if (shared ? frame_kind(frame_at(b)) != FRAME_SHARED : !whole_may_merge(b))
			return WHOLE_DIFFERS;
		if (whole_is_unknown(a) || (!shared && whole_is_unknown(b)))
			seems = WHOLE_LATER;
		else if (whole_fingerprint(a) != whole_fingerprint(b))
			return WHOLE_DIFFERS;
	}
	return seems;
}

/* The fingerprints of two pages are the same, or one is 0 (which is how a free place is marked). */
static bool whole_repeats(mfn_t frames)
{
	static uint32_t seen[4 * LARGE_PAGES]; /* scan lock */

	__builtin_memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint32_t f = whole_fingerprint(MFN(frames.n + i)), at = f;

		while (seen[at % (4 * LARGE_PAGES)] && seen[at % (4 * LARGE_PAGES)] != f)
			at++;
		if (seen[at % (4 * LARGE_PAGES)] == f)
			return true;
		seen[at % (4 * LARGE_PAGES)] = f;
	}
	return false;
}

/* Whether some page could be saved where the whole would keep it. */
static bool whole_loses(const struct space *s, mfn_t frames)
{
	uint32_t zero = hash_fingerprint(env_frame(zero_frame()), s->share_group);
	uint32_t ones = hash_fingerprint(env_frame(ones_frame()), s->share_group);

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint32_t f = whole_fingerprint(MFN(frames.n + i));
		struct index_found found = index_lookup(f, s->share_group);

		if (f == zero || f == ones)
			return true;
		for (unsigned k = 0; k < found.n; k++)
			if (found.match[k].shared || !found.match[k].large)
				return true;
	}
	return whole_repeats(frames);
}

/* What is looked for, and whether whole_loses: it takes 512 lookups, and is asked once. */
struct whole_seek {
	const struct space *space;
	mfn_t frames;
	bool asked, loses;
};

static bool whole_would_lose(struct whole_seek *w)
{
	if (!w->asked)
		w->loses = whole_loses(w->space, w->frames);
	w->asked = true;
	return w->loses;
}

/* A match of page i of the leaf, as the run that it would be a part of. Returns what it seems. */
static enum whole_seems whole_try(struct whole_seek *w, unsigned i, const struct index_match *m)
{
	mfn_t frames = w->frames;
	enum whole_seems seems;

	if (m->mfn.n % LARGE_PAGES != i || m->mfn.n == frames.n + i || !(m->shared || m->large))
		return WHOLE_DIFFERS;
	seems = whole_compare(frames, MFN(m->mfn.n - i), m->shared);
	if (seems == WHOLE_EQUAL && !m->shared && whole_would_lose(w))
		return WHOLE_DIFFERS;
	return seems;
}

struct merge_run merge_large_seek(struct space *s, mfn_t frames)
{
	struct merge_run run = {.frames = MFN_NONE};
	struct whole_seek w = {.space = s, .frames = frames};

	ASSERT(lock_held(LOCK_SCAN));
	for (unsigned i = 0; i < LARGE_PAGES; i += LARGE_PAGES / PROBES) {
		struct index_found found;

		if (whole_is_unknown(MFN(frames.n + i)))
			continue;
		found = index_lookup(whole_fingerprint(MFN(frames.n + i)), s->share_group);
		for (unsigned k = 0; k < found.n; k++) {
			const struct index_match *m = &found.match[k];
			enum whole_seems seems = whole_try(&w, i, m);

			run.later |= seems == WHOLE_LATER;
			if (seems != WHOLE_EQUAL)
				continue;
			run.frames = MFN(m->mfn.n - i);
			run.owner = m->shared ? 0 : m->owner;
			run.first = GFN(m->shared ? 0 : m->gfn - i);
			return run;
		}
		if (found.n > 1 && !run.later)
			break; /* it has likes, but is not one of 512 */
	}
	return run;
}

/* ---- both sides ---- */

struct whole_side {
	struct space *space;
	gfn_t first;
	mfn_t frames;
};

static bool whole_protect(const struct whole_side *side)
{
	struct space *s = side->space;
	bool ok;

	p2m_lock(s);
	ok = mfn_eq(large_mergeable(s, side->first), side->frames);
	if (ok)
		large_protect(s, side->first);
	p2m_unlock(s);
	return ok;
}

static void whole_release(const struct whole_side *side)
{
	p2m_lock(side->space);
	large_unprotect(side->space, side->first);
	p2m_unlock(side->space);
}

static bool whole_still(const struct whole_side *side)
{
	return large_protected(side->space, side->first, side->frames);
}

/* All 512 pairs. The locks are held. */
static bool whole_equal(mfn_t a, mfn_t b)
{
	unsigned n = 0;

	while (n < LARGE_PAGES && env_page_equal(env_frame(MFN(a.n + n)), env_frame(MFN(b.n + n))))
		n++;
	counter_add(&mm.count.pages_compared, n + (n < LARGE_PAGES));
	counter_add(&mm.count.bytes_read, 2 * PAGE_SIZE * (n + (n < LARGE_PAGES)));
	env_point(POINT_WHOLE_COMPARED);
	return n == LARGE_PAGES;
}

/* If the policy goes by no dirty bits the pages are read once more, as in mm/merge.c. */
static bool whole_fingerprints_hold(const struct whole_side *side)
{
	uint16_t group = side->space->share_group;

	for (unsigned i = 0; !mm_by_dirty() && i < LARGE_PAGES; i++) {
		mfn_t mfn = MFN(side->frames.n + i);

		counter_add(&mm.count.pages_fingerprinted, 1);
		counter_add(&mm.count.bytes_read, PAGE_SIZE);
		if (hash_fingerprint(env_frame(mfn), group) != whole_fingerprint(mfn))
			return false;
	}
	return true;
}

/* The side's leaf maps the run; its own frames go to d, and are free after the next flush. */
static void whole_switch(const struct whole_side *side, mfn_t run, struct deferred *d)
{
	large_set_shared(side->space, side->first, run);
	deferred_add_large(d, side->frames);
}

/* The last steps: seal, unlock, wait for the flush, free. */
static void whole_end(struct deferred *d, struct space *a, struct space *b)
{
	uint64_t generation = deferred_seal(d);

	merge_unlock_both(a, b);
	env_point(POINT_WHOLE_SWITCHED);
	deferred_finish(d, generation);
}

/* ---- with frames that are shared already ---- */

static void whole_put(mfn_t run, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		shared_put(MFN(run.n + i));
}

/* A count of each; false: of none. */
static bool whole_get(mfn_t run, const struct whole_side *side)
{
	uint16_t group = side->space->share_group;

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint32_t f = whole_fingerprint(MFN(side->frames.n + i));

		if (!index_get(MFN(run.n + i), f, group)) {
			whole_put(run, i);
			return false;
		}
	}
	return true;
}

static bool whole_into_locked(const struct whole_side *side, mfn_t run, struct deferred *d)
{
	if (!whole_still(side) || !whole_equal(side->frames, run))
		return false;
	whole_switch(side, run, d);
	return true;
}

static bool whole_into(const struct whole_side *side, mfn_t run)
{
	struct space *s = side->space;
	struct deferred d;

	if (!whole_get(run, side))
		return false;
	deferred_init(&d, s);
	if (whole_protect(side)) {
		env_point(POINT_WHOLE_PROTECTED);
		flush_space(s);
		env_point(POINT_WHOLE_FLUSHED);
		p2m_lock(s);
		if (whole_into_locked(side, run, &d)) {
			whole_end(&d, s, s);
			return true;
		}
		p2m_unlock(s);
		whole_release(side);
	}
	whole_put(run, LARGE_PAGES);
	return false;
}

/* ---- with another private region ---- */

/*
 * The frames of a side become shared ones, with two counts each: its own leaf's and the other's.
 * `named`: the records that have the fingerprints.
 */
static void whole_share(const struct whole_side *keep, mfn_t other, mfn_t named)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		mfn_t mfn = MFN(keep->frames.n + i);
		struct frame *f = frame_at(mfn);

		frame_clear_flag(f, FRAME_LARGE);
		frame_set_age(
		    f, (unsigned)max_u64(frame_age(f), frame_age(frame_at(MFN(other.n + i)))));
		index_insert_shared(mfn, whole_fingerprint(MFN(named.n + i)),
		                    keep->space->share_group, 2);
	}
	frame_count(FRAME_PRIVATE, FRAME_SHARED, LARGE_PAGES);
	large_set_shared(keep->space, keep->first, keep->frames);
}

static bool whole_switch_pair(const struct whole_side *keep, const struct whole_side *lose,
                              mfn_t named, struct deferred *d)
{
	if (!fund_unhold(keep->space, LARGE_PAGES))
		return false;
	whole_share(keep, lose->frames, named);
	deferred_init(d, lose->space);
	whole_switch(lose, keep->frames, d);
	return true;
}

static bool whole_pair_locked(const struct whole_side *a, const struct whole_side *b,
                              struct deferred *d)
{
	bool coin;

	if (!whole_still(a) || !whole_still(b) || !whole_equal(a->frames, b->frames) ||
	    !whole_fingerprints_hold(a))
		return false;
	coin = merge_coin();
	return whole_switch_pair(coin ? b : a, coin ? a : b, a->frames, d) ||
	       whole_switch_pair(coin ? a : b, coin ? b : a, a->frames, d);
}

static void whole_flush_both(struct space *a, struct space *b)
{
	uint64_t of_a = flush_begin(a), of_b = a == b ? of_a : flush_begin(b);

	flush_wait(a, of_a);
	flush_wait(b, of_b);
}

static bool whole_pair(const struct whole_side *a, const struct whole_side *b)
{
	struct deferred d;

	if (!whole_protect(a))
		return false;
	if (!whole_protect(b)) {
		whole_release(a);
		return false;
	}
	env_point(POINT_WHOLE_PROTECTED);
	whole_flush_both(a->space, b->space);
	env_point(POINT_WHOLE_FLUSHED);
	merge_lock_both(a->space, b->space);
	if (whole_pair_locked(a, b, &d)) {
		whole_end(&d, a->space, b->space);
		return true;
	}
	merge_unlock_both(a->space, b->space);
	whole_release(a);
	whole_release(b);
	return false;
}

bool merge_large(struct space *s, gfn_t first, mfn_t frames, struct merge_run run)
{
	struct whole_side side = {s, first, frames}, other = {.first = run.first};
	bool merged;

	ASSERT(lock_held(LOCK_SCAN) && !mfn_eq(frames, run.frames));
	if (run.owner) {
		other.space = space_find(run.owner);
		other.frames = run.frames;
		ASSERT(other.space); /* alive: the scan lock is held */
		merged = whole_pair(&side, &other);
	} else {
		merged = whole_into(&side, run.frames);
	}
	if (merged)
		counter_add(&mm.count.merges, LARGE_PAGES);
	else
		counter_add(&mm.count.merges_given_up, 1);
	return merged;
}
