/* SPDX-License-Identifier: MIT */
/*
 * The estimate of how much memory a guest uses (mm/sample.c): right within what a sample can
 * be, quick to rise and slow to fall, one flush a period, and no trouble for the scanner. The
 * guest's CPUs have TLBs: what they have cached sets no accessed flag.
 */
#include "tests/unit/quiet_test.h"
#include "mm/sample.h"

#define PAGES  (REGIONS * LARGE_PAGES)
#define SAMPLE 100u
#define CPU    1u

static struct sampler m;

static int flags(void **state)
{
	memset(&m, 0, sizeof(m));
	return setup(state);
}

static int protect(void **state)
{
	memset(&m, 0, sizeof(m));
	return setup_protect(state);
}

static void own_all(void)
{
	for (uint64_t g = 0; g < PAGES; g++)
		put_unique(CPU, g);
}

/* The guest reads the pages [0, n), and stays in guest mode. */
static void use(uint64_t n)
{
	for (uint64_t g = 0; g < n; g++) {
		uint64_t v;

		assert_int_equal(guest_read(CPU, &s, PAGE(g), &v), VERDICT_RESUME);
	}
}

static void period(uint64_t used)
{
	sample_period(&m, &s, SAMPLE);
	assert_int_equal(m.n, SAMPLE);
	use(used);
}

static uint64_t active(void)
{
	return sample_active(&m, &s);
}

/* A quarter is used all the time: so says the slow average, within twice what the paper allows for
 * one sample (the square root of f (1 - f) / n is 4.3 % of all). */
static void a_quarter_is_used(void **state)
{
	(void)state;
	own_all();
	assert_int_equal(active(), PAGES); /* nothing is known yet */
	for (unsigned i = 0; i < 40; i++)
		period(PAGES / 4);
	sample_look(&m, &s);
	assert_int_equal(m.periods, 39);
	assert_in_range(m.slow / 256, PAGES * 21 / 100, PAGES * 29 / 100);
	assert_in_range(active(), PAGES * 21 / 100, PAGES * 37 / 100);
	audit_passes();
}

/* It is the flush that makes a CPU say again what it uses: the pages are in its TLB. */
static void what_is_cached_counts(void **state)
{
	(void)state;
	own_all();
	use(PAGES);
	assert_true(guest_inside(CPU, &s));
	for (unsigned i = 0; i < 3; i++)
		period(PAGES);
	sample_look(&m, &s);
	assert_int_equal(active(), PAGES);
}

/* One flush for all the pages of a period, and none where nobody used any. */
static void one_flush_a_period(void **state)
{
	uint64_t before;

	(void)state;
	own_all();
	before = mm_stats().flushes;
	period(0);
	assert_int_equal(mm_stats().flushes, before + 1);
	assert_int_equal(m.flushes, 1);
	sample_look(&m, &s);
	sample_look(&m, &s);
	assert_int_equal(mm_stats().flushes, before + 1);
	for (unsigned i = 0; i < 400; i++) /* until each page was picked once */
		period(0);
	before = mm_stats().flushes;
	period(0);
	assert_int_equal(mm_stats().flushes, before);
}

/* Who begins to use memory is believed at once, who stops is believed slowly. */
static void up_at_once_down_slowly(void **state)
{
	uint64_t last;

	(void)state;
	own_all();
	for (unsigned i = 0; i < 60; i++)
		period(0);
	assert_in_range(active(), 0, PAGES / 100);
	use(PAGES); /* in the middle of a period */
	sample_look(&m, &s);
	assert_in_range(active(), PAGES / 2 - 4, PAGES / 2 + 4);
	period(PAGES);
	period(PAGES);
	period(0);
	last = active();
	assert_true(last > PAGES * 8 / 10);
	for (unsigned i = 0; i < 12; i++) {
		period(0);
		assert_true(active() <= last);
		assert_true(i > 3 || active() > PAGES / 8);
		last = active();
	}
	assert_true(last < PAGES / 4);
}

/* What is no private page any more says nothing; another frame in its place was written. */
static void pages_that_change(void **state)
{
	(void)state;
	own_all();
	guest_leave_all();
	period(0);
	period(0);
	for (uint64_t g = 0; g < PAGES - 1; g++)
		assert_int_equal(balloon_out(&s, &(gfn_t){g}, 1, 0), 1);
	sample_look(&m, &s);
	for (unsigned i = 0; i < m.n; i++)
		assert_true(m.page[i].gfn == PAGES - 1 || !m.page[i].mfn);
	sample_period(&m, &s, SAMPLE); /* one page is left: few are found, all the same one */
	assert_true(m.n < SAMPLE);
	assert_int_equal(s.held, 1);
	assert_in_range(active(), 0, 1);
	for (uint64_t g = 0; g < PAGES - 1; g++)
		assert_int_equal(balloon_in(&s, &(gfn_t){g}, 1, 0), 1);
	memset(&m, 0, sizeof(m));
	period(0);
	period(0);
	for (uint64_t g = 0; g < PAGES; g++) { /* out and in again: another frame */
		assert_int_equal(balloon_out(&s, &(gfn_t){g}, 1, 0), 1);
		if (g % 2)
			assert_int_equal(balloon_in(&s, &(gfn_t){g - 1}, 1, 0), 1);
		if (g % 2)
			assert_int_equal(balloon_in(&s, &(gfn_t){g}, 1, 0), 1);
	}
	sample_look(&m, &s);
	for (unsigned i = 0; i < m.n; i++)
		assert_true(m.used[i]);
	audit_passes();
}

