/* SPDX-License-Identifier: MIT */
/*
 * The scanner: finds pages that have become quiet, reads each once, and hands it
 * to the index or to a merge.
 *
 * A page's life as the scanner sees it (dirty bit D, flag FRAME_STALE):
 *
 *	       D set: clear D, set STALE           D clear for one pass
 *	written -----------------------> STALE ---------------------------> read
 *	   ^                                                                  |
 *	   +---- D set: leaves the index ---- hint in the index <-------------+
 *	                                      or merged
 *
 * Work is done in slices of a bounded number of pages, each in three steps:
 *
 *	1. under the p2m lock, walk the leaves: clear D bits, and note the pages that
 *	   are STALE though D was clear, and those that lost their place in the index
 *	2. without a lock, read and fingerprint what was noted
 *	3. under the p2m lock again, check that each page is what it was (frame,
 *	   owner, guest frame number, D and STALE); look it up; begin a merge
 *	   (mm/merge.c) or make it a hint
 *
 * and then the flush that the cleared D bits owe. The order is clear D -> flush
 * -> only then read: a page noted in step 1 had its D bit cleared in an earlier
 * slice, whose flush is done; a write since then would have had to set D again.
 * No slice goes round, so no page is met twice in one.
 *
 * The cursor is a domain id and a guest frame number, no pointer: a domain may
 * die under it, and the next slice goes on with the next one there is.
 *
 * Where D comes from, and what stands for it on a CPU without dirty flags, is told in
 * mm/dirty.h. A policy may want none of that (`blind`), as KSM and its kin: then dirty bits are
 * neither looked at nor cleared, every private page may be read in every pass, a page is quiet when
 * its fingerprint is that of the last pass (kept in its frame record), and a merge reads the page
 * once more.
 *
 * A page under a large leaf is read like any other, and its fingerprint kept; when the
 * leaf is split, and made again, is told in mm/shape.c. One D bit speaks for 512 pages there, so it
 * is looked at when the scan enters the leaf, and a written leaf is skipped as a whole.
 *
 * Passed over: never-touched pages, balloon holes, foreign leaves, pinned pages,
 * shared ones, and pages that hold a guest's page tables. The flag of
 * the latter is taken away with a chance of 1 in 2^age a pass (mm/frame.h).
 */
#include "mm/scan.h"
#include "mm/flush.h"
#include "mm/merge.h"
#include "mm/quiet.h"
#include "mm/scan_walk.h"
#include "mm/shape.h"

/* Guarded by the scan lock. */
static struct {
	struct scan_cursor cursor;
	struct scan_pass pass, last;
	uint64_t pass_began;
	unsigned settle_passes;
	bool settle_more;     /* this pass cannot be the last: it trusted marks too long */
	uint64_t settle_seen; /* full_scans, when settling last looked */
	uint64_t dropped;     /* hints, as of the last slice */
	unsigned distrust;    /* for so many pass ends the marks of mm/quiet.h are not trusted */
	unsigned reread;      /* for so many pass ends hints are read again */
	struct scan_slice slice;
	struct scan_page page[SCAN_CHUNK]; /* what the slice has noted */
} scan;

void scan_init(void)
{
	scan_policy_init();
	scan.cursor = (struct scan_cursor){0};
	scan.pass = scan.last = (struct scan_pass){0};
	scan.dropped = 0;
	scan.distrust = 0;
	scan.reread = 0;
	scan.settle_more = false;
	scan_walk_init();
	shape_init();
}

/* ---- step 2: read ---- */

static void scan_read(struct scan_slice *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		const void *page = env_frame(scan.page[i].mfn), *next = page;

		if (i + 1 < w->n)
			next = env_frame(scan.page[i + 1].mfn);
		if (i + 2 <
		    w->n) /* so that its translation is there when its lines are asked for */
			env_prefetch_page(env_frame(scan.page[i + 2].mfn));
		scan.page[i].sum = hash_page_ahead(page, next);
		scan.page[i].fingerprint = hash_finish(scan.page[i].sum, &w->keys);
		scan.page[i].ask = index_ask(scan.page[i].fingerprint);
		env_point(POINT_SCAN_READ);
	}
	w->read += w->n;
	counter_add(&mm.count.pages_fingerprinted, w->n);
	counter_add(&mm.count.bytes_read, (uint64_t)w->n * PAGE_SIZE);
}

