/* SPDX-License-Identifier: MIT */
/*
 * When the scanner makes a region of small leaves one large leaf again (mm/shape.c): what rests and is
 * the guest's alone, of those that had large leaves, and at nobody's cost.
 */
#include "tests/unit/shape_test.h"

/* Pages of zeroes were merged, are written, and rest: in place, or by copy if they have moved. */
static void whole_again(void **state)
{
	(void)state;
	make(1, 2, true);
	for (unsigned i = 0; i < GAIN; i++)
		zero(1, i);
	passes(4);
	assert_int_equal(leaves(1), 1);
	passes(2 * REST);
	assert_int_equal(leaves(1), 1); /* it saves something */
	for (unsigned i = 0; i < GAIN; i++)
		unique(1, GAIN - 1 - i); /* frames in another order */
	passes(REST);
	assert_int_equal(leaves(1), 1); /* not yet */
	passes(4);
	assert_int_equal(leaves(1), 2);
	assert_int_equal(space_stats(&guest[1]).coalesces, 1);
	assert_int_equal(space_stats(&guest[1]).coalesce_copies, 1);
	for (uint64_t g = 0; g < 2 * LARGE_PAGES; g++)
		assert_int_equal(guest_sees(&guest[1], PAGE(g)), BIT(40) | UINT64_C(1) << 32 | g);
	passes(2);
	assert_int_equal(index_stats().hints, 2 * LARGE_PAGES);
}

static void split(domid_t d, uint64_t gfn)
{
	p2m_lock(&guest[d]);
	assert_true(p2m_split(&guest[d], GFN(gfn)));
	p2m_unlock(&guest[d]);
	flush_space(&guest[d]);
}

/* Each time a region is made whole it has to rest twice as long before the next. */
static void backs_off(void **state)
{
	(void)state;
	make(1, 1, true);
	passes(3);
	for (unsigned i = 0; i < 3; i++) {
		split(1, 0);
		passes((REST << i) - 1);
		assert_int_equal(leaves(1), 0);
		passes(4);
		assert_int_equal(leaves(1), 1);
	}
	assert_int_equal(space_stats(&guest[1]).coalesce_copies, 0);
}

/* What is written now and then stays as it is, and what rests too briefly; reading is no matter. */
static void not_while_written(void **state)
{
	(void)state;
	make(1, 1, true);
	passes(3);
	split(1, 0);
	for (unsigned i = 0; i < 4 * REST; i++) {
		if (i % (REST - 2) == 0)
			put(1, 7, BIT(42) | i);
		pass();
	}
	for (unsigned i = 0; i < 4 * REST; i++) {
		put(1, 7, BIT(43) | i); /* so often that it is never read */
		pass();
	}
	assert_int_equal(leaves(1), 0);
	for (unsigned i = 0; i < REST + 3; i++) {
		(void)guest_sees(&guest[1], PAGE(7));
		pass();
	}
	assert_int_equal(leaves(1), 1);
}

/* A guest that never had large leaves gets none; and nobody, if that is forbidden. */
static void only_what_was_large(void **state)
{
	(void)state;
	make(1, 1, false);
	make(2, 1, true);
	set("large.rest", 0);
	passes(3);
	split(2, 0);
	passes(4 * REST);
	assert_int_equal(leaves(1) + leaves(2), 0);
	set("large.rest", REST);
	passes(REST + 3);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(leaves(2), 1);
	set("large.rest", 1); /* one walk through all its leaves is enough then */
	unique(1, 3);
	passes(4);
	assert_int_equal(leaves(1), 0);
}

/* Holes, pages never touched and pinned ones stand in the way. */
static void not_all_of_it(void **state)
{
	const gfn_t g = GFN(9);
	void *at;

	(void)state;
	make(1, 1, true);
	assert_int_equal(balloon_out(&guest[1], &g, 1, 0), 1);
	passes(3 * REST);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(balloon_in(&guest[1], &g, 1, 0), 1);
	unique(1, 9);
	assert_int_equal(mm_pin(&guest[1], g, &at), MM_OK);
	passes(3 * REST);
	assert_int_equal(leaves(1), 0);
	mm_unpin(&guest[1], g);
	passes(2 * REST);
	assert_int_equal(leaves(1), 1);
}

/* The other guest is gone: what was shared with it belongs to this one again, and is whole. */
static void the_other_has_gone(void **state)
{
	uint64_t read;

	(void)state;
	make(1, 1, true);
	make(2, 1, false);
	copies(0, 2 * GAIN);
	passes(4);
	assert_int_equal(saved(), 2 * GAIN);
	passes(2 * REST);
	assert_int_equal(leaves(1), 0);
	guest_leave_all();
	while (!space_destroy_step(&guest[2], 512))
		;
	assert_int_equal(saved(), 0);
	read = mm_stats().pages_fingerprinted;
	passes(2 * REST + 3);
	assert_int_equal(space_stats(&guest[1]).take_overs, 2 * GAIN);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(mm_stats().pages_fingerprinted, read);
	assert_int_equal(mm_stats().pages_shared, 0);
	assert_int_equal(index_stats().hints, LARGE_PAGES);
	for (uint64_t g = 0; g < LARGE_PAGES; g++)
		assert_int_equal(guest_sees(&guest[1], PAGE(g)), BIT(40) | UINT64_C(1) << 32 | g);
}

