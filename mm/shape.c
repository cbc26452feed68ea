/* SPDX-License-Identifier: MIT */
/*
 * One large leaf, or 512 small ones? Its own, or shared?
 *
 * A large leaf serves a guest better: one TLB entry for 2 MiB, and a walk that is a step
 * shorter. Small ones can be shared, and each has a dirty bit of its own. So a guest keeps its
 * large leaves until sharing pays, and gets them back when it does not any more.
 *
 *	            worth it, or written in every pass
 *	    LARGE --------------------------------------> SMALL
 *	     | ^ ^                                         |
 *	     | | +-- all private (or shared, in order), ---+
 *	     | |            and still, for long            ^
 *	     | +-- nobody else is left                     |
 *	     v |                                           |
 *	    LARGE, SHARED ---------- written --------------+
 *
 * What would a split save? The scanner reads small pages under a large leaf like any other, once
 * they are quiet (one dirty bit speaks for all of them), and keeps their fingerprints in the
 * frame records: a page whose like is not there becomes a hint; so do the first few that are alike.
 * What is all zeroes or ones, or the fifth of its kind, is kept outside of the index (KEPT: neither
 * indexed nor stale). So to weigh a leaf is to look up 512 fingerprints, nothing is read:
 *
 *	its like is shared, or under a small leaf, or constant	a page is saved
 *	its like is under the same leaf				one page of the two is
 *	its like is under another large leaf			half a page: both must be split
 *	it is one of many, KEPT					a page: others are split as well
 *
 * and it is split if that comes to `large.gain` pages at least: what a leaf is worth to the
 * guest, in pages, is for the operator to say. When less than one large frame is left beyond
 * all that is promised and reserved, and when the scanner is told to settle, one page is enough.
 * All that match are then merged by their fingerprints; the merge compares, as ever.
 *
 * A leaf is weighed at the end of a slice if in that slice a page of it turned out to have a
 * like, or somebody's like was found under it; and in passes that trust no mark.
 *
 * But first of all: if all 512 pages of two large leaves are alike, and a split would save no more
 * than these, both are kept, and share one run of frames (mm/merge_large.c). When all others
 * have left such a run, whoever is left gets it back, writable; and one that was split by a
 * write is joined again once its frames lie in order (mm/large_share.c).
 *
 * Scattered writes. A large leaf that is written somewhere before every pass is never quiet,
 * and all its pages hide behind the one that is written. After `large.patience` passes in a row it
 * is split, although nothing is known of it: the next pass finds out which pages are quiet,
 * and reads each of them once. So with a patience of 3 a page is read in the fourth pass after its
 * last write at the latest, whatever is written around it. Writes that move from leaf to leaf split nothing.
 *
 * And back. Under small leaves, if for `large.rest` passes in a row nothing was written or
 * newly read, and all 512 are the guest's own, the region is made large again (mm_coalesce):
 * by copy only if a large frame is free beyond the reserve and all promises. Shared pages that
 * nobody else has any more are taken back on the way. Each time this happens to a region it has to
 * rest twice as long before the next (up to 16 times), so that one whose writes or likes come and
 * go is not copied over and over. Only guests that were given large leaves get any back.
 *
 * Bounds. A slice weighs eight leaves, of which it compares one at most as a whole with
 * another, and makes one region whole. What is left waits for the next slice; when settling, so does the end of
 * the pass. The streaks of passes are kept for as many regions as there is room for; who finds no
 * room is counted later.
 *
 * Why it is right: nothing here is believed by a merge. A split has equal frames and rights on
 * both sides and needs no flush of its own (the next protect flushes); mm/large.c says why
 * making whole is safe.
 */
#include "mm/shape.h"
#include "mm/cow.h"
#include "mm/fund.h"
#include "mm/large_share.h"
#include "mm/merge_large.h"
#include "mm/quiet.h"
#include "mm/scan.h"

#define WANTED   128u  /* leaves that wait to be weighed */
#define WEIGHED  8u    /* in a slice, and one that is compared as a whole */
#define LIKES    4u    /* hints of one fingerprint beyond which pages under large leaves are KEPT */
#define SEEN     4096u /* regions whose streaks are kept */
#define BACK_OFF 4u    /* doublings */
#define LATER    8u    /* passes in which all pages of a quiet leaf are read */

static _Atomic uint64_t gain_pages, patience_passes, rest_passes;