/* ---- step 3: place ---- */

/* Whether the page is still what was noted, and not written since; p2m lock held. */
static bool scan_unchanged(struct scan_slice *w, const struct scan_page *p)
{
	const struct frame *f = frame_at(p->mfn);
	struct p2m_slot slot = {p2m_at(w->space, &w->space->near, p->gfn), 1};
	uint64_t e;

	if (!slot.entry)
		slot = p2m_find(w->space, p->gfn);
	e = slot.entry ? p2m_entry_get(slot.entry) : 0;

	return scan_is_private(e, slot.level) && !(mm_by_dirty() && e & mm.format->dirty_mask) &&
	       mfn_eq(pte_frame(e, slot.level, p->gfn), p->mfn) && frame_kind(f) == FRAME_PRIVATE &&
	       frame_owner(f) == w->space->domid && frame_slot(f) == p->gfn.n &&
	       !frame_flag(f, FRAME_PINNED) && (mm.blind || !frame_flag(f, FRAME_STALE));
}

/*
 * Whether the page reads as it did the last time: its fingerprint is kept in its frame record.
 * If not, the new one is, and a hint with the old one goes.
 */
static bool scan_same_as_last(mfn_t mfn, uint32_t fingerprint)
{
	struct frame *f = frame_at(mfn);

	if (f->fingerprint == fingerprint)
		return true;
	index_remove(mfn);
	__atomic_store_n(&f->fingerprint, fingerprint, __ATOMIC_RELEASE);
	return false;
}

/* A page that is told volatile by its content. Returns whether it may be placed now. */
static bool scan_gate(struct scan_slice *w, const struct scan_page *p)
{
	bool same = scan_same_as_last(p->mfn, p->fingerprint);

	if (same || !p->gate)
		return true;
	w->gated++;
	w->written++;
	quiet_doubt(w->space, p->gfn);
	return false;
}

/*
 * Among several matches the one that looks equal now; the merge compares again. Its page
 * may be written meanwhile, so it is read as step 2 reads: once, by hash_page.
 *
 * A hint that a policy has read again is among them itself. Those under large leaves have
 * been left out.
 */
static const struct index_match *scan_choose(const struct index_found *found,
                                             const struct scan_page *p)
{
	if (found->n == 1 && !mfn_eq(found->match[0].mfn, p->mfn))
		return &found->match[0];
	for (unsigned i = 0; i < found->n; i++) {
		struct hash_sum sum;

		if (mfn_eq(found->match[i].mfn, p->mfn))
			continue;
		sum = hash_page(env_frame(found->match[i].mfn));
		counter_add(&mm.count.pages_compared, 1);
		if (hash_sum_equal(sum, p->sum))
			return &found->match[i];
	}
	return NULL;
}

/* Leave out the hints that the policy has forgotten. */
static void scan_forget(const struct scan_policy *policy, struct index_found *found)
{
	unsigned left = 0;

	for (unsigned i = 0; i < found->n; i++) {
		mfn_t mfn = found->match[i].mfn;

		if (found->match[i].shared || policy->counts(frame_at(mfn), scan_state(mfn)))
			found->match[left++] = found->match[i];
	}
	found->n = left;
}

/* Leave out the hints under large leaves; whether they are worth a split is weighed later. */
static void scan_leave_large(struct index_found *found)
{
	unsigned left = 0;

	for (unsigned i = 0; i < found->n; i++) {
		if (!found->match[i].large && left == i)
			left++;
		else if (found->match[i].large)
			shape_want(found->match[i].owner, GFN(found->match[i].gfn));
		else
			found->match[left++] = found->match[i];
	}
	found->n = left;
}

