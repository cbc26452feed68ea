/* SPDX-License-Identifier: MIT */
/*
 * A merge of 2 MiB as a whole (mm/merge_large.c) that has to be given up, as one of the two is no more what
 * it was when it was found: nothing is shared, every count is given back, and no leaf is left protected.
 */
#include "mm/merge_large.h"
#include "tests/unit/merge_large_test.h"

/* ---- what was found is there no more ---- */

/* Only a private leaf of a guest that lives, without pages that must stay as they are. */
static void what_may_be_merged(void **state)
{
	mfn_t run;

	(void)state;
	like(1, 1);
	run = at(1, 0);
	assert_true(mfn_eq(large_mergeable(&guest[1], GFN(0)), run));
	frame_set_flag(frame_at(MFN(run.n + LARGE_PAGES - 1)), FRAME_GUEST_TABLE);
	assert_false(mfn_valid(large_mergeable(&guest[1], GFN(0))));
	frame_clear_flag(frame_at(MFN(run.n + LARGE_PAGES - 1)), FRAME_GUEST_TABLE);
	like(2, 1);
	passes(3);
	assert_int_equal(shared(1) + shared(2), 2);
	assert_false(mfn_valid(large_mergeable(&guest[1], GFN(0)))); /* it is */
	put(1, 5, 7);
	assert_false(mfn_valid(large_mergeable(&guest[1], GFN(0)))); /* split */
	like(3, 1);
	guest_leave_all();
	assert_true(mfn_valid(large_mergeable(&guest[3], GFN(0))));
	assert_false(space_destroy_step(&guest[3], 0));
	assert_false(mfn_valid(large_mergeable(&guest[3], GFN(0))));
	audit_passes();
}

/* What a pass would learn of a region that was written, but for the merge. */
static void read_by_hand(domid_t d)
{
	guest_leave_all();
	p2m_lock(&guest[d]);
	assert_true(p2m_harvest(&guest[d], GFN(0), LARGE_PAGES) > 0);
	p2m_unlock(&guest[d]);
	flush_space(&guest[d]);
	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		struct frame *f = frame_at(at(d, i));

		f->fingerprint = hash_fingerprint(env_frame(at(d, i)), guest[d].share_group);
		frame_clear_flag(f, FRAME_STALE);
	}
}

static uint64_t flushes; /* before the merge */

/* Seek what the region of guest d is equal to, let something happen, and merge. Whether it could be done. */
static bool merged_after(domid_t d, void (*happens)(void))
{
	struct merge_run run;
	mfn_t frames;
	bool merged;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	p2m_lock(&guest[d]);
	frames = large_mergeable(&guest[d], GFN(0));
	assert_true(mfn_valid(frames));
	run = merge_large_seek(&guest[d], frames);
	p2m_unlock(&guest[d]);
	assert_true(mfn_valid(run.frames));
	happens();
	guest_leave_all();
	flushes = counter_read(&mm.count.flushes);
	merged = merge_large(&guest[d], GFN(0), frames, run);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	audit_passes();
	return merged;
}

static bool writable(domid_t d, uint64_t gfn)
{
	return p2m_lookup(&guest[d], GFN(gfn)).access & PTE_W;
}

/* Guest 1's region is known to the index, and guest 2's is like it. */
static void two_that_are_equal(void)
{
	like(1, 1);
	passes(3);
	like(2, 1);
	read_by_hand(2);
}

static void nothing(void)
{
}

static void page_9_of_1_goes(void)
{
	assert_int_equal(balloon_out(&guest[1], &(gfn_t){9}, 1, 0), 1);
}

static void page_9_of_2_goes(void)
{
	assert_int_equal(balloon_out(&guest[2], &(gfn_t){9}, 1, 0), 1);
}

static void page_9_of_2_is_pinned(void)
{
	void *page;

	assert_int_equal(mm_pin(&guest[2], GFN(9), &page), MM_OK);
}

static void page_9_of_2_is_a_table(void)
{
	frame_set_flag(frame_at(at(2, 9)), FRAME_GUEST_TABLE);
}

static void not_merged(void (*happens)(void))
{
	uint64_t given_up;

	two_that_are_equal();
	given_up = mm_stats().merges_given_up;
	assert_false(merged_after(2, happens));
	assert_int_equal(mm_stats().merges_given_up, given_up + 1);
	assert_int_equal(mm_stats().flushes, flushes); /* seen before anybody was bothered */
	assert_int_equal(shared(1) + shared(2), 0);
	assert_int_equal(saved(), 0);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		assert_true(i == 9 || (writable(1, i) && writable(2, i)));
}

