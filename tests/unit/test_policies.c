/* SPDX-License-Identifier: MIT */
/*
 * The ground that scan policies stand on: knobs, what is kept for each frame, the rules of
 * mm/scan_look.c. And the policy `ksm`: in what order it goes, what it reads, and when it holds back.
 */
#include "mm/quiet.h"
#include "tests/unit/policies_test.h"

/* ---- the ground ---- */

/* Each policy can be had by name, has a line of help, and defaults inside their ranges. */
static void every_policy_is_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; scan_policies[i]; i++) {
		const struct scan_policy *p = scan_policies[i];

		assert_ptr_equal(scan_find_policy(p->name), p);
		assert_non_null(p->help);
		assert_true(p->look || (p->written && p->quiet));
		for (const struct scan_knob *k = p->knobs; k && k->name; k++) {
			assert_ptr_equal(scan_find_knob(p, k->name), k);
			assert_non_null(k->help);
			assert_int_equal(scan_knob(k->value), k->standard);
			assert_true(scan_set_knob(k, k->least));
			assert_true(scan_set_knob(k, k->most));
			if (k->least)
				assert_false(scan_set_knob(k, k->least - 1));
			assert_false(scan_set_knob(k, k->most + 1));
			assert_int_equal(scan_knob(k->value), k->most);
			assert_true(scan_set_knob(k, k->standard));
		}
	}
	assert_null(scan_find_policy("kms"));
	assert_null(scan_find_knob(scan_find_policy("ksm"), "smart"));
	assert_null(scan_find_knob(scan_find_policy("plain"), "smart_scan"));
}

/* What is kept for each frame is taken when the policy is chosen, and given back after it. */
static void the_table_is_accounted(void **state)
{
	uint64_t free = mm_stats().frames_free, ours = mm_stats().frames_hypervisor;
	const struct scan_policy *ksm = scan_find_policy("ksm");

	(void)state;
	assert_int_equal(scan_policy_bytes(ksm), 8192 * 8);
	assert_int_equal(scan_policy_bytes(scan_find_policy("plain")), 0);
	for (unsigned i = 0; i < 3; i++) {
		use("ksm");
		assert_int_equal(mm_stats().frames_free, free - 16);
		assert_int_equal(mm_stats().frames_hypervisor, ours + 16);
		audit_passes();
	}
	use("plain");
	assert_int_equal(mm_stats().frames_free, free);
	assert_int_equal(mm_stats().frames_hypervisor, ours);
	audit_passes();
}

/* No memory for it: the old policy goes on. */
static void no_memory_for_the_table(void **state)
{
	struct space hog;
	uint64_t free = mm_stats().frames_free;

	(void)state;
	make_space_of(&hog, 3, free - 600, free - 600);
	while (mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 0)))
		;
	assert_int_equal(scan_use(scan_find_policy("ksm")), MM_NOMEM);
	assert_false(scan_set_policy("ksm"));
	assert_string_equal(scan_policy_name(), scan_policies[0]->name);
	scan_slice(ALL);
}

/* ---- ksm ---- */

/* The first pass only takes checksums; the second looks up. Then unshared pages are read for ever.
 */
static void ksm_two_passes(void **state)
{
	struct scan_counts c;

	(void)state;
	two_guests(32);
	for (uint64_t i = 0; i < 10; i++) {
		page_is(1, i, 100 + i);
		page_is(2, i, i < 4 ? 100 + i : 200 + i);
	}
	use("ksm");
	set("smart_scan", 0);
	c = pass();
	assert_int_equal(c.scanned, 20);
	assert_int_equal(c.read, 20);
	assert_int_equal(c.gated, 20);
	assert_int_equal(c.merged, 0);
	c = pass();
	assert_int_equal(c.read, 20);
	assert_int_equal(c.sought, 20);
	assert_int_equal(c.merged, 4);
	assert_int_equal(mm_stats().pages_saved, 4);
	for (unsigned i = 0; i < 3; i++) { /* merged ones are met, and not read */
		c = pass();
		assert_int_equal(c.scanned, 20);
		assert_int_equal(c.read, 12);
		assert_int_equal(c.sought, 12);
		assert_int_equal(c.merged, 0);
		assert_true(c.modelled > 12);
	}
	audit_passes();
}

