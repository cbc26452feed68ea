/* SPDX-License-Identifier: MIT */
/*
 * Statistics. What is running is exact at all times; who shares with whom, and
 * a domain's part of its shared frames, are computed by a walk on request and
 * are never a limit: another domain's death must not change what one may have.
 */
#include "mm/charge.h"
#include "mm/fund.h"
#include "mm/p2m.h"

static void stats_add_space(struct mm_stats *st, const struct space_stats *s)
{
	st->pages_zero += s->zero_mappings;
	st->pages_ones += s->ones_mappings;
	st->pages_untouched += s->untouched;
	st->breaks += s->breaks;
	st->take_overs += s->take_overs;
	st->waits += s->waits;
	st->pages_compressed += s->compressed;
	st->pages_compressed_filled += s->compressed_filled;
	st->compressed_bytes += s->store_bytes;
	st->compressions += s->compressions;
	st->expansions += s->expansions;
	st->incompressible += s->incompressible;
}

static void stats_frames(struct mm_stats *st)
{
	struct fund_view v = fund_look();

	st->frames_total = mm.nr_frames;
	st->frames_free = v.free;
	st->frames_reserve = v.reserve;
	st->frames_table = counter_read(&mm.kinds[FRAME_TABLE]);
	st->frames_private = counter_read(&mm.kinds[FRAME_PRIVATE]);
	st->frames_shared = counter_read(&mm.kinds[FRAME_SHARED]);
	st->frames_service = counter_read(&mm.kinds[FRAME_SERVICE]);
	st->frames_store = counter_read(&mm.kinds[FRAME_STORE]);
	st->frames_constant = counter_read(&mm.kinds[FRAME_CONSTANT]);
	st->frames_reserved = counter_read(&mm.kinds[FRAME_RESERVED]);
	st->frames_hypervisor = counter_read(&mm.kinds[FRAME_HYPERVISOR]);
	st->frames_debt = v.debt;
	st->frames_loans = v.loans;
	st->reserve_level = v.reserve_level;
}

struct mm_stats mm_stats(void)
{
	struct index_stats ix = index_stats();
	struct mm_stats st = {0};
	uint64_t mappings;

	stats_frames(&st);
	lock_take(&mm.scan_lock,
	          LOCK_SCAN); /* no space goes away, and may be made anew, meanwhile */
	for (domid_t d = 1; d < MM_MAX_SPACES; d++) {
		struct space *s = space_find(d);

		if (s) {
			struct space_stats one = space_stats(s);

			stats_add_space(&st, &one);
		}
	}
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	mappings = counter_read(&mm.count.shared_mappings);
	st.pages_shared = st.frames_shared;
	/* A mapping that was given back is counted off before its frame is free. */
	st.pages_sharing = mappings - min_u64(mappings, st.frames_shared);
	st.pages_saved = st.pages_sharing + st.pages_zero + st.pages_ones;
	st.pages_unshared = ix.hints;
	st.hints_dropped = ix.hints_dropped;
	st.pages_volatile = counter_read(&mm.count.pages_volatile);
	st.full_scans = counter_read(&mm.count.full_scans);
	st.pages_scanned = counter_read(&mm.count.pages_scanned);
	st.pages_passed = counter_read(&mm.count.pages_passed);
	st.pages_logged = counter_read(&mm.count.pages_logged);
	st.pages_fingerprinted = counter_read(&mm.count.pages_fingerprinted);
	st.pages_compared = counter_read(&mm.count.pages_compared);
	st.bytes_read = counter_read(&mm.count.bytes_read);
	st.merges = counter_read(&mm.count.merges);
	st.merges_given_up = counter_read(&mm.count.merges_given_up);
	st.flushes = counter_read(&mm.count.flushes);
	return st;
}

struct mm_account mm_account(struct space *s)
{
	struct charge c = charge_of(s->domid);
	struct space_stats st;
	struct mm_account a;

