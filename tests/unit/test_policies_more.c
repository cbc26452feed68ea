/* SPDX-License-Identifier: MIT */
/* The policies `esx`, `xlh` and `dirtybit2011`: what they pick, what they read, when they hold back. */
#include "tests/unit/policies_test.h"

/* ---- esx ---- */

/* Random: of n pages n picks find 63 %, here and there, and not the first ones first. */
static void esx_random_pages(void **state)
{
	unsigned low = 0, all = 0;

	(void)state;
	make_space(&guest[1], 1, 4096);
	for (uint64_t i = 0; i < 4096; i++)
		page_is(1, i, 1 + i);
	use("esx");
	scan_slice(2000);
	for (uint64_t i = 0; i < 4096; i++) {
		all += hinted(1, i);
		low += i < 1024 && hinted(1, i);
	}
	assert_in_range(all, 200, 280); /* each costs a look and a read: nine */
	assert_in_range(low, all / 8, all * 3 / 8);
	pass();
	all = 0;
	for (uint64_t i = 0; i < 4096; i++)
		all += hinted(1, i);
	assert_in_range(all, 4096 * 60 / 100, 4096 * 66 / 100);
	audit_passes();
}

/* No gate, and hints are not forgotten: a page that was hinted once is found for ever after. */
static void esx_hints_stay(void **state)
{
	unsigned passes = 0;

	(void)state;
	two_guests(64);
	page_is(1, 3, 1);
	use("esx");
	while (!hinted(1, 3) && passes++ < 50)
		pass();
	for (unsigned i = 0; i < 3; i++)
		pass();
	assert_true(hinted(1, 3));
	page_is(2, 3, 1);
	while (!mm_stats().pages_saved && passes++ < 100)
		pass();
	assert_int_equal(mm_stats().pages_saved, 1);
	audit_passes();
}

/* A hint may be out of date: the compare of the merge finds out. */
static void esx_hint_out_of_date(void **state)
{
	unsigned passes = 0;

	(void)state;
	two_guests(64);
	page_is(1, 3, 1);
	use("esx");
	while (!hinted(1, 3) && passes++ < 50)
		pass();
	page_is(1, 3, 2);
	page_is(2, 3, 1);
	while (!hinted(2, 3) && passes++ < 100)
		pass();
	assert_int_equal(mm_stats().pages_saved, 0);
	assert_int_equal(guest_sees(&guest[1], PAGE(3) + 8), 2);
	audit_passes();
}

/* Rates: for each guest, and for all; nothing is saved up for longer than a second. */
static void esx_rates(void **state)
{
	const struct scan_policy *esx = scan_find_policy("esx");
	uint64_t before;

	(void)state;
	two_guests(256);
	for (uint64_t i = 0; i < 256; i++) {
		page_is(1, i, 1 + i);
		page_is(2, i, 1000 + i);
	}
	use("esx");
	host_cycles = 1000000;
	scan_set_clock(1000);
	assert_int_equal(scan_slice(ALL), 0);
	host_cycles += 1000000; /* a second */
	while (scan_slice(ALL))
		;
	/* Two picks of one page in one batch are one. */
	assert_in_range(scan_counts(esx).scanned, 80, 100);
	before = scan_counts(esx).scanned;
	host_cycles += 100000000;
	while (scan_slice(ALL))
		;
	assert_in_range(scan_counts(esx).scanned - before, 80, 100);
	set("share_scan_total", 20);
	before = scan_counts(esx).scanned;
	host_cycles += 1000000;
	while (scan_slice(ALL))
		;
	assert_in_range(scan_counts(esx).scanned - before, 18, 20);
	set("share_scan_vm", 0);
	host_cycles += 1000000;
	scan_slice(ALL); /* the rest of what was earned */
	before = scan_counts(esx).scanned;
	host_cycles += 1000000;
	assert_int_equal(scan_slice(ALL), 0);
	assert_int_equal(scan_counts(esx).scanned, before);
}

/* Half a second earns half of it; and who has had its share leaves the rest of what all may have. */
static void esx_earns_by_time(void **state)
{
	const struct scan_policy *esx = scan_find_policy("esx");

	(void)state;
	make_space(&guest[1], 1, 4096);
	for (uint64_t i = 0; i < 4096; i++)
		page_is(1, i, 1 + i);
	use("esx");
	host_cycles = 1000000;
	scan_set_clock(1000);
	assert_int_equal(scan_slice(ALL), 0);
	for (unsigned i = 1; i <= 4; i++) {
		host_cycles += 500000;
		while (scan_slice(ALL))
			;
		assert_in_range(scan_counts(esx).scanned, 24 * i, 25 * i);
	}
	audit_passes();
}

