/* SPDX-License-Identifier: MIT */
/*
 * Populating: a page that was promised and never written gets a frame of its
 * own at the first write, zeroed unless it is known to be clean. A read before that sees
 * the zero frame, and is counted as untouched still: it saves nothing.
 */
#include "mm/populate.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/p2m_table.h"

#define PTE_RWX (PTE_R | PTE_W | PTE_X)

enum mm_status populate_page(struct space *s, gfn_t gfn, uint64_t *e, mfn_t *out)
{
	uint64_t old;
	bool clean;
	mfn_t mfn = fund_take(s, gfn, FUND_POPULATE, &clean);

	if (!mfn_valid(mfn))
		return MM_NOMEM;
	if (!e)
		e = p2m_make(s, gfn);
	ASSERT(e); /* tables for promised RAM are set aside */
	if (!clean)
		env_page_zero(env_frame(mfn));
	old = p2m_entry_get(e);
	if (old) { /* a read has mapped the zero frame: other CPUs may have it cached */
		/* Writable only after the flush: see cow.c. */
		p2m_entry_exchange(e, mm.format->leaf(mfn, 1, PTE_R | PTE_X, PTE_SW_PROTECTED));
		flush_space(s);
		p2m_entry_exchange(e, mm.format->leaf(mfn, 1, PTE_RWX, 0));
		s->stats.untouched_mapped--;
	} else {
		p2m_entry_set(e, mm.format->leaf(mfn, 1, PTE_RWX, 0));
	}
	s->stats.untouched--;
	s->stats.private_pages++;
	s->stats.populates++;
	*out = mfn;
	return MM_OK;
}

void populate_zero(struct space *s, gfn_t gfn)
{
	uint64_t *e = p2m_make(s, gfn);

	ASSERT(e);
	p2m_entry_set(e, mm.format->leaf(zero_frame(), 1, PTE_R | PTE_X, PTE_SW_UNTOUCHED));
	s->stats.untouched_mapped++;
}

static void populate_zero_fill(mfn_t first)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		env_page_zero(env_frame(MFN(first.n + i)));
}

enum mm_status populate_large(struct space *s, gfn_t first)
{
	mfn_t mfn = fund_take_large(s, first);
	unsigned access = PTE_R | (mm.large_nx ? 0 : PTE_X);
	uint64_t *e, old;

	if (!mfn_valid(mfn))
		return MM_NOMEM;
	populate_zero_fill(mfn);
	e = p2m_make_large(s, first);
	ASSERT(e && p2m_table_promised(s, first, 1));
	old = p2m_entry_exchange(e, mm.format->leaf(mfn, 2, access, 0));
	if (pte_kind(old, 2) == PTE_TABLE) {
		flush_space(s);
		p2m_table_release(s, mm.format->frame(old, 2), true);
	}
	/* Writable only now, as in cow.c: some of the pages may have been read as zeroes. */
	p2m_entry_exchange(e, mm.format->leaf(mfn, 2, access | PTE_W, 0));
	s->stats.private_pages += LARGE_PAGES;
	s->stats.populates += LARGE_PAGES;
	s->stats.large_leaves++;
	return MM_OK;
}

/* How many of the 512 pages are untouched but mapped; LARGE_PAGES + 1 if one is not untouched. */
static uint64_t populate_count_mapped(struct space *s, gfn_t first)
{
	uint64_t mapped = 0;

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		struct p2m_view v = p2m_lookup_locked(s, GFN(first.n + i));

		if (v.type != P2M_UNTOUCHED || !p2m_is_ram(s, GFN(first.n + i)))
			return LARGE_PAGES + 1;
		mapped += mfn_valid(v.mfn);
	}
	return mapped;
}

enum mm_status mm_populate_large(struct space *s, gfn_t first)
{
	enum mm_status st = MM_INVAL;
	uint64_t mapped;

	if (first.n % LARGE_PAGES || first.n >= GFN_LIMIT)
		return MM_INVAL;
	p2m_lock(s);
	mapped = populate_count_mapped(s, first);
	if (!s->dying && mapped <= LARGE_PAGES)
		st = populate_large(s, first);
	if (st == MM_OK) {
		s->stats.untouched -= LARGE_PAGES;
		s->stats.untouched_mapped -= mapped;
	}
	p2m_unlock(s);
	return st;
}
