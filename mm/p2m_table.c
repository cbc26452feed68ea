/* SPDX-License-Identifier: MIT */
/*
 * Page-table frames of a space. All of them are taken when the space is made:
 * enough for every table that promised RAM can ever need at 4 KiB granularity
 * (table_promised of those in the pool are set aside for it), and some for what is
 * mapped elsewhere (service pages, memory populated beyond the start). So a
 * fault or a split in promised RAM never fails for want of a table frame, and mappings
 * elsewhere cannot use up what those may need.
 */
#include "mm/p2m.h"
#include "mm/p2m_table.h"
#include "mm/fund_batch.h"

#define TABLES_ELSEWHERE 16u /* for mappings outside of promised RAM */

static uint64_t table_span_pages(unsigned level)
{
	return UINT64_C(1) << (9 * level);
}

bool p2m_table_promised(const struct space *s, gfn_t gfn, unsigned level)
{
	uint64_t span = table_span_pages(level), first = align_down(gfn.n, span);

	return first < s->low_pages || (s->high_pages && first < s->high_first + s->high_pages &&
	                                first + span > s->high_first);
}

/* Tables of one level that lie over promised RAM. */
static uint64_t tables_at_level(const struct space *s, unsigned level)
{
	uint64_t span = table_span_pages(level), low, high, high_first;

	low = align_up(s->low_pages, span) / span;
	if (!s->high_pages)
		return low;
	high_first = s->high_first / span;
	high = align_up(s->high_first + s->high_pages, span) / span - high_first;
	return low + high - (low > high_first); /* one that covers parts of both */
}

static uint64_t tables_promised(const struct space *s)
{
	uint64_t n = 0;

	for (unsigned level = 1; level < mm.format->levels; level++)
		n += tables_at_level(s, level);
	return n;
}

void p2m_table_release(struct space *s, mfn_t table, bool promised)
{
	ASSERT(frame_kind(frame_at(table)) == FRAME_TABLE);
	ASSERT(!frame_slot(frame_at(table))); /* no handles of compressed pages (store.c) */
	s->near = (struct p2m_cursor){0};
	frame_at(table)->link = (uint32_t)s->table_pool.n;
	s->table_pool = table;
	s->table_pool_pages++;
	s->table_promised += promised;
}

mfn_t p2m_table_take(struct space *s, bool promised)
{
	mfn_t table = s->table_pool;

	if (s->table_pool_pages <= (promised ? 0 : s->table_promised))
		return MFN_NONE;
	ASSERT(mfn_valid(table) && (!promised || s->table_promised > 0));
	s->table_pool = MFN(frame_at(table)->link);
	s->table_pool_pages--;
	s->table_promised -= promised;
	frame_at(table)->link = 0;
	return table;
}

mfn_t p2m_table_alloc(struct space *s, bool promised)
{
	mfn_t table = p2m_table_take(s, promised);

	if (!mfn_valid(table))
		return MFN_NONE;
	env_page_zero(env_frame(table));
	return table;
}

bool p2m_pool_drain(struct space *s, uint64_t budget)
{
	while (mfn_valid(s->table_pool)) {
		mfn_t table = s->table_pool;

		if (!budget--)
			return false;

		s->table_pool = MFN(frame_at(table)->link);
		fund_release(table, 0);
		s->table_pool_pages--;
		s->stats.table_frames--;
	}
	return true;
}

/* All that s may ever need, the root included. */
static uint64_t tables_wanted(const struct space *s)
{
	uint64_t beyond = s->max_pages - s->memory_pages;

	return tables_promised(s) + 1 + TABLES_ELSEWHERE +
	       align_up(beyond, LARGE_PAGES) / LARGE_PAGES;
}

uint64_t space_tables_needed(const struct space_config *c)
{
	struct space s;

	space_place_ram(&s, c);
	return tables_wanted(&s);
}

enum mm_status p2m_pool_fill(struct space *s, uint64_t budget)
{
	uint64_t want = tables_wanted(s);

	for (; s->stats.table_frames < want; budget--) {
		mfn_t table = budget ? fund_alloc(0, FRAME_TABLE, s->domid) : MFN_NONE;

		if (!mfn_valid(table))
			return budget ? MM_NOMEM : MM_MORE;
		p2m_table_release(s, table, false);
		s->stats.table_frames++;
	}
	if (mfn_valid(s->root))
		return MM_OK;
	s->table_promised = tables_promised(s);
	s->root = p2m_table_alloc(s, false);
	ASSERT(mfn_valid(s->root));
	return MM_OK;
}

/* The deepest table that is reached by first table entries: it has no table below. */
static uint64_t *table_find_deepest(struct space *s, mfn_t *found)
{
	mfn_t table = s->root;
	uint64_t *in = NULL;

	for (unsigned level = mm.format->levels; level > 1; level--) {
		uint64_t *e = env_frame(table);
		unsigned i = 0;

		while (i < 512 && pte_kind(p2m_entry_get(&e[i]), level) != PTE_TABLE)
			i++;
		if (i == 512)
			break;
		in = &e[i];
		table = mm.format->frame(p2m_entry_get(in), level);
	}
	*found = table;
	return in;
}

bool p2m_tables_free(struct space *s, uint64_t budget)
{
	for (; budget && mfn_valid(s->root); budget--) {
		mfn_t table;
		uint64_t *in = table_find_deepest(s, &table);

		if (in) {
			p2m_entry_exchange(in, 0);
		} else {
			s->root = MFN_NONE;
			s->end = 0;
		}
		p2m_table_release(s, table, false);
	}
	return !mfn_valid(s->root) && p2m_pool_drain(s, budget);
}