/* Guests of different size, one with memory above 4 GiB, no guest at all: each pick is in RAM. */
static void esx_without_guests(void **state)
{
	(void)state;
	use("esx");
	assert_int_equal(scan_slice(ALL), 0);
	assert_int_equal(mm_stats().full_scans, 1);
	assert_false(scan_policy()->pick(&(struct scan_cursor){0}));
	make_space(&guest[1], 1, 1);
	page_is(1, 0, 5);
	pass();
	assert_true(hinted(1, 0));
	destroy_space(&guest[1]);
	assert_int_equal(scan_slice(ALL), 0);
}

/* ---- xlh ---- */

/* Hints are looked up at once; what overflowed the stack waits for two passes, as with KSM. */
static void xlh_bounded_stack(void **state)
{
	struct scan_counts c;

	(void)state;
	make_space(&guest[1], 1, 32);
	use("xlh");
	set("hint_slots", 4);
	for (uint64_t i = 0; i < 6; i++)
		page_is(1, i, 1 + i);
	c = pass();
	assert_int_equal(c.gated, 2);  /* 0 and 1 */
	assert_int_equal(c.sought, 8); /* four hints, and the same pages in the round */
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(hinted(1, i), i >= 2);
	c = pass(); /* no hints any more: KSM */
	assert_int_equal(c.gated, 0);
	assert_int_equal(c.read, 6);
	assert_int_equal(c.sought, 6);
}

/* The newest hint goes first; hints and the round take turns. */
static void xlh_newest_first(void **state)
{
	(void)state;
	make_space(&guest[1], 1, 64);
	use("xlh");
	set("hints_per_batch", 1);
	set("pages_to_scan", 2);
	host_cycles = 1000000;
	scan_set_clock(1000);
	for (uint64_t i = 0; i < 40; i++)
		page_is(1, i, 1 + i);
	for (uint64_t i = 0; i < 5; i++) {
		scan_slice(ALL);
		assert_int_equal(scan_slice(ALL), 0); /* it sleeps */
		assert_true(hinted(1, 39 - i));
		assert_false(hinted(1, 38 - i));
		assert_int_equal(scan_counts(scan_policy()).scanned, 3 * (i + 1));
		host_cycles += 20000;
	}
	page_is(1, 50, 100); /* the newest now */
	scan_slice(ALL);
	assert_true(hinted(1, 50));
	assert_false(hinted(1, 34));
	audit_passes();
}

/* Hints of the hypervisor's own writes, and of the end of a pin; each source has its switch. */
static void xlh_sources(void **state)
{
	uint64_t word = 7;
	void *page;

	(void)state;
	two_guests(32);
	for (uint64_t i = 0; i < 4; i++)
		page_is(1, i, 0);
	use("xlh");
	pass();
	pass();
	assert_int_equal(mm_write(&guest[1], PAGE(1), &word, 8), MM_OK);
	assert_int_equal(mm_write(&guest[2], PAGE(1), &word, 8), MM_OK);
	assert_int_equal(pass().gated, 0); /* both by hint, and known to the round by then */
	assert_int_equal(mm_stats().pages_sharing, 1);
	assert_int_equal(mm_pin(&guest[1], GFN(2), &page), MM_OK);
	memset(page, 9, PAGE_SIZE);
	pass(); /* pinned: its hint is lost */
	mm_unpin(&guest[1], GFN(2));
	assert_int_equal(pass().gated, 0);
	assert_true(hinted(1, 2));
	set("hint_writes", 0);
	word = 8;
	assert_int_equal(mm_write(&guest[1], PAGE(3), &word, 8), MM_OK);
	assert_int_equal(pass().gated, 1);
	page_is(2, 9, 5);
	assert_int_equal(pass().gated, 0);
	set("hint_faults", 0);
	page_is(2, 10, 5);
	assert_int_equal(pass().gated, 1);
	audit_passes();
}

/* A stack that is made shorter loses what it holds, and no more. Hints of the dead are nobody's. */
static void xlh_shorter_stack(void **state)
{
	(void)state;
	two_guests(64);
	use("xlh");
	for (uint64_t i = 0; i < 40; i++)
		page_is(1, i, 1 + i);
	set("hint_slots", 3);
	assert_int_equal(pass().gated, 40);
	for (uint64_t i = 0; i < 40; i++)
		page_is(2, i, 100 + i);
	destroy_space(&guest[2]);
	pass();
	audit_passes();
	for (uint64_t i = 0; i < 3; i++)
		page_is(1, 40 + i, 200 + i); /* the stack is full */
	set("hint_slots", 2);
	page_is(1, 50, 300); /* and what is pushed on the shorter one is kept */
	assert_int_equal(pass().gated, 3);
	assert_true(hinted(1, 50));
}