const struct scan_knob shape_knobs[] = {
    {"large.gain",     8,  1, LARGE_PAGES, &gain_pages,
     "pages that the split of a 2 MiB leaf must save"                            },
    {"large.patience", 3,  0, 10000,       &patience_passes,
     "passes that find a 2 MiB leaf written until it is split; 0: never"         },
    {"large.rest",     16, 0, 10000,       &rest_passes,
     "passes that find 2 MiB still and private until they are one leaf; 0: never"},
    {NULL,             0,  0, 0,           NULL,             NULL                },
};

struct shape_region {
	domid_t domid; /* 0: none */
	gfn_t first;
};

/* A streak: for so many passes in a row the region was found written (large), or still (small). */
struct shape_seen {
	uint32_t name; /* 0: nobody */
	uint16_t pass; /* the last one, low bits */
	uint16_t passes;
	uint8_t back_off;
	bool written;
};

/* Guarded by the scan lock. */
static struct {
	struct shape_region wanted[WANTED], still;
	unsigned nr_wanted;
	uint64_t gain; /* pages, as of this slice */
	bool settling, scarce;
	bool kept;      /* a leaf was not worth it, but would be for a smaller gain */
	bool missed;    /* one was not weighed, for want of room */
	uint64_t later; /* since the pass before this one leaves are not weighed yet; 0: none */
	struct shape_seen seen[SEEN];
} shape;

void shape_init(void)
{
	__builtin_memset(&shape, 0, sizeof(shape));
	for (const struct scan_knob *k = shape_knobs; k->name; k++)
		atomic_store(k->value, k->standard);
}

/* ---- what a split must save ---- */

static bool shape_scarce(void)
{
	struct fund_view v = fund_look();
	uint64_t promised = v.debt + v.loans + v.reserve_level;
	uint64_t spare = v.free - min_u64(v.free, promised);

	return spare < (shape.scarce ? 4 : 1) * (uint64_t)LARGE_PAGES;
}

/* Some leaf was not weighed as pages were to be read yet. They have been, by now. */
static bool shape_is_later(void)
{
	uint64_t passes = counter_read(&mm.count.full_scans) + 1;

	return shape.later && passes - shape.later >= (shape.settling ? 1 : LATER);
}

bool shape_begin(bool settling)
{
	uint64_t before = shape.gain;
	bool again;

	shape.settling = settling;
	shape.scarce = shape_scarce();
	shape.gain = settling || shape.scarce ? 1 : scan_knob(&gain_pages);
	again = shape.missed || (shape.kept && shape.gain < before) || shape_is_later();
	if (again) {
		shape.missed = shape.kept = false;
		shape.later = 0;
	}
	return again;
}

bool shape_is_wanted(void)
{
	return shape.nr_wanted;
}

bool shape_has_kept(void)
{
	return shape.kept || shape.missed || shape.later || shape_is_wanted();
}

/* ---- leaves to be weighed ---- */

static bool shape_same(struct shape_region a, struct shape_region b)
{
	return a.domid == b.domid && a.first.n == b.first.n;
}

void shape_want(domid_t domid, gfn_t gfn)
{
	struct shape_region r = {domid, GFN(align_down(gfn.n, LARGE_PAGES))};

	for (unsigned i = shape.nr_wanted; i-- > 0;) /* the last one, most of the time */
		if (shape_same(shape.wanted[i], r))
			return;
	if (shape.nr_wanted < WANTED)
		shape.wanted[shape.nr_wanted++] = r;
	else
		shape.missed = true;
}

static struct shape_region shape_next_wanted(void)
{
	struct shape_region r = shape.wanted[0];

	shape.nr_wanted--;
	for (unsigned i = 0; i < shape.nr_wanted; i++)
		shape.wanted[i] = shape.wanted[i + 1];
	return r;
}

/* The fingerprint of a frame that is not in the index. */
static void shape_note(mfn_t mfn, uint32_t fingerprint)
{
	__atomic_store_n(&frame_at(mfn)->fingerprint, fingerprint, __ATOMIC_RELEASE);
}

void shape_keep(struct space *s, struct merge_page page, const struct index_found *found,
                bool constant)
{
	bool indexed = frame_flag(frame_at(page.mfn), FRAME_INDEXED);
	unsigned likes = constant ? 1 : 0;

	for (unsigned i = 0; i < found->n; i++)
		likes += !mfn_eq(found->match[i].mfn, page.mfn);
	if (constant || likes >= LIKES) {
		index_remove(page.mfn);
		shape_note(page.mfn, page.fingerprint);
	} else if (!indexed && !index_insert_hint(page.mfn, page.fingerprint, s->share_group)) {
		quiet_doubt(s, page.gfn);
	}
	if (likes)
		shape_want(s->domid, page.gfn);
}