/* A page under a large leaf. */
static void scan_place_large(struct scan_slice *w, struct merge_page page, bool constant)
{
	struct index_found found = {.n = 0};

	if (!constant)
		found = index_lookup(page.fingerprint, w->space->share_group);
	if (w->policy->counts)
		scan_forget(w->policy, &found);
	shape_keep(w->space, page, &found, constant);
}

static void scan_place_small(struct scan_slice *w, const struct scan_page *p,
                             struct merge_page page)
{
	uint16_t group = w->space->share_group;
	struct index_found found = index_lookup(page.fingerprint, group);
	const struct index_match *match;

	if (w->policy->counts)
		scan_forget(w->policy, &found);
	scan_leave_large(&found);
	match = scan_choose(&found, p);
	if (match)
		merge_add(w->space, page, *match);
	else if (!frame_flag(frame_at(p->mfn), FRAME_INDEXED) &&
	         !index_insert_hint(p->mfn, page.fingerprint, group))
		quiet_doubt(w->space, p->gfn);
}

static void scan_place(struct scan_slice *w, const struct scan_page *p)
{
	struct merge_page page = {p->gfn, p->mfn, p->fingerprint};
	bool zero = hash_may_be_zero(p->sum), constant = zero || hash_may_be_ones(p->sum);

	if (!scan_unchanged(w, p)) {
		quiet_doubt(w->space, p->gfn);
		return;
	}
	if ((p->gate || !mm_by_dirty()) && !scan_gate(w, p))
		return;
	w->sought++;
	if (frame_flag(frame_at(p->mfn), FRAME_LARGE))
		scan_place_large(w, page, constant);
	else if (constant)
		merge_add_constant(w->space, page, zero ? zero_frame() : ones_frame());
	else
		scan_place_small(w, p, page);
}

static void scan_place_all(struct scan_slice *w)
{
	/* The entries of their chains; the buckets have been asked for one by one with the pages. */
	for (unsigned step = 0; step < INDEX_ASKS; step++)
		for (unsigned i = 0; i < w->n; i++)
			scan.page[i].ask = index_ask_next(scan.page[i].ask);
	p2m_lock(w->space);
	for (unsigned i = 0; i < w->n && !w->space->dying; i++) {
		if (!merge_has_room()) {
			p2m_unlock(w->space);
			w->merged += merge_commit();
			p2m_lock(w->space);
		}
		scan_place(w, &scan.page[i]);
	}
	p2m_unlock(w->space);
}

/* ---- a slice ---- */

/* The space at the cursor, or the next one that there is; NULL: the pass is over. */
static struct space *scan_space(struct scan_cursor *c)
{
	for (; c->domid < MM_MAX_SPACES; c->domid++, c->gfn = GFN(0)) {
		struct space *s = atomic_load_explicit(&mm.spaces[c->domid], memory_order_acquire);

		if (s && !s->dying)
			return s;
	}
	return NULL;
}

static void scan_stretch(struct scan_slice *w)
{
	w->keys = hash_group(w->space->share_group);
	w->owes_flush = false;
	do {
		if (w->policy->look)
			scan_look_walk(w);
		else
			scan_walk(w);
		if (w->n) {
			scan_read(w);
			scan_place_all(w);
		}
	} while (!w->end && !w->stop && w->budget);
	if (w->owes_flush)
		flush_space(w->space);
}

/* ---- pages out of turn ---- */

static bool scan_before(const struct scan_cursor *a, const struct scan_cursor *b)
{
	return a->domid != b->domid ? a->domid < b->domid : a->gfn.n < b->gfn.n;
}

/* A pass of a policy that only picks is as many picks as there are pages: what is left of it. */
static uint64_t scan_picks_left(const struct scan_slice *w)
{
	uint64_t pages = 0, done = scan.pass.looked + w->looked;

	for (domid_t d = 1; d < MM_MAX_SPACES; d++) {
		struct space *s = space_find(d);

		if (!s)
			continue;
		p2m_lock(s);
		pages += s->memory_pages;
		p2m_unlock(s);
	}
	return pages - min_u64(pages, done);
}