	p2m_lock(s);
	st = s->stats;
	a = (struct mm_account){.memory = s->memory_pages, .max = s->max_pages};
	p2m_unlock(s);
	a.min = s->min_pages;
	a.own = st.private_pages;
	a.mappings = st.shared_mappings;
	a.populated = a.own + a.mappings + st.zero_mappings + st.ones_mappings;
	a.untouched = st.untouched;
	a.ballooned = st.ballooned;
	a.compressed = st.compressed;
	a.store = c.store;
	a.tables = st.table_frames;
	a.service = c.service;
	a.hypervisor = c.hypervisor;
	a.owed = a.min - min_u64(a.min, s->held);
	return a;
}

/* ---- by walk, all CPUs stopped ---- */

typedef void stats_shared(mfn_t mfn, void *arg);

/* The leaves of one level-1 table, from e, that of gfn, to its end. */
static void stats_in_table(struct space *s, const uint64_t *e, gfn_t gfn, stats_shared *f,
                           void *arg)
{
	do {
		uint64_t v = p2m_entry_get(e++);

		if (v && p2m_type_of(s, gfn, v, 1) == P2M_SHARED)
			f(mm.format->frame(v, 1), arg);
	} while (++gfn.n % LARGE_PAGES);
}

static void stats_in_large(struct space *s, uint64_t v, gfn_t gfn, stats_shared *f, void *arg)
{
	mfn_t mfn = mm.format->frame(v, 2);

	if (p2m_type_of(s, gfn, v, 2) == P2M_SHARED)
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			f(MFN(mfn.n + i), arg);
}

/*
 * Call f for the frame of each leaf of s that maps a shared frame. All CPUs stand still meanwhile, so it
 * descends once a table, not once a page.
 */
static void stats_each_shared(struct space *s, stats_shared *f, void *arg)
{
	p2m_lock(s);
	for (gfn_t g = p2m_next_locked(s, GFN(0)); g.n < GFN_LIMIT;
	     g = p2m_next_locked(s, GFN(align_down(g.n, LARGE_PAGES) + LARGE_PAGES))) {
		struct p2m_slot p = p2m_find(s, g);

		if (p.level == 1)
			stats_in_table(s, p.entry, g, f, arg);
		else
			stats_in_large(s, p2m_entry_get(p.entry), g, f, arg);
	}
	p2m_unlock(s);
}

/*
 * A frame with k mappings from g guests saves k - 1: k - g inside guests, g - 1
 * between them. During the walk of one guest a frame's age field, unused on a shared frame
 * of data, cannot serve as a mark (guest tables keep it), so FRAME_STALE does: it means
 * nothing on a shared frame, and is clear again after each guest.
 */
struct split_walk {
	uint64_t mappings;
	uint64_t guest_frames; /* pairs (guest, frame that it maps) */
};

static void split_mark(mfn_t mfn, void *arg)
{
	struct split_walk *w = arg;
	struct frame *f = frame_at(mfn);

	w->mappings++;
	if (!frame_flag(f, FRAME_STALE)) {
		w->guest_frames++;
		frame_set_flag(f, FRAME_STALE);
	}
}

static void split_unmark(mfn_t mfn, void *arg)
{
	(void)arg;
	frame_clear_flag(frame_at(mfn), FRAME_STALE);
}

struct share_split share_split(void)
{
	struct share_split split = {0};
	struct split_walk w = {0};

	for (domid_t d = 1; d < MM_MAX_SPACES; d++) {
		struct space *s = space_find(d);

		if (!s)
			continue;
		split.zero += s->stats.zero_mappings;
		split.ones += s->stats.ones_mappings;
		stats_each_shared(s, split_unmark, NULL);
		stats_each_shared(s, split_mark, &w);
		stats_each_shared(s, split_unmark, NULL);
	}
	split.self = w.mappings - w.guest_frames;
	split.inter = w.guest_frames - counter_read(&mm.kinds[FRAME_SHARED]);
	return split;
}

static void part_add(mfn_t mfn, void *arg)
{
	uint64_t *part = arg;

	*part += (UINT64_C(1) << 32) / frame_slot(frame_at(mfn));
}

uint64_t share_part(struct space *s)
{
	uint64_t part = 0;

	stats_each_shared(s, part_add, &part);
	return part;
}
