/* SPDX-License-Identifier: MIT */
/*
 * How much memory does a guest use? Asked of a few pages, as ESX does it (C. Waldspurger,
 * OSDI 2002, section 5.3): n pages are picked at random for a period; if t of them are used in it,
 * t / n of all are, give or take sqrt(f (1 - f) / n): 5 % of all for 100 pages at the most.
 *
 * How a use is seen. ESX takes the sampled pages out of its page tables and waits for
 * faults. Since CPUs set accessed flags in second-level tables (EPT since Haswell, nested page
 * tables always) no fault is needed:
 *
 *	clear A of the n leaves -> flush the space once -> ... -> is A set again?
 *
 * The flush is owed, as a CPU that has the translation cached goes on without setting
 * A; between the clearing and the flush a use may be missed, which is no harm. But it comes before
 * the p2m lock is dropped: see below. Uses by the
 * hypervisor on a guest's behalf (hypercall arguments) set no flag and are not seen; few
 * pages live by these.
 *
 * A page may change under us while the period lasts. Another private frame behind it: it was
 * written, by a break or after it came back, so it was used. Merged, ballooned, gone: it
 * says nothing any more, and does not count.
 *
 * The scanner reads accessed flags, too, but those of level-2 entries that point at tables
 * (mm/quiet.c); no flag of a leaf means anything to it, so we may clear these. The flush makes
 * CPUs walk again from above and mark such entries as accessed: those over memory that is being
 * used, which are marked in each pass anyhow. The dirty flags are never touched here...
 *
 * ... except where there are no accessed flags (EPT before Haswell, or the dirty source "wp").
 * There only writes can be seen: the sampled pages are harvested, by the rule for all who
 * read dirty bits (p2m_harvest makes them STALE for the scanner), so the first write to each
 * of them faults once. That harvest leaves the pages write-protected, as a merge does, and the
 * sampler holds no scan lock: a merge that is just behind its flush would take such a page for one
 * that nobody can write since. So nobody gets the p2m lock before the flush is done. A guest that only reads looks idle then. ESX would see it, at a price:
 * entries that are not present and keep their frame elsewhere, for L1TF. Who reads the
 * figure is told (sample_sees_writes_only).
 *
 * A large leaf has one flag for its 512 pages, so it speaks for more than the page that was picked:
 * with large leaves the estimate is too high and a domain is taxed less than it should be.
 *
 * Averages. Two exponentially weighted ones over the periods: a slow one, smooth, and a fast
 * one; and a fast one into which what is seen so far of this period goes at once. The estimate is
 * the greatest of the three: who begins to use memory is believed at once, and who stops
 * is believed slowly. All are in pages, not in parts of what the guest has: when
 * idle pages have been taken away, the same pages are in use as before.
 */
#include "mm/sample.h"
#include "mm/flush.h"
#include "mm/p2m.h"

#define UNIT       256u /* a page, in averages */
#define FAST_SHIFT 1u   /* a half of the newest goes in; the paper names no figures */
#define SLOW_SHIFT 3u   /* an eighth */
#define TRIES      16u  /* to find a private page, for each that is wanted */

bool sample_sees_writes_only(void)
{
	return !mm.format->accessed_mask;
}

/* ---- one page ---- */

/* The leaf that maps a private page of s at gfn; entry NULL: there is none. p2m lock held. */
static struct p2m_slot sample_slot(struct space *s, gfn_t gfn)
{
	struct p2m_slot slot = p2m_find(s, gfn);
	uint64_t e = slot.entry ? p2m_entry_get(slot.entry) : 0;

	if (!slot.entry || p2m_type_of(s, gfn, e, slot.level) != P2M_PRIVATE)
		slot.entry = NULL;
	return slot;
}

static uint64_t sample_flag(void)
{
	return sample_sees_writes_only() ? mm.format->dirty_mask : mm.format->accessed_mask;
}

/* Any page that was promised to s. */
static gfn_t sample_any(const struct space *s)
{
	uint64_t n = env_random() % (s->low_pages + s->high_pages);

	return GFN(n < s->low_pages ? n : n - s->low_pages + s->high_first);
}