/* Ask the policy for pages; in order, so that neighbours are read together, and each once. */
static unsigned scan_pick(const struct scan_slice *w, struct scan_cursor *pick)
{
	unsigned n = 0, i, asked = 0, most = (unsigned)min_u64(SCAN_CHUNK, w->budget);
	struct scan_cursor c;

	if (w->policy->picks_only)
		most = (unsigned)min_u64(most, scan_picks_left(w));
	for (; asked < most && w->policy->pick(&c); asked++) {
		for (i = n; i && scan_before(&c, &pick[i - 1]); i--)
			;
		if (i && !scan_before(&pick[i - 1], &c))
			continue; /* a second time */
		for (unsigned j = n++; j > i; j--)
			pick[j] = pick[j - 1];
		pick[i] = c;
	}
	return n;
}

/* Those of the picked pages that are of one space: pick[0 .. n-1]. */
static void scan_picked(struct scan_slice *w, const struct scan_cursor *pick, unsigned n)
{
	struct space *s = pick->domid < MM_MAX_SPACES ? space_find(pick->domid) : NULL;

	if (!s)
		return;
	w->space = s;
	w->keys = hash_group(s->share_group);
	w->owes_flush = false;
	if (w->policy->look)
		scan_look_picked(w, pick, n);
	else
		scan_walk_picked(w, pick, n);
	if (w->n) {
		scan_read(w);
		scan_place_all(w);
	}
	if (w->owes_flush)
		flush_space(s);
}

static void scan_picks(struct scan_slice *w)
{
	struct scan_cursor pick[SCAN_CHUNK];
	unsigned n;

	while (w->budget && !w->stop && (n = scan_pick(w, pick))) {
		for (unsigned i = 0, j; i < n; i = j) {
			for (j = i; j < n && pick[j].domid == pick[i].domid; j++)
				;
			scan_picked(w, &pick[i], j - i);
		}
		w->budget -= min_u64(w->budget, n);
		w->looked += n;
		if (!w->policy->picks_only)
			break; /* then a part of the round, then more of them */
	}
}

static void scan_pass_end(const struct scan_policy *policy)
{
	uint64_t now = env_cycles();

	scan.pass.ended_at = now;
	scan.pass.cycles = now - scan.pass_began;
	atomic_store(&mm.count.pages_volatile, scan.pass.written);
	counter_add(&mm.count.full_scans, 1);
	if (mm.dirty == DIRTY_LOG)
		flush_ask_out();
	scan.distrust -= scan.distrust > 0;
	if (!policy->counts)
		scan.reread -= scan.reread > 0;
	scan.last = scan.pass;
	scan_count(policy, &(struct scan_counts){.passes = 1});
	if (policy->pass_end)
		policy->pass_end(&scan.pass);
	scan.pass = (struct scan_pass){0};
	scan.cursor = (struct scan_cursor){0};
}

static void scan_account(const struct scan_slice *w, uint64_t began, uint64_t inserted)
{
	bool looks = w->policy->look != NULL;

	counter_add(&mm.count.pages_scanned, looks ? w->scanned + w->skipped : w->leaves);
	counter_add(&mm.count.pages_passed, w->passed);
	scan_count(w->policy, &(struct scan_counts){
	                          .scanned = looks ? w->scanned : w->leaves,
	                          .skipped = w->skipped,
	                          .read = w->read,
	                          .gated = w->gated,
	                          .sought = w->sought,
	                          .compared = counter_read(&mm.count.pages_compared) - w->compared,
	                          .merged = w->merged,
	                      });
	scan.pass.looked += w->looked;
	scan.pass.written += w->written;
	scan.pass.sought += w->sought;
	scan.pass.placed += w->merged + index_stats().hints_inserted - inserted;
	scan.pass.merged += w->merged;
	scan.pass.busy += env_cycles() - began;
}

/*
 * A policy that forgets hints (counts) leaves pages of one content in the index side by side: each was
 * looked up when the other did not count. The next policy that takes a hint for looked up reads
 * all of them once more, for what is left of a pass and a whole one.
 */
static bool scan_rereads(const struct scan_policy *policy)
{
	if (policy->counts)
		scan.reread = 2;
	return scan.reread && !policy->look;
}