/* A region that the scanner passes over stays one: it goes by flags above the leaves. */
static void the_scanner_is_not_disturbed(void **state)
{
	(void)state;
	own_all();
	guest_leave_all();
	calm_down();
	for (unsigned i = 0; i < 4; i++)
		period(0);
	for (unsigned r = 0; r < REGIONS; r++)
		assert_int_equal(mark(r * LARGE_PAGES), QUIET_CALM);
	assert_int_equal(one_pass().scanned, 0);
	put_unique(1, HERE); /* and what is written is still found */
	guest_leave_all();
	one_pass();
	period(0);
	assert_int_equal(one_pass().read, 1);
}

/* Without accessed flags: writes count, and the scanner hears of the harvest. */
static void writes_only(void **state)
{
	(void)state;
	own_all();
	assert_true(sample_sees_writes_only());
	for (unsigned i = 0; i < 30; i++) {
		period(PAGES); /* reads */
		for (uint64_t g = 0; g < PAGES / 2; g++)
			put_unique(CPU, g);
	}
	assert_in_range(m.slow / 256, PAGES * 43 / 100, PAGES * 57 / 100);
	for (unsigned i = 0; i < 30; i++)
		period(PAGES);
	assert_in_range(active(), 0, PAGES * 4 / 100);
	guest_leave_all();
	calm_down();
	for (uint64_t g = 0; g < PAGES; g++)
		put_unique(CPU, g);
	period(0);
	guest_leave_all();
	for (unsigned i = 0; i < m.n; i++)
		assert_true(
		    frame_flag(frame_at(p2m_lookup(&s, GFN(m.page[i].gfn)).mfn), FRAME_STALE));
	audit_passes();
}

/* A pinned page keeps its write right: the hypervisor's partner writes there all the time. */
static void a_pinned_page_is_left_alone(void **state)
{
	void *at;

	(void)state;
	put_unique(CPU, 5);
	assert_int_equal(mm_pin(&s, GFN(5), &at), MM_OK);
	for (unsigned i = 0; i < 300; i++)
		sample_period(&m, &s, SAMPLE);
	assert_int_equal(m.n, 0);
	assert_true(p2m_lookup(&s, GFN(5)).access & PTE_W);
	mm_unpin(&s, GFN(5));
}

/* Nothing there, large leaves, a domain at its end. */
static void edges(void **state)
{
	(void)state;
	sample_period(&m, &s, SAMPLE);
	assert_int_equal(m.n, 0);
	sample_period(&m, &s, SAMPLE);
	assert_int_equal(active(), 0);
	make_space(&other, 2, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&other, GFN(0)), MM_OK);
	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < 3; i++) {
		uint64_t v;

		sample_period(&m, &other, SAMPLE_MOST);
		assert_int_equal(guest_read(CPU, &other, PAGE(3), &v), VERDICT_RESUME);
	}
	sample_look(&m, &other);
	assert_int_equal(sample_active(&m, &other), LARGE_PAGES); /* one flag for all of them */
	assert_true(p2m_lookup(&other, GFN(0)).large);
	guest_leave_all();
	assert_false(space_destroy_step(&other, 1));
	sample_period(&m, &other, SAMPLE);
	assert_int_equal(m.n, 0);
	destroy_space(&other);
	sample_look(&m, &other);
	audit_passes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_quarter_is_used, flags, teardown),
	    cmocka_unit_test_setup_teardown(what_is_cached_counts, flags, teardown),
	    cmocka_unit_test_setup_teardown(one_flush_a_period, flags, teardown),
	    cmocka_unit_test_setup_teardown(up_at_once_down_slowly, flags, teardown),
	    cmocka_unit_test_setup_teardown(pages_that_change, flags, teardown),
	    cmocka_unit_test_setup_teardown(the_scanner_is_not_disturbed, flags, teardown),
	    cmocka_unit_test_setup_teardown(writes_only, protect, teardown),
	    cmocka_unit_test_setup_teardown(a_pinned_page_is_left_alone, protect, teardown),
	    cmocka_unit_test_setup_teardown(edges, flags, teardown),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
