/* SPDX-License-Identifier: MIT */
/*
 * The life of a space. Making one checks, then takes its table frames, in slices, then its
 * guarantee, then publishes it: after that nothing can fail. A making that fails, or is given up,
 * is marked as dying, and gives its frames back in slices, too. Taking one down goes in these:
 *
 *	first slice	dying: no new mapping; its guarantee is nobody's debt any more; its
 *			memory is offered to whoever is short (repay.c)
 *	leaves		by guest frame, from a cursor that is good between slices
 *	tables		from the leaves to the root, then the pool
 *	last		out of the list of spaces, under the scan lock: no scan holds a
 *			pointer to it
 */
#include "mm/balloon.h"
#include "mm/compress.h"
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/p2m_table.h"
#include "mm/pin.h"
#include "mm/repay.h"
#include "mm/trace.h"

#define LOW_RAM_PAGES  (UINT64_C(3) << (30 - PAGE_SHIFT)) /* guest RAM below 3 GiB */
#define HIGH_RAM_FIRST (UINT64_C(4) << (30 - PAGE_SHIFT)) /* and the rest from 4 GiB on */

static bool space_config_ok(const struct space_config *c)
{
	return c->domid >= 1 && c->domid < MM_MAX_SPACES && c->memory_pages >= 1 &&
	       c->memory_pages <= c->max_pages && c->min_pages <= c->max_pages &&
	       c->max_pages < GFN_LIMIT - HIGH_RAM_FIRST;
}

void space_place_ram(struct space *s, const struct space_config *c)
{
	s->low_pages = min_u64(c->memory_pages, LOW_RAM_PAGES);
	s->high_first = HIGH_RAM_FIRST;
	s->high_pages = c->memory_pages - s->low_pages;
	s->memory_pages = c->memory_pages;
	s->max_pages = c->max_pages;
}

static void space_init(struct space *s, const struct space_config *c)
{
	__builtin_memset(s, 0, sizeof(*s));
	s->domid = c->domid;
	s->share_group = c->share_group;
	space_place_ram(s, c);
	s->stats.untouched = c->memory_pages;
	flush_space_init(s);
}

enum mm_status space_create_begin(struct space *s, const struct space_config *c)
{
	ASSERT(mm.format);
	if (!space_config_ok(c) || space_find(c->domid))
		return MM_INVAL;
	space_init(s, c);
	return MM_OK;
}

/* It has all that it needs. MM_INVAL: another CPU was faster with this domain id. */
static enum mm_status space_publish(struct space *s)
{
	struct space *none = NULL;

	if (!atomic_compare_exchange_strong(&mm.spaces[s->domid], &none, s)) {
		fund_close(s);
		while (!p2m_tables_free(s, UINT64_MAX))
			;
		return MM_INVAL;
	}
	if (trace_on())
		trace_space_begin(s);
	return MM_OK;
}

enum mm_status space_create_step(struct space *s, const struct space_config *c, uint64_t budget)
{
	enum mm_status st;

	if (s->dying)
		return p2m_tables_free(s, budget) ? MM_NOMEM : MM_MORE;
	st = p2m_pool_fill(s, budget);
	if (st == MM_OK)
		st = fund_open(s, c->min_pages, c->loan_pages);
	if (st == MM_OK)
		return space_publish(s);
	s->dying = st == MM_NOMEM && !repay_some();
	return MM_MORE;
}

void space_create_cancel(struct space *s)
{
	s->dying = true;
}

enum mm_status space_create(struct space *s, const struct space_config *c)
{
	enum mm_status st = space_create_begin(s, c);

	if (st != MM_OK)
		return st;
	do
		st = space_create_step(s, c, UINT64_MAX);
	while (st == MM_MORE);
	return st;
}

struct space *space_find(domid_t domid)
{
	if (domid >= MM_MAX_SPACES)
		return NULL;
	return atomic_load_explicit(&mm.spaces[domid], memory_order_acquire);
}

struct space_stats space_stats(struct space *s)
{
	struct space_stats st;

	p2m_lock(s);
	st = s->stats;
	p2m_unlock(s);
	return st;
}

/* ---- the end ---- */

static void space_begin_end(struct space *s)
{
	s->dying = true;
	s->destroy_cursor = 0;
	pin_drop_all(s);
	fund_close(s);
}

/* The entry at gfn, not empty, goes; returns how many pages it covered. */
static uint64_t space_drop_entry(struct space *s, gfn_t gfn, struct deferred *d)
{
	struct p2m_slot p = p2m_find(s, gfn);
	uint64_t v = p2m_entry_get(p.entry);

	if (p.level > 1 && mm.format->sw(v) & PTE_SW_SHARED) {
		p2m_split_known(s, gfn); /* each page loses a count: the next steps */
		return 0;
	}
	if (p.level > 1) {
		p2m_entry_exchange(p.entry, 0);
		deferred_add_large(d, mm.format->frame(v, p.level));
		s->stats.large_leaves--;
		s->stats.private_pages -= LARGE_PAGES;
		return LARGE_PAGES;
	}
	switch (p2m_type_of(s, gfn, v, 1)) {
	case P2M_BALLOONED:
		p2m_entry_set(p.entry, 0);
		s->stats.ballooned--;
		break;
	case P2M_COMPRESSED:
		p2m_entry_set(p.entry, 0);
		compress_forget(s, gfn, v);
		break;
	case P2M_FOREIGN:
		ASSERT(!granted_leaf(s, v)); /* grants end before the space does */
		p2m_entry_exchange(p.entry, 0);
		s->stats.foreign--;
		break;
	default:
		balloon_unmap(s, gfn, p.entry, 0, d);
	}
	return 1;
}

/* Drop leaves from the cursor on; false while there may be more. */
static bool space_drop_leaves(struct space *s, uint64_t budget, struct deferred *d)
{
	gfn_t gfn = GFN(s->destroy_cursor);

	if (!mfn_valid(s->root)) /* only the list of spaces is left */
		return true;
	gfn = p2m_next_locked(s, gfn);
	for (uint64_t pages = 0; gfn.n < GFN_LIMIT; gfn = p2m_next_locked(s, gfn)) {
		if (pages >= budget || deferred_full(d))
			break;
		pages += space_drop_entry(s, gfn, d);
	}
	s->destroy_cursor = gfn.n;
	return gfn.n >= GFN_LIMIT;
}

static bool space_unlist(struct space *s)
{
	if (!lock_try(&mm.scan_lock, LOCK_SCAN))
		return false;
	trace_space_end(s);
	repay_forget(s); /* nobody gives its pages back any more */
	atomic_store_explicit(&mm.spaces[s->domid], NULL, memory_order_release);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return true;
}

bool space_give_back(struct space *s, uint64_t budget)
{
	struct deferred d;
	uint64_t generation;
	bool gone;

	deferred_init(&d, s);
	p2m_lock(s);
	ASSERT(s->dying);
	gone = space_drop_leaves(s, budget, &d);
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
	return gone;
}

bool space_destroy_step(struct space *s, uint64_t budget)
{
	bool begins, gone;

	p2m_lock(s);
	begins = !s->dying;
	if (begins)
		space_begin_end(s);
	p2m_unlock(s);
	if (begins)
		repay_offer(s);
	if (!space_give_back(s, budget))
		return false;

	p2m_lock(s);
	gone = p2m_tables_free(s, budget);
	p2m_unlock(s);
	return gone && space_unlist(s);
}