/* By copy only if a large frame is free beyond reserve and promises; it is tried again later. */
static void takes_from_nobody(void **state)
{
	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN; i++)
		zero(1, i);
	passes(4);
	for (unsigned i = 0; i < GAIN; i++)
		unique(1, i);
	fund_set_reserve(fund_look().free - LARGE_PAGES + 1);
	passes(3 * REST);
	assert_int_equal(leaves(1), 0);
	fund_set_reserve(0);
	passes(2 * REST);
	assert_int_equal(leaves(1), 1);
}

/* As many passes of a policy that may need more than one slice for each. */
static void long_passes(unsigned n)
{
	uint64_t end = mm_stats().full_scans + n;

	guest_leave_all();
	while (mm_stats().full_scans < end)
		scan_slice(ALL);
	audit_passes();
}

/*
 * A policy that is shown every page makes nothing whole: it does not know what is still. When one that
 * does takes over, the region comes back after as many passes as ever.
 */
static void not_by_those_that_are_shown_all(void **state)
{
	unsigned i = 0;

	(void)state;
	make(1, 1, true);
	passes(3);
	for (const struct scan_policy *const *p = scan_policies; *p; p++) {
		if (!(*p)->look)
			continue;
		split(1, 0);
		assert_true(scan_set_policy((*p)->name));
		long_passes(2 * (REST << i));
		assert_int_equal(leaves(1), 0);
		assert_true(scan_set_policy("dirty"));
		long_passes(2 * (REST << i++));
		assert_int_equal(leaves(1), 1);
	}
	assert_true(i >= 4);
}

/* ---- two regions with one place ---- */

#define FAR        228u /* a domain whose region FAR_REGION has the place of region 0 of domain 3 */
#define FAR_REGION 13u

static struct space far;

static void put_far(uint64_t i, uint64_t value)
{
	assert_int_equal(guest_write(0, &far, PAGE(FAR_REGION * LARGE_PAGES + i), value),
	                 VERDICT_RESUME);
}

/* One large leaf each. */
static void one_place(void)
{
	make(3, 1, true);
	memset(&far, 0, sizeof(far));
	make_space(&far, FAR, (FAR_REGION + 1) * LARGE_PAGES);
	assert_int_equal(mm_populate_large(&far, GFN(FAR_REGION * LARGE_PAGES)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		put_far(i, BIT(44) | i);
	passes(3);
}

/* The one that is written goes first, and its streak goes on; then they are made whole one after the other. */
static void one_place_for_two(void **state)
{
	(void)state;
	one_place();
	p2m_lock(&far);
	assert_true(p2m_split(&far, GFN(FAR_REGION * LARGE_PAGES)));
	p2m_unlock(&far);
	flush_space(&far);
	passes(REST / 2);
	for (unsigned i = 0; i < PATIENCE; i++) {
		assert_int_equal(leaves(3), 1);
		put(3, 7, BIT(42) | i);
		pass();
	}
	assert_int_equal(leaves(3), 0);
	assert_int_equal(space_stats(&guest[3]).splits_written, 1);
	for (unsigned i = 0; !leaves(3); i++) {
		assert_in_range(i, 0, REST + 4);
		assert_int_equal(space_stats(&far).large_leaves, 0);
		pass();
	}
	passes(REST - 1);
	assert_int_equal(space_stats(&far).large_leaves, 0);
	passes(4);
	assert_int_equal(space_stats(&far).large_leaves, 1);
	assert_int_equal(leaves(3), 1);
}

/* The region that is made whole has just lost its place to one that is written: what is known of that one stays. */
static void made_whole_without_a_place(void **state)
{
	unsigned n;

	one_place();
	split(3, 0);
	for (n = 0; !leaves(3); n++)
		pass();
	assert_in_range(n, REST, REST + 4);
	destroy_space(&far);
	teardown(state);
	setup(state);
	one_place();
	split(3, 0);
	passes(n - 1);
	for (unsigned i = 0; i < PATIENCE; i++) {
		assert_int_equal(space_stats(&far).large_leaves, 1);
		assert_int_equal(leaves(3), i > 0);
		put_far(7, i);
		pass();
	}
	assert_int_equal(space_stats(&far).splits_written, 1);
	assert_int_equal(space_stats(&far).large_leaves, 0);
	assert_int_equal(leaves(3), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(whole_again),
	    ALL_SOURCES(backs_off),
	    ALL_SOURCES(not_while_written),
	    T(only_what_was_large),
	    T(not_all_of_it),
	    ALL_SOURCES(the_other_has_gone),
	    T(takes_from_nobody),
	    T(not_by_those_that_are_shown_all),
	    ALL_SOURCES(one_place_for_two),
	    T(made_whole_without_a_place),
	};

	return cmocka_run_group_tests_name("shape_whole", tests, NULL, NULL);
}