/* Either side is split, or has a page that may not be merged: neither leaf is left protected. */
static void changed_since_it_was_found(void **state)
{
	static void (*const happens[])(void) = {page_9_of_1_goes, page_9_of_2_goes,
	                                        page_9_of_2_is_pinned, page_9_of_2_is_a_table};

	for (unsigned i = 0; i < ARRAY_SIZE(happens); i++) {
		not_merged(happens[i]);
		assert_int_equal(leaves(1), i != 0);
		assert_int_equal(leaves(2), i != 1);
		if (happens[i] == page_9_of_2_is_pinned)
			mm_unpin(&guest[2], GFN(9));
		teardown(state);
		setup(state);
	}
	two_that_are_equal();
	assert_true(merged_after(2, nothing));
	assert_int_equal(shared(1) + shared(2), 2);
}

/* One page of a shared run has become a guest's own: the counts of those before it are given back. */
static void page_100_is_shared_no_more(void)
{
	put(1, 100, 7);
	put(2, 100, 8);
}

static void a_run_that_has_a_gap(void **state)
{
	mfn_t run;

	(void)state;
	pair();
	run = at(1, 0);
	like(3, 1);
	read_by_hand(3);
	assert_false(merged_after(3, page_100_is_shared_no_more));
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		if (i != 100)
			assert_int_equal(frame_slot(frame_at(MFN(run.n + i))), 2);
	assert_int_equal(shared(3), 0);
	assert_int_equal(leaves(3), 1);
	assert_true(writable(3, 5));
	sees(3, 0);
}

static void the_third_is_split(void)
{
	assert_int_equal(balloon_out(&guest[3], &(gfn_t){9}, 1, 0), 1);
}

/* Who would join a shared run is split: all 512 counts are given back. */
static void split_before_it_joins(void **state)
{
	mfn_t run;

	(void)state;
	pair();
	run = at(1, 0);
	like(3, 1);
	read_by_hand(3);
	assert_false(merged_after(3, the_third_is_split));
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		assert_int_equal(frame_slot(frame_at(MFN(run.n + i))), 2);
	assert_int_equal(shared(1) + shared(2), 2);
	assert_true(writable(3, 5));
}

static void both_write_the_same(void)
{
	put(1, 200, 666);
	put(2, 200, 666);
}

/*
 * Without dirty bits nothing tells that both were written since they were read, and alike: the pages are equal,
 * but are not what their fingerprints say, and may not be in the index under them.
 */
static void equal_but_not_as_they_were(void **state)
{
	(void)state;
	two_that_are_equal();
	mm.blind = true;
	assert_false(merged_after(2, both_write_the_same));
	mm.blind = false;
	assert_int_equal(shared(1) + shared(2), 0);
	assert_int_equal(leaves(1) + leaves(2), 2);
	assert_int_equal(guest_sees(&guest[1], PAGE(200)), 666);
}

/* ---- split in the middle of it ---- */

static struct {
	enum env_point point;
	domid_t who;
	bool done;
} plan;

static void split_now(enum env_point p)
{
	struct space *s = &guest[plan.who];

	if (p != plan.point)
		return;
	assert_int_equal(balloon_out(s, &(gfn_t){9}, 1, 0), 1);
	plan.done = guest_write(0, s, PAGE(10), 666) == VERDICT_RESUME;
}

/*
 * A page goes, and one is written, while both leaves are protected: the other 510 may be written again, without a
 * fault, the hole is a hole, and the next passes merge what is equal still.
 */
static void split_at_each_point(void **state)
{
	for (domid_t who = 1; who <= 2; who++)
		for (unsigned p = POINT_WHOLE_PROTECTED; p <= POINT_WHOLE_FLUSHED; p++) {
			two_that_are_equal();
			plan.who = who;
			plan.point = p;
			plan.done = false;
			host_on_point = split_now;
			assert_false(merged_after(2, nothing));
			host_on_point = NULL;
			assert_true(plan.done);
			assert_int_equal(leaves(1) + leaves(2), 1);
			assert_int_equal(p2m_lookup(&guest[who], GFN(9)).type, P2M_BALLOONED);
			for (domid_t d = 1; d <= 2; d++)
				for (uint64_t i = 0; i < LARGE_PAGES; i++)
					assert_true((d == who && i == 9) || writable(d, i));
			assert_int_equal(guest_sees(&guest[who], PAGE(10)), 666);
			oracle_check_settled();
			assert_int_equal(saved(), LARGE_PAGES - 2);
			teardown(state);
			setup(state);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_may_be_merged),    T(changed_since_it_was_found), T(a_run_that_has_a_gap),
	    T(split_before_it_joins), T(equal_but_not_as_they_were), T(split_at_each_point),
	};

	return cmocka_run_group_tests_name("merge_large_changed", tests, NULL, NULL);
}
