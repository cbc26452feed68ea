/* SPDX-License-Identifier: MIT */
/*
 * When the scanner splits a large leaf, and when it makes one again (mm/shape.c): it keeps what is
 * not worth a split, at little cost, and nothing that could be shared stays hidden for good.
 */
#include "tests/unit/shape_test.h"

/* ---- worth a split ---- */

/* As many pages of zeroes as a leaf is worth: one less, and it is kept; nothing is read again. */
static void zeroes(void **state)
{
	uint64_t read;

	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN - 1; i++)
		zero(1, 10 * i);
	passes(4);
	assert_int_equal(saved(), 0);
	assert_int_equal(leaves(1), 1);
	read = mm_stats().pages_fingerprinted;
	passes(4);
	assert_int_equal(mm_stats().pages_fingerprinted, read);

	zero(1, 500);
	pass();
	assert_int_equal(mm_stats().pages_fingerprinted, read); /* written: not yet */
	pass();
	assert_int_equal(saved(), GAIN);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(space_stats(&guest[1]).splits_sharing, 1);
	assert_int_equal(space_stats(&guest[1]).split_gain, GAIN);
	assert_int_equal(mm_stats().pages_fingerprinted, read + LARGE_PAGES);
}

/* What is pinned cannot be merged, so it is no reason to split. */
static void pinned_pages_do_not_count(void **state)
{
	void *page;

	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN; i++)
		zero(1, 10 * i);
	assert_int_equal(mm_pin(&guest[1], GFN(0), &page), MM_OK);
	passes(4);
	assert_int_equal(leaves(1), 1);
	mm_unpin(&guest[1], GFN(0));
	zero(1, 0);
	passes(6);
	assert_int_equal(saved(), GAIN);
}

/* The likes are under small leaves, of another guest: whoever comes last tips the scale. */
static void likes_under_small_leaves(void **state)
{
	(void)state;
	make(1, 1, true);
	make(2, 1, false);
	copies(0, GAIN - 1);
	passes(4);
	assert_int_equal(saved(), 0);
	assert_int_equal(leaves(1), 1);
	copies(GAIN - 1, GAIN);
	passes(2);
	assert_int_equal(saved(), GAIN);
	assert_int_equal(leaves(1), 0);
}

/* The likes are shared already, by two guests with small leaves. */
static void likes_that_are_shared(void **state)
{
	(void)state;
	make(2, 1, false);
	make(3, 1, false);
	for (unsigned i = 0; i < GAIN; i++) {
		put(2, i, BIT(41) | i);
		put(3, i, BIT(41) | i);
	}
	passes(3);
	assert_int_equal(saved(), GAIN);
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN - 1; i++)
		put(1, 2 * i, BIT(41) | i);
	passes(3);
	assert_int_equal(saved(), GAIN);
	assert_int_equal(leaves(1), 1);
	put(1, 2 * GAIN, BIT(41) | (GAIN - 1));
	passes(3);
	assert_int_equal(saved(), 2 * GAIN);
	assert_int_equal(leaves(1), 0);
}

/* Under two large leaves both have to be split for one page: it takes twice as many. */
static void likes_under_large_leaves(void **state)
{
	(void)state;
	make(1, 1, true);
	make(2, 1, true);
	copies(0, 2 * GAIN - 2);
	passes(4);
	assert_int_equal(saved(), 0);
	assert_int_equal(leaves(1) + leaves(2), 2);
	copies(2 * GAIN - 2, 2 * GAIN);
	passes(2);
	assert_int_equal(saved(), 2 * GAIN);
	assert_int_equal(leaves(1) + leaves(2), 0);
}

/* Pairs under one leaf: a page of two is saved. */
static void likes_under_one_leaf(void **state)
{
	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < 2 * (GAIN - 1); i++)
		put(1, 7 * i, BIT(41) | i / 2);
	passes(4);
	assert_int_equal(saved(), 0);
	put(1, 500, BIT(42));
	put(1, 501, BIT(42));
	passes(2);
	assert_int_equal(saved(), GAIN);
	assert_int_equal(leaves(1), 0);
}

