/* SPDX-License-Identifier: MIT */
/*
 * Merging: two pages of equal content become one frame, while guests run.
 *
 *	for each page of the batch: protect it; if its match is a hint, protect
 *	    that page as well
 *	flush each space once                         <- nobody can write any more
 *	for each page, under the p2m locks of both spaces:
 *	    still protected, and the same frame?      else give up
 *	    compare all 4096 bytes                    else give up
 *	    may the survivor be shared (funding)?     else give up
 *	    switch
 *	flush each space once more                    <- nobody reads the old frames
 *	free the old frames
 *
 * Why no byte is lost. A guest writes through a writable leaf only. After the
 * first flush no CPU holds a writable translation of a protected leaf, and a
 * write fault takes the protection off, under the p2m lock. So a leaf found
 * protected under the lock has not been written since the flush, and stays so
 * (who protects a page for another reason, and holds no scan lock, has flushed
 * before the p2m lock is free: p2m_harvest) while the lock is held: the compare sees what will be there when we switch.
 * The content of a shared frame does not change while we hold a count.
 *
 * Why the second flush. After the switch another CPU may still read the old
 * frame through its TLB. That is the same content, until the old frame is
 * freed and scrubbed, or until the page gets a newer content: by a break, which flushes, or
 * by a take-over, before which the flush that is owed is made (flush_settle).
 *
 * Which frame survives. A page that matches a shared frame, or a constant one,
 * gives up its own. Of two private pages one is chosen at random, so that no
 * guest can place a victim's data on a frame of its choice (Flip Feng Shui:
 * Razavi et al., USENIX Security 2016). If invariant 11 forbids to share that
 * one, the other is tried: then the choice follows from the guarantees alone.
 *
 * Matches go stale inside a batch: of three equal pages the second and third
 * match the first, and after one merge that frame may be gone. So a page is
 * first compared with the shared frames of its fingerprint as they are now, and
 * only then with the private page that it was matched with.
 *
 * Fingerprints. A shared entry's fingerprint must be that of its content
 * (invariant 5). It is: the dirty bit of a page was clear when it was
 * protected, so nobody has written it since it was read. If the policy goes by no dirty bits
 * (mm.blind), the page is read once more, after the compare.
 *
 * Giving up costs savings, never correctness. The page is made writable again
 * at once: that gives rights, so no flush is owed, and saves the guest a fault.
 * A page that proved different from all its matches becomes a hint itself; one
 * that may not be shared for want of funding stays out of the index, so that the
 * next pass tries again.
 */
#include "mm/merge.h"
#include "mm/deferred.h"
#include "mm/flush.h"
#include "mm/hash.h"
#include "mm/quiet.h"

enum merge_result {
	MERGE_DONE,
	MERGE_DIFFERS, /* no equal content: as good as unmatched */
	MERGE_LATER,   /* written meanwhile, or not allowed now */
};

/* One side of a pair. */
struct merge_side {
	struct space *space;
	gfn_t gfn;
	mfn_t mfn;
};

struct merge_entry {
	struct merge_side page;
	struct merge_side partner; /* a hint to pair with; space NULL: none */
	mfn_t constant;            /* MFN_NONE: an ordinary page */
	uint32_t fingerprint;
	bool settled; /* both sides are shared now: nothing to release */
};

static struct merge_batch {
	unsigned n, nr_spaces;
	struct merge_entry entry[MERGE_PAGES];
	struct deferred freed[MERGE_SPACES]; /* one a space */
	uint64_t generation[MERGE_SPACES];
	uint64_t coins; /* random bits not yet used */
	unsigned nr_coins;
} batch;

/* ---- the batch ---- */

void merge_init(void)
{
	batch.n = batch.nr_spaces = batch.nr_coins = 0;
}

bool merge_has_room(void)
{
	return batch.n < MERGE_PAGES && batch.nr_spaces + 2 <= MERGE_SPACES;
}

static struct deferred *merge_deferred(struct space *s)
{
	unsigned i = 0;