/* ---- dirtybit2011 ---- */

/* The written are passed by unread; all else is read and looked up in every pass. */
static void dirtybit_skips_the_volatile(void **state)
{
	struct scan_counts c;

	(void)state;
	make_space(&guest[1], 1, 32);
	for (uint64_t i = 0; i < 10; i++)
		page_is(1, i, 1 + i);
	use("dirtybit2011");
	c = pass();
	assert_int_equal(c.skipped, 10);
	assert_int_equal(c.read, 0);
	for (unsigned i = 0; i < 3; i++) {
		page_is(1, 3, 20 + i);
		page_is(1, 4, 20 + i);
		c = pass();
		assert_int_equal(mm_stats().pages_volatile, 2);
		assert_int_equal(c.skipped, 2);
		assert_int_equal(c.read, 8);
		assert_int_equal(c.sought, 8);
		assert_int_equal(c.gated, 0);
	}
	c = pass();
	assert_int_equal(c.merged, 1);
	c = pass();
	assert_int_equal(c.scanned, 10);
	assert_int_equal(c.read, 8);
	audit_passes();
}

/* A large leaf that was written is volatile as a whole. */
static void dirtybit_large(void **state)
{
	struct scan_counts c;

	(void)state;
	make_space(&guest[1], 1, 2 * LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		page_is(1, i, 1 + i);
	use("dirtybit2011");
	for (unsigned i = 0; i < 3; i++) {
		page_is(1, 7, 1000 + i);
		c = pass();
		assert_int_equal(c.skipped, LARGE_PAGES);
		assert_int_equal(c.read, 0);
	}
	assert_int_equal(pass().read, LARGE_PAGES);
	audit_passes();
}

#define MS 1000u /* cycles: so that a cycle is a microsecond */

/*
 * A batch is so many pages, in whatever slices, and then it sleeps; also in the middle of a large leaf, where the next
 * one goes on with the page at which this one stopped.
 */
static void dirtybit_batches(void **state)
{
	(void)state;
	make_space(&guest[1], 1, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		page_is(1, i, 1 + i);
	guest_leave_all();
	use("dirtybit2011");
	pass(); /* dirty no longer */
	set("pages_to_scan", 10);
	set("sleep_millisecs", 20);
	host_cycles = 1000000 * MS;
	scan_set_clock(MS);
	for (uint64_t page = 0; page < LARGE_PAGES; page += 10) {
		uint64_t seen = scan_counts(scan_policy()).scanned, left = LARGE_PAGES - page;

		for (unsigned i = 0; i < 2; i++)
			scan_slice(1);
		assert_int_equal(scan_counts(scan_policy()).scanned - seen, 2);
		if (left > 2)
			scan_slice(ALL);
		assert_int_equal(scan_counts(scan_policy()).scanned - seen, min_u64(10, left));
		for (uint64_t i = 0; i < LARGE_PAGES; i++)
			assert_int_equal(hinted(1, i), i < page + 10);
		host_cycles += 20 * MS - 1;
		assert_int_equal(scan_slice(ALL), 0); /* asleep */
		host_cycles += 1;
	}
	assert_int_equal(scan_counts(scan_policy()).scanned, LARGE_PAGES);
	assert_int_equal(scan_counts(scan_policy()).read, LARGE_PAGES);
	assert_int_equal(space_stats(&guest[1]).large_leaves, 1);
	audit_passes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(esx_random_pages),
	    BOTH(esx_hints_stay),
	    BOTH(esx_hint_out_of_date),
	    BOTH(esx_rates),
	    BOTH(esx_earns_by_time),
	    BOTH(esx_without_guests),
	    BOTH(xlh_bounded_stack),
	    BOTH(xlh_newest_first),
	    BOTH(xlh_sources),
	    BOTH(xlh_shorter_stack),
	    cmocka_unit_test_setup_teardown(dirtybit_skips_the_volatile, setup, teardown),
	    cmocka_unit_test_setup_teardown(dirtybit_large, setup, teardown),
	    BOTH(dirtybit_batches),
	};

	return cmocka_run_group_tests_name("policies_more", tests, NULL, NULL);
}