/* Its flag is clear from now on, once s is flushed. Whether that is owed. */
static bool sample_clear(struct space *s, gfn_t gfn, uint64_t *entry)
{
	uint64_t e = p2m_entry_get(entry), flag = sample_flag();

	if (!(e & flag))
		return false;
	if (sample_sees_writes_only())
		return p2m_harvest(s, gfn, 1);
	while (!p2m_entry_cas(entry, &e, e & ~flag))
		;
	return true;
}

/* ---- a period ---- */

/* Whether a flush is owed, before the p2m lock is dropped. */
static bool sample_pick(struct sampler *m, struct space *s, unsigned n)
{
	bool owed = false;

	for (unsigned tries = n * TRIES; tries && m->n < n; tries--) {
		gfn_t gfn = sample_any(s);
		struct p2m_slot slot = sample_slot(s, gfn);
		mfn_t mfn;

		if (!slot.entry)
			continue;
		mfn = pte_frame(p2m_entry_get(slot.entry), slot.level, gfn);
		if (sample_sees_writes_only() && frame_flag(frame_at(mfn), FRAME_PINNED))
			continue; /* it would fault in vain (mm/dirty_protect.c) */
		owed |= sample_clear(s, gfn, slot.entry);
		m->used[m->n] = false;
		m->page[m->n++] =
		    (struct sample_page){.gfn = (uint32_t)gfn.n, .mfn = (uint32_t)mfn.n};
	}
	return owed;
}

/* Whether it counts in this period. */
static bool sample_counts(const struct sampler *m, unsigned i)
{
	return mfn_valid(MFN(m->page[i].mfn));
}

static void sample_look_at(struct sampler *m, struct space *s, unsigned i)
{
	gfn_t gfn = GFN(m->page[i].gfn);
	struct p2m_slot slot = sample_slot(s, gfn);
	uint64_t e;

	if (!slot.entry) {
		m->page[i].mfn = (uint32_t)MFN_NONE.n;
		return;
	}
	e = p2m_entry_get(slot.entry);
	m->used[i] =
	    e & sample_flag() || !mfn_eq(pte_frame(e, slot.level, gfn), MFN(m->page[i].mfn));
}

/* What is seen of this period, in 1/UNIT pages; false: nothing can be said. */
static bool sample_seen(const struct sampler *m, uint64_t *seen)
{
	uint64_t count = 0, used = 0;

	for (unsigned i = 0; i < m->n; i++) {
		count += sample_counts(m, i);
		used += sample_counts(m, i) && m->used[i];
	}
	if (!count)
		return false;
	*seen = m->pages * UNIT * used / count;
	return true;
}

/* A step from an average towards what was seen. */
static uint64_t sample_towards(uint64_t average, uint64_t seen, unsigned shift)
{
	if (seen > average)
		return average + ((seen - average) >> shift);
	return average - ((average - seen) >> shift);
}

void sample_look(struct sampler *m, struct space *s)
{
	uint64_t seen;

	p2m_lock(s);
	for (unsigned i = 0; i < m->n && !s->dying; i++)
		if (sample_counts(m, i) && !m->used[i])
			sample_look_at(m, s, i);
	p2m_unlock(s);
	if (m->periods && sample_seen(m, &seen))
		m->now = max_u64(m->fast, sample_towards(m->fast, seen, FAST_SHIFT));
}

static void sample_end(struct sampler *m)
{
	uint64_t seen;

	if (!sample_seen(m, &seen))
		return;
	m->slow = m->periods ? sample_towards(m->slow, seen, SLOW_SHIFT) : seen;
	m->fast = m->periods ? sample_towards(m->fast, seen, FAST_SHIFT) : seen;
	m->now = m->fast;
	m->periods++;
}

void sample_period(struct sampler *m, struct space *s, unsigned n)
{
	bool owed = false;

	ASSERT(n <= SAMPLE_MOST);
	sample_look(m, s);
	sample_end(m);
	p2m_lock(s);
	m->n = 0;
	m->pages = s->stats.private_pages;
	if (!s->dying && s->low_pages)
		owed = sample_pick(m, s, n);
	if (owed)
		flush_space(s);
	p2m_unlock(s);
	m->flushes += owed;
}

uint64_t sample_active(const struct sampler *m, const struct space *s)
{
	uint64_t held = s->held;

	if (!m->periods)
		return held;
	return min_u64(held, (max_u64(max_u64(m->slow, m->fast), m->now) + UNIT / 2) / UNIT);
}
