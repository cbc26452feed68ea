/* SPDX-License-Identifier: MIT */
/*
 * A slice of the scan is short, however many regions of 2 MiB can be merged as a whole: it compares one
 * (mm/shape.c), and so does a step of settling, which ends when all are done nevertheless.
 */
#include "tests/unit/shape_test.h"

#define SOME 4u /* regions */

static uint64_t shared(domid_t d)
{
	return space_stats(&guest[d]).large_shared;
}

/* At most one region is compared in a slice, and merged; returns whether one was. */
static bool one_at_most(bool settling, bool *settled)
{
	uint64_t before = saved(), compared = mm_stats().pages_compared;

	guest_leave_all();
	if (settling)
		*settled = scan_settle_step(ALL);
	else
		scan_slice(ALL);
	assert_in_range(mm_stats().pages_compared - compared, 0, LARGE_PAGES);
	assert_true(saved() == before || saved() == before + LARGE_PAGES);
	return saved() != before;
}

/* Guest 2 is what guest 1 is. */
static void twins(void)
{
	make(1, SOME, true);
	make(2, SOME, true);
	for (uint64_t i = 0; i < SOME * LARGE_PAGES; i++)
		put(2, i, BIT(40) | UINT64_C(1) << 32 | i);
}

static void one_in_a_slice(void **state)
{
	bool settled;

	(void)state;
	twins();
	for (unsigned slice = 0; slice < SOME + 3; slice++)
		(void)one_at_most(false, &settled);
	assert_int_equal(saved(), SOME * LARGE_PAGES);
	assert_int_equal(shared(1) + shared(2), 2 * SOME);
	oracle_check_settled();
}

/* Settling is as short; its passes wait for what they have found, and it ends when all is done. */
static void one_in_a_step(void **state)
{
	bool settled = false;
	unsigned merged = 0;

	(void)state;
	twins();
	scan_settle_begin();
	while (!settled) {
		uint64_t passes = mm_stats().full_scans;

		merged += one_at_most(true, &settled);
		if (merged && merged < SOME)
			assert_int_equal(mm_stats().full_scans, passes);
	}
	assert_int_equal(merged, SOME);
	assert_false(shape_is_wanted());
	assert_int_equal(saved(), oracle_saved());
	audit_passes();
}

/* Slices of another CPU find the leaves, and end the pass: settling goes on. */
static void settling_goes_on(void **state)
{
	bool settled = false;

	(void)state;
	twins();
	scan_settle_begin();
	while (!settled) {
		(void)one_at_most(false, &settled);
		(void)one_at_most(true, &settled);
	}
	assert_int_equal(saved(), SOME * LARGE_PAGES);
	assert_int_equal(shared(1) + shared(2), 2 * SOME);
}

/* Each region is written while it is compared: an attempt in vain is one, too. */
static void disturb(enum env_point p)
{
	static uint64_t value = BIT(42);

	if (p == POINT_WHOLE_FLUSHED)
		for (uint64_t r = 0; r < SOME; r++)
			put(2, r * LARGE_PAGES + 200, value++);
}

static void one_attempt_in_a_slice(void **state)
{
	uint64_t before, attempts = 0;

	(void)state;
	twins();
	host_on_point = disturb;
	for (unsigned slice = 0; slice < 6; slice++) {
		before = mm_stats().merges_given_up;
		guest_leave_all();
		scan_slice(ALL);
		attempts = mm_stats().merges_given_up;
		assert_in_range(attempts - before, 0, 1);
	}
	host_on_point = NULL;
	assert_true(attempts > 0);
	guest_leave_all();
	oracle_check_settled();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(one_in_a_slice),
	    ALL_SOURCES(one_in_a_step),
	    T(settling_goes_on),
	    T(one_attempt_in_a_slice),
	};

	return cmocka_run_group_tests_name("merge_slice", tests, NULL, NULL);
}
