/* SPDX-License-Identifier: MIT */
/*
 * Regions shared as a whole (mm/large_share.c), and all that else is done to pages: balloon, hypercalls,
 * sampling, compression, grants, fetches.
 */
#include "mm/compress.h"
#include "mm/sample.h"
#include "tests/unit/merge_large_test.h"

static void the_balloon(void **state)
{
	gfn_t g = GFN(5), first = GFN(0);

	(void)state;
	pair();
	assert_int_equal(balloon_out(&guest[1], &g, 1, 0), 1);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), LARGE_PAGES - 1);
	audit_passes();
	assert_int_equal(balloon_out(&guest[2], &first, 1, LARGE_ORDER), 1);
	assert_int_equal(space_stats(&guest[2]).ballooned, LARGE_PAGES);
	assert_int_equal(saved(), 0);
	audit_passes();
	assert_int_equal(balloon_in(&guest[2], &first, 1, LARGE_ORDER), 1);
	assert_int_equal(leaves(2), 1);
	assert_int_equal(guest_sees(&guest[2], PAGE(8)), 0);
	assert_int_equal(guest_sees(&guest[1], PAGE(8)), word(8));
	audit_passes();
}

static void the_hypervisor(void **state)
{
	struct sampler sampler = {0};
	uint64_t value = 0;
	void *page;

	(void)state;
	pair();
	assert_int_equal(mm_read(&guest[1], PAGE(9), &value, 8), MM_OK);
	assert_int_equal(value, word(9));
	assert_int_equal(leaves(1), 1);
	sample_period(&sampler, &guest[1], 20);
	sample_look(&sampler, &guest[1]);
	assert_int_equal(sampler.n, 0); /* nothing of its own */
	assert_int_equal(compress_some(&guest[1], 100, 10000).freed, 0);
	assert_int_equal(compress_some(&guest[1], 100, 10000).freed, 0);
	p2m_lock(&guest[1]);
	assert_int_equal(p2m_harvest(&guest[1], GFN(0), LARGE_PAGES), 0);
	p2m_unlock(&guest[1]);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(share_split().inter, LARGE_PAGES);
	assert_int_equal(share_part(&guest[1]) >> 32, LARGE_PAGES / 2);
	assert_int_equal(mm_pin(&guest[1], GFN(9), &page), MM_OK);
	*(uint64_t *)page = 4;
	assert_int_equal(guest_sees(&guest[2], PAGE(9)), word(9));
	audit_passes();
	mm_unpin(&guest[1], GFN(9));
	assert_int_equal(mm_write(&guest[2], PAGE(10), &value, 8), MM_OK);
	assert_int_equal(guest_sees(&guest[1], PAGE(10)), word(10));
	audit_passes();
	oracle_check_settled();
}

/* A page of it is lent to another domain: the lender gets a page of its own first, and what is written goes there. */
static void a_grant(void **state)
{
	const uint64_t borrowed = UINT64_C(1) << 22;
	void *page;

	(void)state;
	pair();
	make_space(&guest[3], 3, 8);
	assert_int_equal(mm_map_granted(&guest[3], GFN(borrowed), at(1, 7), true), MM_INVAL);
	assert_int_equal(mm_pin(&guest[1], GFN(7), &page), MM_OK);
	assert_false(mfn_eq(at(1, 7), at(2, 7)));
	assert_int_equal(mm_map_granted(&guest[3], GFN(borrowed), at(1, 7), true), MM_OK);
	guest_puts(&guest[3], PAGE(borrowed), 6);
	assert_int_equal(guest_sees(&guest[1], PAGE(7)), 6);
	sees(2, 0);
	assert_int_equal(saved(), LARGE_PAGES - 1);
	passes(2 * REST); /* pinned: it stays as it is */
	assert_int_equal(leaves(1), 0);
	mm_unmap_granted(&guest[3], GFN(borrowed), at(1, 7));
	mm_unpin(&guest[1], GFN(7));
	put(1, 7, word(7));
	passes(2 * REST);
	assert_int_equal(shared(1) + shared(2), 2);
	sees(1, 0);
	oracle_check_settled();
}

/* A fetch, where large leaves may not be executed: the page may, and stays shared. */
static void a_fetch(void **state)
{
	uint64_t value;

	(void)state;
	mm_set_large_nx(true);
	pair();
	assert_int_equal(guest_fetch(1, &guest[1], PAGE(6), &value), VERDICT_RESUME);
	assert_int_equal(value, word(6));
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), LARGE_PAGES);
	audit_passes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(the_balloon),
	    ALL_SOURCES(the_hypervisor),
	    T(a_grant),
	    T(a_fetch),
	};

	return cmocka_run_group_tests_name("merge_large_use", tests, NULL, NULL);
}