	while (i < batch.nr_spaces && batch.freed[i].space != s)
		i++;
	if (i == batch.nr_spaces) {
		ASSERT(i < MERGE_SPACES);
		deferred_init(&batch.freed[i], s);
		batch.nr_spaces++;
	}
	return &batch.freed[i];
}

/* Whether the frame is still this page's, and nobody wrote it since it was fingerprinted. */
static bool merge_unchanged(const struct merge_side *side)
{
	const struct frame *f = frame_at(side->mfn);

	return frame_kind(f) == FRAME_PRIVATE && frame_owner(f) == side->space->domid &&
	       frame_slot(f) == side->gfn.n && (mm.blind || !frame_flag(f, FRAME_STALE));
}

/* Protect one page; p2m lock held. False if it may not be merged or was written. */
static bool merge_protect(const struct merge_side *side)
{
	struct space *s = side->space;

	if (s->dying || !merge_unchanged(side))
		return false;
	if (!mfn_eq(p2m_mergeable(s, side->gfn), side->mfn) || !p2m_protect(s, side->gfn))
		return false;
	if (merge_unchanged(side)) /* the dirty bit was looked at just now */
		return true;
	p2m_unprotect(s, side->gfn);
	return false;
}

static struct merge_entry *merge_push(struct space *s, struct merge_page page)
{
	struct merge_entry e = {
	    .page = {s, page.gfn, page.mfn},
	    .fingerprint = page.fingerprint,
	};

	ASSERT(lock_held(LOCK_SCAN));
	ASSERT(merge_has_room());
	merge_deferred(s);
	if (!merge_protect(&e.page)) {
		counter_add(&mm.count.merges_given_up, 1);
		quiet_doubt(s, page.gfn);
		return NULL;
	}
	batch.entry[batch.n] = e;
	return &batch.entry[batch.n++];
}

bool merge_add(struct space *s, struct merge_page page, struct index_match match)
{
	struct merge_entry *e;

	ASSERT(!mfn_eq(page.mfn, match.mfn));
	e = merge_push(s, page);
	if (e && !match.shared) {
		struct space *owner = space_find(match.owner);

		ASSERT(owner); /* alive: the scan lock is held */
		env_prefetch_page(env_frame(match.mfn));
		e->partner = (struct merge_side){owner, GFN(match.gfn), match.mfn};
		merge_deferred(owner); /* so that it is flushed */
	}
	return e;
}

bool merge_add_constant(struct space *s, struct merge_page page, mfn_t constant)
{
	struct merge_entry *e = merge_push(s, page);

	if (e)
		e->constant = constant;
	return e;
}

/* ---- protect the partners, flush ---- */

/*
 * A partner that was written since it was fingerprinted, or may not be merged now
 * (pinned, say), is no match: its hint goes, so that it stands in nobody's way.
 */
static void merge_protect_partner(struct merge_entry *e)
{
	struct merge_side *p = &e->partner;
	struct space *s = p->space;

	p2m_lock(s);
	if (!merge_protect(p)) {
		struct frame *f = frame_at(p->mfn);

		if (frame_kind(f) == FRAME_PRIVATE && frame_owner(f) == s->domid)
			index_remove(p->mfn);
		quiet_doubt(s, p->gfn);
		p->space = NULL;
	}
	p2m_unlock(s);
}

static void merge_flush(void)
{
	for (unsigned i = 0; i < batch.nr_spaces; i++)
		batch.generation[i] = flush_begin(batch.freed[i].space);
	for (unsigned i = 0; i < batch.nr_spaces; i++)
		flush_wait(batch.freed[i].space, batch.generation[i]);
}

/* ---- compare and switch ---- */

void merge_lock_both(struct space *a, struct space *b)
{
	p2m_lock(a->domid < b->domid ? a : b);
	if (a != b)
		p2m_lock(a->domid < b->domid ? b : a);
}

void merge_unlock_both(struct space *a, struct space *b)
{
	if (a != b)
		p2m_unlock(a->domid < b->domid ? b : a);
	p2m_unlock(a->domid < b->domid ? a : b);
}