/* ---- weighing ---- */

/* What the pages of one leaf are compared with. */
struct shape_scale {
	struct space *s;
	gfn_t first;
	uint32_t zero, ones; /* fingerprints */
};

static struct shape_scale shape_scale(struct space *s, gfn_t first)
{
	return (struct shape_scale){
	    .s = s,
	    .first = first,
	    .zero = hash_fingerprint(env_frame(zero_frame()), s->share_group),
	    .ones = hash_fingerprint(env_frame(ones_frame()), s->share_group),
	};
}

/* Whether what is known of the frame's content is true of it now, and it may be merged. */
static bool shape_is_known(const struct frame *f)
{
	return frame_kind(f) == FRAME_PRIVATE && !frame_flag(f, FRAME_PINNED | FRAME_GUEST_TABLE) &&
	       (mm.blind || !frame_flag(f, FRAME_STALE));
}

/* The constant frame that a KEPT page is equal to, by its fingerprint. */
static mfn_t shape_constant(const struct shape_scale *c, const struct frame *f)
{
	if (frame_flag(f, FRAME_INDEXED))
		return MFN_NONE;
	if (f->fingerprint == c->zero)
		return zero_frame();
	return f->fingerprint == c->ones ? ones_frame() : MFN_NONE;
}

/* Half pages that are saved if this match of page gfn is merged with it. */
static unsigned shape_worth_of_match(const struct shape_scale *c, gfn_t gfn,
                                     const struct index_match *m)
{
	if (m->shared || !m->large)
		return 2;
	if (m->owner != c->s->domid || align_down(m->gfn, LARGE_PAGES) != c->first.n)
		return 1;
	return m->gfn < gfn.n ? 2 : 0; /* of two under one leaf the later one counts */
}

static unsigned shape_worth_of_page(const struct shape_scale *c, gfn_t gfn, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);
	struct index_found found;
	unsigned most = 0;

	if (!shape_is_known(f))
		return 0;
	if (mfn_valid(shape_constant(c, f)) || !frame_flag(f, FRAME_INDEXED))
		return 2;
	found = index_lookup(f->fingerprint, c->s->share_group);
	for (unsigned i = 0; i < found.n && most < 2; i++)
		if (!mfn_eq(found.match[i].mfn, mfn))
			most =
			    (unsigned)max_u64(most, shape_worth_of_match(c, gfn, &found.match[i]));
	return most;
}

/* What a split of the leaf would save, in half pages. */
static unsigned shape_worth(const struct shape_scale *c, mfn_t first)
{
	unsigned worth = 0;

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		worth += shape_worth_of_page(c, GFN(c->first.n + i), MFN(first.n + i));
	return worth;
}

/* ---- after the split: what has a like is merged with it ---- */

/*
 * A like that can be merged with now; leaves that are still large are weighed in their turn.
 *
 * The pages of the leaf are sought one after the other, and no page may be merged with one that is
 * then merged itself: so a like elsewhere goes before one of the same leaf, and there the last one.
 */
static const struct index_match *shape_choose(const struct shape_scale *c, gfn_t gfn,
                                              const struct index_found *found)
{
	const struct index_match *shared = NULL, *elsewhere = NULL, *last = NULL;

	for (unsigned i = 0; i < found->n; i++) {
		const struct index_match *m = &found->match[i];

		if (m->shared)
			shared = m;
		else if (m->large)
			shape_want(m->owner, GFN(m->gfn));
		else if (m->owner != c->s->domid || align_down(m->gfn, LARGE_PAGES) != c->first.n)
			elsewhere = m;
		else if (m->gfn > (last ? last->gfn : gfn.n))
			last = m;
	}
	if (shared)
		return shared;
	return elsewhere ? elsewhere : last;
}

/*
 * One page under what is a small leaf now. What is KEPT and not constant is found by the next pass,
 * which reads what is not in the index.
 */
