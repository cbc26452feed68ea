/* SPDX-License-Identifier: MIT */
/* What a coalesce must answer, from what can be seen of the map and of the frames. */
#include "mm/core.h"
#include "tests/model/model.h"

static bool all_free(uint64_t first)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		if (frame_kind(frame_at(MFN(first + i))) != FRAME_FREE)
			return false;
	return true;
}

bool twins_large_frame_free(void)
{
	for (uint64_t first = 0; first + LARGE_PAGES <= mm.nr_frames; first += LARGE_PAGES)
		if (all_free(first))
			return true;
	return false;
}

/* Small leaves of shared pages whose frames lie side by side, in order. */
static bool in_order(struct twin *t, gfn_t g)
{
	mfn_t first = p2m_lookup(&t->s, g).mfn;
	bool ordered = first.n % LARGE_PAGES == 0;

	for (unsigned i = 0; ordered && i < LARGE_PAGES; i++) {
		struct p2m_view v = p2m_lookup(&t->s, GFN(g.n + i));

		ordered = v.type == P2M_SHARED && !v.large && v.mfn.n == first.n + i;
	}
	return ordered;
}

enum mm_status twin_can_coalesce(struct twin *t, gfn_t g)
{
	enum mm_status st = MM_OK;

	if (in_order(t, g))
		return MM_OK;
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		struct p2m_view v = p2m_lookup(&t->s, GFN(g.n + i));

		if (v.type != P2M_PRIVATE || v.large)
			return MM_INVAL;
		if (!(v.access & PTE_W) && mm_dirty_source() != DIRTY_PROTECT)
			return MM_INVAL;
		if (v.pinned)
			st = MM_PINNED;
	}
	return st;
}