/* Protected ever since: one that was written and then protected by somebody else is STALE. */
static bool merge_still(const struct merge_side *side)
{
	return p2m_protected(side->space, side->gfn, side->mfn) &&
	       (mm.blind || !frame_flag(frame_at(side->mfn), FRAME_STALE));
}

static bool merge_equal(mfn_t a, mfn_t b)
{
	bool equal = env_page_equal(env_frame(a), env_frame(b));

	counter_add(&mm.count.pages_compared, 1);
	counter_add(&mm.count.bytes_read, 2 * PAGE_SIZE);
	env_point(POINT_MERGE_COMPARED);
	return equal;
}

/* The page against one frame that cannot change: shared, with a count of ours, or constant. */
static enum merge_result merge_into(struct merge_entry *e, mfn_t survivor)
{
	struct merge_side *p = &e->page;
	enum merge_result r = MERGE_LATER;

	p2m_lock(p->space);
	if (merge_still(p)) {
		r = MERGE_DIFFERS;
		if (merge_equal(p->mfn, survivor)) {
			p2m_switch(p->space, p->gfn, survivor, merge_deferred(p->space));
			r = MERGE_DONE;
		}
	}
	p2m_unlock(p->space);
	return r;
}

static enum merge_result merge_with_shared(struct merge_entry *e, const struct index_found *found)
{
	enum merge_result r = MERGE_DIFFERS;
	uint16_t group = e->page.space->share_group;

	for (unsigned i = 0; i < found->n && r == MERGE_DIFFERS; i++) {
		if (!index_get(found->match[i].mfn, e->fingerprint, group))
			continue;
		r = merge_into(e, found->match[i].mfn);
		if (r != MERGE_DONE)
			shared_put(found->match[i].mfn);
	}
	return r;
}

bool merge_coin(void)
{
	bool coin;

	if (!batch.nr_coins) {
		batch.coins = env_random();
		batch.nr_coins = 64;
	}
	coin = batch.coins & 1;
	batch.coins >>= 1;
	batch.nr_coins--;
	return coin;
}

/* The content is equal on both sides; is it (still) that of the fingerprint? */
static bool merge_fingerprint_holds(const struct merge_entry *e)
{
	if (mm_by_dirty())
		return true;
	counter_add(&mm.count.pages_fingerprinted, 1);
	counter_add(&mm.count.bytes_read, PAGE_SIZE);
	return hash_fingerprint(env_frame(e->page.mfn), e->page.space->share_group) ==
	       e->fingerprint;
}

/* A page that often held page tables stays under suspicion in its new frame. */
static void merge_keep_age(mfn_t survivor, mfn_t other)
{
	unsigned age = frame_age(frame_at(other));

	if (age > frame_age(frame_at(survivor)))
		frame_set_age(frame_at(survivor), age);
}

/* Share keep's frame and switch the other page to it; both locks held, contents equal. */
static bool merge_switch_pair(struct merge_entry *e, struct merge_side *keep,
                              struct merge_side *lose)
{
	if (!p2m_share(keep->space, keep->gfn, keep->mfn))
		return false;
	index_insert_shared(keep->mfn, e->fingerprint, keep->space->share_group, 2);
	merge_keep_age(keep->mfn, lose->mfn);
	p2m_switch(lose->space, lose->gfn, keep->mfn, merge_deferred(lose->space));
	e->settled = true;
	return true;
}

static enum merge_result merge_pair_locked(struct merge_entry *e)
{
	struct merge_side *keep = &e->page, *lose = &e->partner;

	if (!merge_still(&e->page))
		return MERGE_LATER;
	if (!merge_still(&e->partner))
		return MERGE_LATER;
	if (!merge_equal(e->page.mfn, e->partner.mfn))
		return MERGE_DIFFERS;
	if (!merge_fingerprint_holds(e))
		return MERGE_LATER;
	if (merge_coin()) {
		keep = &e->partner;
		lose = &e->page;
	}
	if (merge_switch_pair(e, keep, lose) || merge_switch_pair(e, lose, keep))
		return MERGE_DONE;
	return MERGE_LATER;
}