static void shape_seek_page(const struct shape_scale *c, gfn_t gfn)
{
	uint64_t *e = p2m_at(c->s, &c->s->near, gfn);
	const struct index_match *match;
	struct index_found found;
	struct merge_page page;
	const struct frame *f;

	if (!e || !scan_is_private(p2m_entry_get(e), 1))
		return;
	page = (struct merge_page){gfn, mm.format->frame(p2m_entry_get(e), 1), 0};
	f = frame_at(page.mfn);
	if (!shape_is_known(f))
		return;
	page.fingerprint = f->fingerprint;
	if (mfn_valid(shape_constant(c, f)))
		merge_add_constant(c->s, page, shape_constant(c, f));
	if (!frame_flag(f, FRAME_INDEXED))
		return;
	found = index_lookup(page.fingerprint, c->s->share_group);
	match = shape_choose(c, gfn, &found);
	if (!match)
		return;
	index_remove(page.mfn); /* it must not be found by those that it is merged with */
	merge_add(c->s, page, *match);
}

/* p2m lock held; dropped now and then. */
static void shape_seek(struct scan_slice *w, const struct shape_scale *c)
{
	for (unsigned i = 0; i < LARGE_PAGES && !c->s->dying; i++) {
		if (!merge_has_room()) {
			p2m_unlock(c->s);
			w->merged += merge_commit();
			p2m_lock(c->s);
		}
		shape_seek_page(c, GFN(c->first.n + i));
	}
}

/* Its first frame, if a large leaf is there, not written of late; else MFN_NONE. */
static mfn_t shape_leaf(struct space *s, gfn_t first)
{
	struct p2m_slot p = p2m_find(s, first);
	uint64_t v = p.entry ? p2m_entry_get(p.entry) : 0;

	if (s->dying || p.level != 2 || !scan_is_private(v, 2))
		return MFN_NONE;
	return v & mm.format->dirty_mask && !mm.blind ? MFN_NONE : mm.format->frame(v, 2);
}

/* p2m lock held; dropped now and then. */
static void shape_weigh_leaf(struct scan_slice *w, struct space *s, gfn_t first, mfn_t frames)
{
	const struct shape_scale c = shape_scale(s, first);
	unsigned worth = shape_worth(&c, frames);

	w->budget -= min_u64(w->budget, LARGE_PAGES / 8);
	if (worth + 1 < 2 * shape.gain) {
		shape.kept |= worth > 0;
		return;
	}
	p2m_split_known(s, first);
	s->stats.splits_sharing++;
	s->stats.split_gain += (worth + 1) / 2;
	shape_seek(w, &c);
}

/* What the leaf is equal to as a whole, and its own frames. */
static struct merge_run shape_run(struct space *s, gfn_t first, mfn_t *frames)
{
	struct merge_run run = {.frames = MFN_NONE};

	p2m_lock(s);
	*frames = shape_leaf(s, first);
	if (mfn_valid(*frames))
		run = merge_large_seek(s, *frames);
	p2m_unlock(s);
	return run;
}

/* Nothing is split if all of it is equal to another, or may be. *compared: so it seemed. */
static bool shape_share(struct scan_slice *w, struct space *s, gfn_t first, bool *compared)
{
	mfn_t frames;
	struct merge_run run = shape_run(s, first, &frames);

	if (run.later)
		shape.later = shape.later ? shape.later : counter_read(&mm.count.full_scans) + 1;
	if (!mfn_valid(run.frames))
		return run.later;
	*compared = true;
	w->merged += merge_commit(); /* what is under way may change what is found */
	run = shape_run(s, first, &frames);
	if (!mfn_valid(run.frames) || !merge_large(s, first, frames, run))
		return false;
	w->merged += LARGE_PAGES;
	w->budget -= min_u64(w->budget, LARGE_PAGES);
	return true;
}

static void shape_weigh(struct scan_slice *w, struct shape_region r, bool *compared)
{
	struct space *s = space_find(r.domid);
	mfn_t frames;

	if (!s || shape_share(w, s, r.first, compared))
		return;
	p2m_lock(s);
	frames = shape_leaf(s, r.first);
	if (mfn_valid(frames))
		shape_weigh_leaf(w, s, r.first, frames);
	p2m_unlock(s);
}

/* ---- streaks ---- */

static struct shape_seen *shape_place(struct space *s, gfn_t first)
{
	return &shape.seen[(first.n / LARGE_PAGES ^ s->domid * UINT64_C(619)) % SEEN];
}

static uint32_t shape_name(struct space *s, gfn_t first)
{
	return (uint32_t)(first.n / LARGE_PAGES) | (uint32_t)s->domid << 23;
}

_Static_assert(GFN_LIMIT / LARGE_PAGES <= BIT(23) && MM_MAX_SPACES <= BIT(9), "a name is a word");

