/* SPDX-License-Identifier: MIT */
/*
 * Pages out of turn, for a policy that is not shown every page (mm/scan_walk.c:scan_walk_picked):
 * what is done with them, and that they are no part of the round.
 */
#include "mm/core.h"
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

static struct space s;
static struct scan_cursor picks[4];
static unsigned nr_picks;
static bool round_goes;
static struct scan_pass ended; /* the last pass */
static unsigned written, asked;

static bool pick(struct scan_cursor *page)
{
	if (!nr_picks)
		return false;
	*page = picks[--nr_picks];
	return true;
}

static bool goes(void)
{
	return round_goes;
}

static void note_written(struct frame *f)
{
	(void)f;
	written++;
}

static bool always(struct frame *f)
{
	(void)f;
	asked++;
	return true;
}

static void note_pass(const struct scan_pass *pass)
{
	ended = *pass;
}

static const struct scan_policy picker = {.name = "picker",
                                          .pick = pick,
                                          .round = goes,
                                          .written = note_written,
                                          .quiet = always,
                                          .pass_end = note_pass};
const struct scan_policy *const scan_policies[] = {&picker, NULL};
const struct scan_policy *const scan_settler = &picker;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 8192, .cpus = 2, .format = &toy_format});
	memset(&s, 0, sizeof(s));
	make_space(&s, 1, 3 * LARGE_PAGES);
	nr_picks = written = asked = 0;
	round_goes = false;
	ended = (struct scan_pass){0};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_leave_all();
	host_stop();
	return 0;
}

static void pick_page(uint64_t gfn)
{
	picks[nr_picks++] = (struct scan_cursor){1, GFN(gfn)};
	scan_slice(1000);
}

static bool hinted(uint64_t gfn)
{
	return frame_flag(frame_at(p2m_lookup(&s, GFN(gfn)).mfn), FRAME_INDEXED);
}

/* Its dirty bit is cleared and the CPUs let go of it; picked once more, it is read. Nothing else is. */
static void one_page(void **state)
{
	(void)state;
	guest_puts(&s, PAGE(3), 5);
	guest_puts(&s, PAGE(4), 6);
	pick_page(3);
	assert_int_equal(written, 1);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	guest_puts(&s, PAGE(3), 7); /* through what the CPU remembers, if it were not flushed */
	pick_page(3);
	assert_int_equal(written, 2);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	pick_page(3);
	assert_int_equal(mm_stats().pages_fingerprinted, 1);
	assert_true(hinted(3));
	assert_false(hinted(4));
	pick_page(3); /* it is in the index as it is */
	assert_int_equal(mm_stats().pages_fingerprinted, 1);
	guest_puts(&s, PAGE(3), 8);
	pick_page(3);
	assert_false(hinted(3));
	audit_passes();
}

/* Picked twice in one go it is looked at once: the second look would read it before the flush. */
static void the_same_page_twice(void **state)
{
	(void)state;
	guest_puts(&s, PAGE(3), 5);
	picks[nr_picks++] = (struct scan_cursor){1, GFN(3)};
	picks[nr_picks++] = (struct scan_cursor){1, GFN(3)};
	scan_slice(1000);
	assert_int_equal(written, 1);
	assert_int_equal(asked, 0);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	audit_passes();
}

/* Pages that are not there, or not alone: nothing is done. */
static void nothing_to_look_at(void **state)
{
	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(LARGE_PAGES)), MM_OK);
	guest_puts(&s, PAGE(LARGE_PAGES + 3), 5);
	assert_int_equal(guest_sees(&s, PAGE(9)), 0);
	pick_page(LARGE_PAGES + 3); /* its dirty bit is for 511 others too */
	pick_page(9);
	pick_page(10);
	pick_page(GFN_LIMIT);
	pick_page(UINT64_MAX);
	assert_int_equal(written + asked, 0);
	assert_int_equal(space_stats(&s).large_leaves, 1);
	picks[nr_picks++] = (struct scan_cursor){2, GFN(3)};
	picks[nr_picks++] = (struct scan_cursor){UINT16_MAX, GFN(3)};
	scan_slice(1000);
	audit_passes();
}

/* While the round rests, picks belong to no pass: the next one begins when the round goes on. */
static void no_part_of_the_round(void **state)
{
	(void)state;
	guest_puts(&s, PAGE(3), 5);
	host_cycles = 1000;
	pick_page(3);
	pick_page(3);
	assert_int_equal(mm_stats().full_scans, 0);
	host_cycles = 500000; /* a long rest */
	round_goes = true;
	scan_slice(100);
	assert_int_equal(mm_stats().full_scans, 0);
	host_cycles += 70;
	while (!mm_stats().full_scans)
		scan_slice(100);
	assert_int_equal(ended.cycles, 70);
	assert_int_equal(ended.ended_at, 500070);
}

/* What picks have merged counts as gained by the next pass that ends. */
static void merges_are_told(void **state)
{
	(void)state;
	for (uint64_t i = 3; i < 5; i++)
		guest_puts(&s, PAGE(i), 5);
	for (unsigned n = 0; n < 2; n++)
		for (uint64_t i = 3; i < 5; i++)
			pick_page(i);
	assert_int_equal(mm_stats().pages_saved, 1);
	round_goes = true;
	scan_slice(100000);
	assert_int_equal(ended.merged, 1);
	assert_int_equal(ended.placed, 2); /* one of the two was a hint first */
	scan_slice(100000);
	assert_int_equal(ended.merged, 0);
	audit_passes();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_page),           TEST(the_same_page_twice),
	    TEST(nothing_to_look_at), TEST(no_part_of_the_round),
	    TEST(merges_are_told),
	};

	return cmocka_run_group_tests_name("pick", tests, NULL, NULL);
}