/* Many of one kind, in more leaves than there is room in the index for: none is lost. */
static void many_of_one_kind(void **state)
{
	(void)state;
	make(1, 5, true);
	for (unsigned r = 0; r < 5; r++)
		for (unsigned i = 0; i < 2; i++)
			put(1, r * LARGE_PAGES + 9 * i, BIT(41));
	passes(4);
	assert_int_equal(saved(), 0);
	assert_int_equal(index_stats().hints_dropped, 0);
	for (unsigned i = 0; i < 10; i++)
		put(1, 3 * LARGE_PAGES + 40 + i, BIT(41));
	passes(4);
	assert_int_equal(leaves(1), 4);
	assert_int_equal(saved(), 11);
	for (unsigned i = 0; i < 10; i++)
		put(1, LARGE_PAGES + 40 + i, BIT(41));
	passes(4);
	assert_int_equal(leaves(1), 3);
	assert_int_equal(saved(), 23);
	oracle_check_settled();
}

/* Three of a kind, two of them in the leaf that is split; and three in that leaf alone. */
static void three_of_a_kind(void **state)
{
	(void)state;
	make(1, 1, true);
	make(2, 1, false);
	for (unsigned i = 0; i < GAIN; i++) {
		put(1, 3 * i, BIT(41) | i);
		put(1, 3 * i + 1, BIT(41) | i);
		put(2, i, BIT(41) | i);
		put(1, 100 + 3 * i, BIT(42) | i);
		put(1, 200 + 3 * i, BIT(42) | i);
		put(1, 300 + 3 * i, BIT(42) | i);
	}
	passes(2);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), 4 * GAIN);
}

/* Likes under two leaves, not worth a split, which somebody else splits all the same. */
static void split_by_others(void **state)
{
	(void)state;
	make(1, 2, true);
	for (unsigned i = 0; i < 3; i++)
		put(1, LARGE_PAGES + i, BIT(40) | UINT64_C(1) << 32 | i);
	passes(4);
	assert_int_equal(leaves(1), 2);
	for (uint64_t r = 0; r < 2; r++) {
		p2m_lock(&guest[1]);
		assert_true(p2m_split(&guest[1], GFN(r * LARGE_PAGES)));
		p2m_unlock(&guest[1]);
	}
	flush_space(&guest[1]);
	passes(3);
	assert_int_equal(saved(), 3);
}

/* A smaller gain asked for later: leaves that have been quiet for long are weighed again. */
static void the_knob_is_turned(void **state)
{
	(void)state;
	make(1, 2, true);
	for (unsigned i = 0; i < 3; i++)
		zero(1, i);
	passes(6);
	assert_int_equal(leaves(1), 2);
	set("large.gain", 3);
	passes(2);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(saved(), 3);
}

/* Little is free beyond what is promised: one page is enough. */
static void memory_is_scarce(void **state)
{
	uint64_t spare;

	(void)state;
	make(1, 2, true);
	zero(1, 77);
	passes(6);
	assert_int_equal(leaves(1), 2);
	spare = fund_look().free - LARGE_PAGES;
	fund_set_reserve(spare); /* one large frame is left: not yet */
	passes(2);
	assert_int_equal(leaves(1), 2);
	fund_set_reserve(spare + 1);
	passes(2);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(saved(), 1);
}

/* Settling leaves nothing out, whatever slices of other CPUs made of it before. */
static void settling(void **state)
{
	(void)state;
	make(1, 2, true);
	make(2, 1, true);
	zero(1, 5);
	copies(0, 3);
	passes(4);
	assert_int_equal(saved(), 0);
	oracle_check_settled();
	assert_int_equal(saved(), 4);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(leaves(2), 0);
}

static void settling_beside_slices(void **state)
{
	(void)state;
	make(1, 2, true);
	make(2, 1, true);
	copies(0, 3);
	scan_settle_begin();
	while (!scan_settle_step(100))
		scan_slice(300);
	assert_int_equal(saved(), oracle_saved());
	assert_int_equal(saved(), 3);
}

/* The slices read what is left to read, and keep the leaf; the pass is ended by either. */
static void settling_after_a_slice(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t nothing = 0;

		make(1, 2, true);
		passes(3);
		for (unsigned p = 0; p < 3; p++)
			assert_int_equal(mm_write(&guest[1], PAGE(p), &nothing, 8), MM_OK);
		scan_settle_begin();
		assert_false(scan_settle_step(1));
		scan_slice(i ? ALL : LARGE_PAGES + 10);
		assert_int_equal(mm_stats().full_scans, 3 + i);
		assert_int_equal(leaves(1), 2);
		while (!scan_settle_step(ALL))
			;
		assert_int_equal(saved(), 3);
		teardown(state);
		setup(state);
	}
}