static enum merge_result merge_with_hint(struct merge_entry *e)
{
	struct space *a = e->page.space, *b = e->partner.space;
	enum merge_result r;

	ASSERT(a->share_group == b->share_group);
	merge_lock_both(a, b);
	r = merge_pair_locked(e);
	merge_unlock_both(a, b);
	return r;
}

static enum merge_result merge_entry(struct merge_entry *e)
{
	struct index_found found;
	enum merge_result r;

	if (mfn_valid(e->constant))
		return merge_into(e, e->constant);
	found = index_lookup_shared(e->fingerprint, e->page.space->share_group);
	r = merge_with_shared(e, &found);
	if (r != MERGE_DIFFERS || !e->partner.space)
		return r;
	/* Full of other contents of this fingerprint: no more may be shared (mm/index.h). */
	return found.n < INDEX_SAME_MAX ? merge_with_hint(e) : MERGE_LATER;
}

/* ---- what did not merge ---- */

/*
 * A page that differs from all that it was compared with becomes a hint itself,
 * unless a newer hint stands there with which it was not compared: two equal
 * hints would never meet. Then the next pass finds it again. p2m lock held.
 */
static void merge_make_hint(const struct merge_entry *e)
{
	uint16_t group = e->page.space->share_group;
	struct index_found found = index_lookup(e->fingerprint, group);

	for (unsigned i = 0; i < found.n; i++)
		if (!found.match[i].shared && !mfn_eq(found.match[i].mfn, e->partner.mfn))
			return;
	index_insert_hint(e->page.mfn, e->fingerprint, group);
}

/* Make a page writable again that we left protected. */
static void merge_release(struct merge_entry *e, struct merge_side *side, bool hint)
{
	struct space *s = side->space;

	p2m_lock(s);
	if (merge_still(side)) {
		if (hint)
			merge_make_hint(e);
		p2m_unprotect(s, side->gfn);
	}
	p2m_unlock(s);
}

static bool merge_finish_entry(struct merge_entry *e)
{
	enum merge_result r = merge_entry(e);

	if (r != MERGE_DONE) {
		counter_add(&mm.count.merges_given_up, 1);
		merge_release(e, &e->page, r == MERGE_DIFFERS && !mfn_valid(e->constant));
	}
	return r == MERGE_DONE;
}

/* ---- commit ---- */

static void merge_free(void)
{
	for (unsigned i = 0; i < batch.nr_spaces; i++)
		batch.generation[i] = deferred_seal(&batch.freed[i]);
	for (unsigned i = 0; i < batch.nr_spaces; i++)
		deferred_finish(&batch.freed[i], batch.generation[i]);
}

/* A partner that was not used. Only at the end: it may be the match of a later page too. */
static void merge_release_partners(void)
{
	for (unsigned i = 0; i < batch.n; i++) {
		struct merge_entry *e = &batch.entry[i];

		if (e->partner.space && !e->settled)
			merge_release(e, &e->partner, false);
	}
}

uint64_t merge_commit(void)
{
	uint64_t merged = 0;

	ASSERT(lock_held(LOCK_SCAN));
	if (!batch.nr_spaces)
		return 0;
	for (unsigned i = 0; i < batch.n; i++)
		if (batch.entry[i].partner.space)
			merge_protect_partner(&batch.entry[i]);
	env_point(POINT_MERGE_PROTECTED);
	merge_flush();
	env_point(POINT_MERGE_FLUSHED);
	for (unsigned i = 0; i < batch.n; i++)
		merged += merge_finish_entry(&batch.entry[i]);
	merge_release_partners();
	env_point(POINT_MERGE_SWITCHED);
	merge_free();
	counter_add(&mm.count.merges, merged);
	batch.n = 0;
	batch.nr_spaces = 0;
	return merged;
}