/*
 * This pass found the region written (or still). Returns its streak, or NULL if there is
 * no room for it: of two regions with one place the written one goes first, and who is not told
 * of any more makes room.
 */
static struct shape_seen *shape_streak(struct space *s, gfn_t first, bool written)
{
	struct shape_seen *m = shape_place(s, first);
	uint16_t pass = (uint16_t)counter_read(&mm.count.full_scans);
	uint16_t ago = (uint16_t)(pass - m->pass);
	uint32_t name = shape_name(s, first);

	if (m->name != name) {
		if (m->name && ago <= 1 && (m->written || !written))
			return NULL;
		*m = (struct shape_seen){.name = name};
	}
	if (m->written != written || !m->passes || ago > 1)
		m->passes = 1;
	else if (ago == 1 && m->passes < UINT16_MAX)
		m->passes++;
	m->written = written;
	m->pass = pass;
	return m;
}

void shape_written(struct space *s, gfn_t first)
{
	uint64_t patience = scan_knob(&patience_passes);
	const struct shape_seen *m = shape_streak(s, first, true);

	if (!patience || !m || m->passes < patience)
		return;
	p2m_split_known(s, first); /* no hint is left, as all were written */
	s->stats.splits_written++;
}

/* ---- whole again ---- */

void shape_still(struct space *s, gfn_t first)
{
	uint64_t rest = scan_knob(&rest_passes);
	const struct shape_seen *m;

	if (!s->large || shape.settling || !rest)
		return;
	m = shape_streak(s, first, false);
	if (m && !shape.still.domid && m->passes >= rest << m->back_off)
		shape.still = (struct shape_region){s->domid, first};
}

void shape_shared(struct space *s, gfn_t first, mfn_t run)
{
	if (!shape.still.domid && large_is_alone(run))
		shape.still = (struct shape_region){s->domid, first};
}

/* All 512 are private, or shared with nobody any more. p2m lock held; nobody looks up meanwhile. */
static bool shape_is_alone(const uint64_t *leaves)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint64_t v = p2m_entry_get(&leaves[i]);
		const struct frame *f;

		if (pte_kind(v, 1) != PTE_LEAF)
			return false;
		if (scan_is_private(v, 1))
			continue;
		if (mm.format->sw(v) != PTE_SW_SHARED)
			return false;
		f = frame_at(mm.format->frame(v, 1));
		if (frame_kind(f) != FRAME_SHARED || frame_slot(f) != 1)
			return false;
	}
	return true;
}

/* What nobody else shares any more is the guest's own again. */
static void shape_take_back(struct space *s, gfn_t first)
{
	struct p2m_slot p = p2m_find(s, first);

	if (s->dying || !p.entry || p.level != 1 || !shape_is_alone(p.entry))
		return;
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		if (!scan_is_private(p2m_entry_get(&p.entry[i]), 1))
			cow_take_back(s, GFN(first.n + i), &p.entry[i]);
}

static void shape_make_whole(struct scan_slice *w, struct shape_region r)
{
	struct space *s = space_find(r.domid);
	struct shape_seen *m;
	bool whole;

	ASSERT(s); /* alive: the scan lock has been held since it was found */
	p2m_lock(s);
	whole = large_take_back(s, r.first);
	if (!whole)
		shape_take_back(s, r.first);
	p2m_unlock(s);
	whole = whole || mm_coalesce(s, r.first) == MM_OK;
	w->budget -= min_u64(w->budget, LARGE_PAGES);
	m = shape_place(s, r.first);
	if (m->name != shape_name(s, r.first))
		return;
	m->passes = 0;
	if (!whole)
		m->name = 0; /* another may have the place */
	else if (m->back_off < BACK_OFF)
		m->back_off++;
}

/* ---- the end of a slice ---- */

void shape_work(struct scan_slice *w, const struct scan_cursor *at)
{
	struct shape_region here = {at->domid, GFN(align_down(at->gfn.n, LARGE_PAGES))};
	bool middle = at->gfn.n % LARGE_PAGES, later = false, compared = false;
	struct shape_region r;

	for (unsigned n = 0; shape.nr_wanted && n < WEIGHED && !compared; n++) {
		r = shape_next_wanted();
		if (middle && shape_same(r, here))
			later = true;
		else
			shape_weigh(w, r, &compared);
	}
	if (later)
		shape_want(here.domid, here.first);
	w->merged += merge_commit();
	r = shape.still;
	shape.still = (struct shape_region){0};
	if (r.domid)
		shape_make_whole(w, r);
}