/* A slice of another CPU ends the pass, and leaves wait to be weighed that it found: not settled. */
static void settling_while_some_wait(void **state)
{
	(void)state;
	make(1, 1, true);
	oracle_check_settled();
	scan_settle_begin();
	lock_take(&mm.scan_lock, LOCK_SCAN);
	for (uint64_t r = 0; r < 20; r++)
		shape_want(3, GFN(r * LARGE_PAGES)); /* there is no such domain */
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	pass();
	assert_true(shape_is_wanted());
	assert_false(scan_settle_step(ALL));
	while (!scan_settle_step(ALL))
		;
	assert_false(shape_is_wanted());
}

/* More leaves wait than there is room for: one that finds none is weighed in a later pass. */
static void more_than_can_wait(void **state)
{
	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN; i++)
		zero(1, i);
	pass();
	lock_take(&mm.scan_lock, LOCK_SCAN);
	for (uint64_t r = 0; r < 200; r++)
		shape_want(3, GFN(r * LARGE_PAGES)); /* there is no such domain */
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	pass();
	assert_int_equal(leaves(1), 1);
	passes(20);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), GAIN);
}

/* A leaf that is written before it is weighed is left alone. */
static void written_before_it_is_weighed(void **state)
{
	(void)state;
	make(1, 1, true);
	for (unsigned i = 0; i < GAIN; i++)
		zero(1, i);
	pass();
	scan_slice(8 * 400); /* most of it is read; in the middle of a leaf it is not weighed */
	put(1, 300, 1);
	guest_leave_all();
	while (mm_stats().full_scans < 2)
		scan_slice(1);
	scan_slice(1);
	assert_int_equal(leaves(1), 1);
	passes(4);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), GAIN);
}

/* ---- written all the time ---- */

/* Page 3 is written before every pass: the others are found, at the price of one read of each. */
static void scattered_writes(void **state)
{
	uint64_t read;

	(void)state;
	make(1, 1, true);
	make(2, 1, false);
	copies(0, 1);
	passes(4);
	put(1, 103, BIT(40) | UINT64_C(1) << 32 | 100); /* as guest 2's page 20, and page 100 */
	read = mm_stats().pages_fingerprinted;
	for (unsigned i = 0; i < PATIENCE; i++) {
		assert_int_equal(leaves(1), 1);
		assert_int_equal(saved(), 0);
		put(1, 3, BIT(42) | i);
		pass();
	}
	assert_int_equal(leaves(1), 0);
	assert_int_equal(space_stats(&guest[1]).splits_written, 1);
	assert_int_equal(mm_stats().pages_fingerprinted, read);
	for (unsigned i = 0; i < 4; i++) {
		put(1, 3, BIT(43) | i);
		pass();
	}
	assert_int_equal(mm_stats().pages_fingerprinted, read + LARGE_PAGES - 1);
	assert_int_equal(saved(), 2);
	assert_int_equal(guest_sees(&guest[1], PAGE(3)), BIT(43) | 3);
}

/* With a pause between them writes split nothing, however many there are; nor does impatience. */
static void writes_with_pauses(void **state)
{
	(void)state;
	make(1, 1, true);
	passes(3);
	for (unsigned i = 0; i < 4 * PATIENCE; i++) {
		put(1, i, BIT(42) | i);
		pass();
		if (i % (PATIENCE - 1) == PATIENCE - 2)
			pass();
	}
	assert_int_equal(leaves(1), 1);
	set("large.patience", 0);
	for (unsigned i = 0; i < 4 * PATIENCE; i++) {
		put(1, i, BIT(43) | i);
		pass();
	}
	assert_int_equal(leaves(1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(zeroes),
	    ALL_SOURCES(pinned_pages_do_not_count),
	    ALL_SOURCES(likes_under_small_leaves),
	    ALL_SOURCES(likes_that_are_shared),
	    ALL_SOURCES(likes_under_large_leaves),
	    ALL_SOURCES(likes_under_one_leaf),
	    ALL_SOURCES(many_of_one_kind),
	    ALL_SOURCES(three_of_a_kind),
	    ALL_SOURCES(split_by_others),
	    ALL_SOURCES(the_knob_is_turned),
	    T(memory_is_scarce),
	    ALL_SOURCES(settling),
	    ALL_SOURCES(settling_beside_slices),
	    T(settling_after_a_slice),
	    T(settling_while_some_wait),
	    T(more_than_can_wait),
	    ALL_SOURCES(written_before_it_is_weighed),
	    ALL_SOURCES(scattered_writes),
	    ALL_SOURCES(writes_with_pauses),
	};

	return cmocka_run_group_tests_name("shape", tests, NULL, NULL);
}