/* A page that changes in each pass never gets past the gate. */
static void ksm_gate(void **state)
{
	struct scan_counts c;

	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	page_is(2, 3, 1);
	use("ksm");
	set("smart_scan", 0);
	for (uint64_t i = 0; i < 5; i++) {
		page_is(1, 3, 10 + i);
		page_is(2, 3, 10 + i);
		c = pass();
		assert_int_equal(c.read, 2);
		assert_int_equal(c.sought, 0);
		assert_int_equal(mm_stats().pages_saved, 0);
	}
	page_is(1, 3, 14); /* written, but nothing changed: KSM cannot tell */
	c = pass();
	assert_int_equal(c.sought, 2);
	assert_int_equal(mm_stats().pages_saved, 1);
}

/*
 * Equals meet only if both are read in one pass: a hint of the last pass is forgotten. With
 * smart_scan the twins below are met in different passes for a while.
 */
static void ksm_forgets_unshared_pages(void **state)
{
	unsigned passes = 0;

	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	use("ksm");
	for (unsigned i = 0; i < 8; i++)
		pass(); /* 1: read three times and once more, skipped once, read, skipped twice */
	page_is(2, 3, 1);
	while (!mm_stats().pages_saved && passes < 30) {
		struct scan_counts c = pass();

		passes++;
		if (c.sought == 1)
			assert_int_equal(c.merged, 0); /* alone in this pass */
	}
	assert_in_range(passes, 3, 29);
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* smart_scan: passes in which an unshared page is read: 1 2 3 4, 6, 9, 14, 23, 32 ... */
static void ksm_smart_scan(void **state)
{
	static const unsigned read_in[] = {1, 2, 3, 4, 6, 9, 14, 23, 32, 41};
	unsigned next = 0;

	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	use("ksm");
	for (unsigned i = 1; i <= 41; i++) {
		struct scan_counts c = pass();
		bool reads = next < ARRAY_SIZE(read_in) && read_in[next] == i;

		assert_int_equal(c.read, reads);
		assert_int_equal(c.skipped, !reads);
		next += reads;
	}
	assert_int_equal(next, ARRAY_SIZE(read_in));
	set("smart_scan", 0);
	assert_int_equal(pass().read, 1);
	assert_int_equal(pass().read, 1);
}

/*
 * The age is the guest page's. Page 3 is looked at twice, and merged; its age goes on with the break. Page 4 is a page of
 * zeroes, which nobody meets after it was merged: when it is written it is a new page, and is passed by two passes later.
 */
static void ksm_ages_outlive_frames(void **state)
{
	(void)state;
	two_guests(32);
	for (domid_t d = 1; d <= 2; d++) {
		page_is(d, 3, 1);
		page_is(d, 4, 0);
	}
	use("ksm");
	set("use_zero_pages", 1);
	for (unsigned i = 0; i < 3; i++)
		pass();
	assert_int_equal(mm_stats().pages_saved, 3);
	page_is(1, 3, 2);
	page_is(1, 4, 3);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pass().read, 2);
	assert_int_equal(pass().skipped, 1);
	assert_int_equal(pass().skipped, 0);
	assert_int_equal(pass().skipped, 2);
	audit_passes();
}