/*
 * Whether the marks of quiet regions may be trusted. Not if the index has dropped a hint: it may
 * have been anybody's. Then what is left of this pass, and the next, look at everything.
 */
static bool scan_trust(uint64_t dropped)
{
	if (dropped != scan.dropped)
		scan.distrust = 2;
	scan.dropped = dropped;
	return !scan.distrust;
}

/* The round, from the cursor on; whether it is at its end. */
static bool scan_round(struct scan_slice *w)
{
	struct space *s = NULL;

	while (w->budget && !w->stop && (s = scan_space(&scan.cursor))) {
		w->space = s;
		w->gfn = scan.cursor.gfn;
		scan_stretch(w);
		scan.cursor.gfn = w->gfn;
		if (w->end) {
			scan.cursor.domid++;
			scan.cursor.gfn = GFN(0);
		}
	}
	return !scan_space(&scan.cursor);
}

/*
 * Look at up to `pages` pages, picked ones first and then from the cursor on, to the end of the
 * pass at most; returns how much of that was used up.
 */
static uint64_t scan_run(const struct scan_policy *policy, uint64_t pages, bool settling)
{
	struct scan_slice *w = &scan.slice;
	struct index_stats before = index_stats();
	uint64_t began = env_cycles();
	bool round, end;

	if (scan_policy_changed())
		scan.distrust = 2; /* it may want to look at what the last one left alone */
	if (shape_begin(settling)) {
		scan.distrust = 2;
		scan.settle_more = true;
	}
	*w = (struct scan_slice){.policy = policy, .budget = pages, .page = scan.page};
	w->trust = scan_trust(before.hints_dropped);
	w->reread = scan_rereads(policy);
	w->trust &= !w->reread;
	w->compared = counter_read(&mm.count.pages_compared);
	mm.blind = policy->blind;
	if (policy->pick)
		scan_picks(w);
	round = !policy->round || policy->round();
	if (!round)
		w->looked = 0; /* the next pass has not begun */
	else if (!scan.pass.looked)
		scan.pass_began = began;
	if (policy->picks_only)
		end = !scan_picks_left(w);
	else
		end = round && scan_round(w);
	w->merged += merge_commit();
	shape_work(w, &scan.cursor);
	mm.blind = false;
	scan_account(w, began, before.hints_inserted);
	if (end && !(settling && shape_is_wanted()))
		scan_pass_end(policy);
	return pages - w->budget;
}

uint64_t scan_slice(uint64_t pages)
{
	const struct scan_policy *policy;
	uint64_t used = 0;

	if (!lock_try(&mm.scan_lock, LOCK_SCAN))
		return 0;
	policy = scan_policy_locked();
	if (!policy->next || policy->next(&scan.cursor, &scan.last))
		used = scan_run(policy, pages, false);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return used;
}

/* ---- settling ---- */

void scan_settle_begin(void)
{
	lock_take(&mm.scan_lock, LOCK_SCAN);
	scan.cursor = (struct scan_cursor){0};
	scan.pass = (struct scan_pass){0};
	scan.settle_passes = 0;
	if (scan_policy_locked()->look)
		scan.distrust = 2; /* it reads pages without placing them */
	scan.settle_seen = counter_read(&mm.count.full_scans);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
}

/* Another CPU's slices may end the pass that this one began: a pass is a pass. */
bool scan_settle_step(uint64_t pages)
{
	uint64_t passes;
	bool settled = false;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	if (counter_read(&mm.count.full_scans) == scan.settle_seen)
		scan_run(scan_settler, pages, true);
	passes = counter_read(&mm.count.full_scans);
	if (passes != scan.settle_seen) {
		scan.settle_seen = passes;
		settled = (!scan.last.written && !scan.last.placed && !scan.settle_more &&
		           !shape_has_kept()) ||
		          ++scan.settle_passes == SCAN_SETTLE_PASSES;
		scan.settle_more = false;
	}
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return settled;
}

void scan_settle(void)
{
	scan_settle_begin();
	while (!scan_settle_step(4096))
		env_relax();
}
