/* SPDX-License-Identifier: MIT */
/*
 * Populating: a page that was promised and never written gets a frame of its
 * own at the first write, zeroed unless it is known to be clean. A read before that sees
 * the zero frame, and is counted as untouched still: it saves nothing.
 */
#include "mm/populate.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/quiet.h"
#include "mm/scan.h"
#include "mm/trace.h"

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
	quiet_doubt(s, gfn);
	s->stats.untouched--;
	s->stats.private_pages++;
	s->stats.populates++;
	scan_tell(s, gfn, SCAN_POPULATED);
	trace_event(TRACE_POPULATE, s, gfn, 0);
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