/* Pages so far apart that there is no room for what is kept: they are read, and merged, all the same. */
static void ksm_without_room(void **state)
{
	enum { APART = 16, PAGES = 2000 };
	struct scan_counts c;

	(void)state;
	make_space(&guest[1], 1, APART * PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		page_is(1, APART * i, 1 + i);
	use("ksm");
	for (unsigned i = 0; i < 4; i++) {
		c = pass();
		assert_int_equal(c.scanned, PAGES);
		assert_int_equal(c.read, PAGES);
	}
	c = pass(); /* those for which there is room are passed by */
	assert_in_range(c.skipped, 900, 1024);
	for (uint64_t i = 0; i < PAGES; i++)
		page_is(1, APART * i, 1 + i / 2);
	for (unsigned i = 0; i < 30; i++)
		pass();
	assert_int_equal(mm_stats().pages_saved, PAGES / 2);
	audit_passes();
}

/*
 * Two hints of one content: the older one did not count when the other was looked up, and nobody came
 * to it again. Settling reads both once more, and they meet.
 */
static void settling_after_one_that_forgets(void **state)
{
	(void)state;
	two_guests(32);
	page_is(2, 3, 1);
	use("dirtybit2011");
	pass();
	pass();
	page_is(1, 3, 1);
	pass(); /* clears its dirty bit */
	scan_slice(5);
	assert_true(hinted(1, 3) && hinted(2, 3));
	assert_int_equal(mm_stats().pages_saved, 0);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

static void ksm_zero_pages(void **state)
{
	(void)state;
	two_guests(32);
	for (uint64_t i = 0; i < 6; i++)
		page_is(1, i, 0);
	use("ksm");
	assert_int_equal(pass().scanned, 6);
	assert_int_equal(pass().merged, 6);
	assert_int_equal(pass().scanned, 6);
	set("use_zero_pages", 1);
	assert_int_equal(pass().scanned, 0);
}

/* With a clock: pages_to_scan, then nothing until sleep_millisecs are over. A pass ends a batch. */
static void ksm_sleeps(void **state)
{
	const struct scan_policy *ksm = scan_find_policy("ksm");

	(void)state;
	two_guests(256);
	for (uint64_t i = 0; i < 250; i++)
		page_is(1, i, 1 + i);
	use("ksm");
	host_cycles = 1000000;
	scan_set_clock(1000);
	scan_slice(ALL);
	assert_int_equal(scan_counts(ksm).scanned, 100);
	assert_int_equal(scan_slice(ALL), 0);
	host_cycles += 19999;
	assert_int_equal(scan_slice(ALL), 0);
	host_cycles += 1;
	scan_slice(ALL);
	assert_int_equal(scan_counts(ksm).scanned, 200);
	host_cycles += 20000;
	scan_slice(ALL);
	assert_int_equal(scan_counts(ksm).scanned, 250);
	assert_int_equal(scan_counts(ksm).passes, 1);
	assert_int_equal(scan_slice(ALL), 0);
	set("pages_to_scan", 7);
	set("sleep_millisecs", 0);
	scan_slice(ALL);
	assert_int_equal(scan_counts(ksm).scanned, 257);
	scan_slice(ALL);
	assert_int_equal(scan_counts(ksm).scanned, 264);
}

static void time_goes_by(enum env_point p)
{
	host_cycles += p == POINT_SCAN_READ ? 2000000 : 0; /* two seconds to read a page */
}

static uint64_t advised(void)
{
	uint64_t passes = scan_counts(scan_policy()).passes;

	for (unsigned i = 0; i < 10000 && scan_counts(scan_policy()).passes == passes; i++) {
		host_cycles += 1000000;
		scan_slice(ALL);
	}
	return scan_knob(scan_find_knob(scan_policy(), "pages_to_scan")->value);
}

/* The advisor: pages_to_scan follows the time that a pass takes, and what CPU time it costs. */
static void ksm_advisor(void **state)
{
	(void)state;
	make_space(&guest[1], 1, 3000);
	for (uint64_t i = 0; i < 2000; i++)
		page_is(1, i, 1 + i);
	use("ksm");
	host_cycles = 1000000;
	scan_set_clock(1000);
	set("smart_scan", 0);
	set("advisor", 1);
	set("sleep_millisecs", 1000);
	scan_slice(ALL);
	assert_int_equal(scan_counts(scan_policy()).scanned, 500); /* it begins with the least */
	assert_int_equal(advised(), 5000); /* costs nothing: a tenth of the CPU at least */
	assert_int_equal(advised(), 30000);
	assert_int_equal(advised(), 30000);
	set("pages_to_scan", 1000);
	host_on_point = time_goes_by; /* now nearly all the time is its own: at most 70 % */
	assert_in_range(advised(), 690, 770);
}

/* It counts whole seconds, as KSM does: of a pass of 50.999999 s, 50. */
static void ksm_advisor_counts_seconds(void **state)
{
	(void)state;
	make_space(&guest[1], 1, 3000);
	for (uint64_t i = 0; i < 2000; i++)
		page_is(1, i, 1 + i);
	use("ksm");
	host_cycles = 1000000;
	scan_set_clock(1000);
	set("smart_scan", 0);
	set("advisor", 1);
	set("advisor_target_scan_time", 1);
	set("sleep_millisecs", 0);
	for (unsigned i = 0; i < 3; i++)
		scan_slice(ALL); /* 500 pages each */
	host_cycles += 50999999;
	for (unsigned i = 0; i < 3 && !scan_counts(scan_policy()).passes; i++)
		scan_slice(ALL);
	assert_int_equal(scan_counts(scan_policy()).passes, 1);
	/* 1 s is 2 % of it: 500 pages / 2 %, of which 30 % count. */
	assert_int_equal(scan_knob(scan_find_knob(scan_policy(), "pages_to_scan")->value), 7500);
}

/* Blind: it clears no dirty bit, so whoever comes next still finds what was written. */
static void ksm_leaves_dirty_bits(void **state)
{
	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	page_is(2, 3, 2);
	use("ksm");
	for (unsigned i = 0; i < 3; i++)
		pass();
	page_is(2, 3, 1);
	use("plain");
	pass();
	pass();
	pass();
	assert_int_equal(mm_stats().pages_saved, 1);
	audit_passes();
}

/*
 * What the default policy knew of a region is no longer so when a policy that is shown all pages has
 * taken a dirty bit there and left the pages unread: the audit (invariant 12) looks. Of a large leaf
 * nothing but the mark would call for a look.
 */
static void marks_do_not_outlive_a_look(void **state)
{
	(void)state;
	make_space(&guest[1], 1, 2 * LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		page_is(1, i, 1 + i);
	scan_settle();
	audit_passes();
	assert_true(quiet_mark_of(*p2m_find_over(&guest[1], GFN(7))) >= QUIET_KNOWN);
	page_is(1, 7, 1000);
	use("dirtybit2011");
	pass();
	assert_true(quiet_mark_of(*p2m_find_over(&guest[1], GFN(7))) == QUIET_NOT);
	audit_passes();
}

static unsigned reads;

static void both_change(enum env_point p)
{
	if (p == POINT_SCAN_READ && ++reads == 2) {
		page_is(1, 3, 9);
		page_is(2, 3, 9);
	}
}

/* Two pages change alike after they were read: a share of theirs must not have the old fingerprint.
 */
static void ksm_changes_after_the_read(void **state)
{
	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	page_is(2, 3, 1);
	use("ksm");
	pass();
	reads = 0;
	host_on_point = both_change;
	pass();
	audit_passes();
	host_on_point = NULL;
	pass();
	pass();
	audit_passes();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Pinned pages are not shown, nor are those of guest tables in general, or the untouched. */
static void not_shown(void **state)
{
	void *page;

	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	page_is(1, 4, 1);
	assert_int_equal(guest_sees(&guest[1], PAGE(5)), 0);
	assert_int_equal(mm_pin(&guest[1], GFN(3), &page), MM_OK);
	use("ksm");
	assert_int_equal(pass().scanned, 1);
	assert_int_equal(pass().scanned, 1);
	mm_unpin(&guest[1], GFN(3));
	assert_int_equal(pass().scanned, 2);
	assert_int_equal(pass().merged, 1);
	audit_passes();
}

/* After it the default policy trusts no mark that was set before: it finds what ksm left out. */
static void marks_do_not_outlive_a_policy(void **state)
{
	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	for (unsigned i = 0; i < 5; i++)
		pass(); /* now guest 1's region is calm */
	page_is(2, 3, 1);
	use("ksm");
	pass(); /* reads both, and places neither */
	use("plain");
	for (unsigned i = 0; i < 5; i++)
		pass();
	assert_int_equal(mm_stats().pages_saved, 1);
	audit_passes();
}

/* Large leaves: their pages are read although one dirty bit is for all; split at a match. */
static void ksm_large(void **state)
{
	(void)state;
	make_space(&guest[1], 1, 2 * LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		page_is(1, i, 1 + i / 2);
	use("ksm");
	for (unsigned i = 0; i < 2; i++) {
		page_is(1, LARGE_PAGES - 1, 5000 + i); /* busy in one page */
		pass();
	}
	assert_int_equal(mm_stats().pages_saved, LARGE_PAGES / 2 - 1);
	audit_passes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(every_policy_is_in_order),
	    BOTH(the_table_is_accounted),
	    BOTH(no_memory_for_the_table),
	    BOTH(ksm_two_passes),
	    BOTH(ksm_gate),
	    BOTH(ksm_forgets_unshared_pages),
	    BOTH(ksm_smart_scan),
	    BOTH(ksm_ages_outlive_frames),
	    BOTH(ksm_without_room),
	    BOTH(settling_after_one_that_forgets),
	    BOTH(ksm_zero_pages),
	    BOTH(ksm_sleeps),
	    BOTH(ksm_advisor),
	    cmocka_unit_test_setup_teardown(ksm_advisor_counts_seconds, setup, teardown),
	    cmocka_unit_test_setup_teardown(ksm_leaves_dirty_bits, setup, teardown),
	    cmocka_unit_test_setup_teardown(marks_do_not_outlive_a_look, setup, teardown),
	    BOTH(ksm_large),
	    BOTH(ksm_changes_after_the_read),
	    BOTH(not_shown),
	    BOTH(marks_do_not_outlive_a_policy),
	};

	return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
