/* SPDX-License-Identifier: MIT */
/* What the tests of regions shared as a whole have in common: guests of one region whose pages are alike. */
#ifndef TESTS_UNIT_MERGE_LARGE_TEST_H
#define TESTS_UNIT_MERGE_LARGE_TEST_H

#include "mm/large_share.h"
#include "tests/unit/shape_test.h"

static inline uint64_t word(uint64_t i)
{
	return BIT(40) | i;
}

/* One region of a guest: page i has the content i, the same in every guest. */
static inline void fill(domid_t d, uint64_t first)
{
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		put(d, first + i, word(i));
}

static inline void like(domid_t d, unsigned regions)
{
	make_space(&guest[d], d, regions * LARGE_PAGES);
	for (uint64_t r = 0; r < regions; r++) {
		assert_int_equal(mm_populate_large(&guest[d], GFN(r * LARGE_PAGES)), MM_OK);
		fill(d, r * LARGE_PAGES);
	}
}

static inline uint64_t shared(domid_t d)
{
	return space_stats(&guest[d]).large_shared;
}

static inline mfn_t at(domid_t d, uint64_t gfn)
{
	return p2m_lookup(&guest[d], GFN(gfn)).mfn;
}

static inline void sees(domid_t d, uint64_t first)
{
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		assert_int_equal(guest_sees(&guest[d], PAGE(first + i)), word(i));
}

/* Guests 1 and 2 share a region as a whole. */
static inline void pair(void)
{
	like(1, 1);
	like(2, 1);
	passes(3);
	assert_int_equal(shared(1) + shared(2), 2);
}

#endif
