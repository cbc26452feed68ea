/* SPDX-License-Identifier: MIT */
/*
 * The scanner (mm/scan.c): what it reads and what it leaves alone, that it can be
 * stopped anywhere, and that, once all is quiet, nothing that could be shared is not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "mm/core.h"
#include "mm/flush.h"
#include "mm/hash.h"
#include "mm/index.h"
#include "mm/p2m.h"
#include "mm/scan.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/oracle.h"
#include "tests/host/toy_format.h"

#define CPUS 8u
#define ALL  1000000u

static struct space guest[7]; /* by domain id */

static int setup_format(const struct pte_format *format, bool log)
{
	host_start(
	    &(struct host_config){.frames = 8192, .cpus = CPUS, .format = format, .log = log});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	hash_weaken(~0u);
	memset(guest, 0, sizeof(guest));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_format(&toy_format, false);
}

static int setup_protect(void **state)
{
	(void)state;
	return setup_format(&toy_format_no_dirty, false);
}

static int setup_log(void **state)
{
	(void)state;
	return setup_format(&toy_format, true);
}

static int teardown(void **state)
{
	(void)state;
	host_on_point = NULL;
	guest_leave_all();
	host_stop();
	return 0;
}

static void make_guest(domid_t d, uint16_t group, uint64_t pages)
{
	struct space_config c = {
	    .domid = d, .share_group = group, .memory_pages = pages, .max_pages = pages};

	assert_int_equal(space_create(&guest[d], &c), MM_OK);
}

static void poke(domid_t d, uint64_t gfn, unsigned word, uint64_t value)
{
	assert_int_equal(guest_write(d, &guest[d], gfn * PAGE_SIZE + word * 8, value),
	                 VERDICT_RESUME);
}

static uint64_t peek(domid_t d, uint64_t gfn, unsigned word)
{
	uint64_t v = 0;

	assert_int_equal(guest_read(d, &guest[d], gfn * PAGE_SIZE + word * 8, &v), VERDICT_RESUME);
	return v;
}

/* A page of its own: two words that nobody else has. */
static void unique_page(domid_t d, uint64_t gfn)
{
	poke(d, gfn, 0, UINT64_C(1) << 40 | (uint64_t)d << 32 | gfn);
	poke(d, gfn, 511, 1);
}

/* A page is read after one whole pass without a write, not before; then never again. */
static void quiet_interval(void **state)
{
	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	scan_slice(ALL);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	assert_int_equal(mm_stats().pages_volatile, 1);
	poke(1, 3, 5, 6);
	scan_slice(ALL);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	scan_slice(ALL);
	assert_int_equal(mm_stats().pages_fingerprinted, 1);
	assert_int_equal(mm_stats().pages_unshared, 1);
	assert_int_equal(mm_stats().pages_volatile, 0);
	for (unsigned i = 0; i < 5; i++)
		scan_slice(ALL);
	assert_int_equal(mm_stats().pages_fingerprinted, 1);
	assert_int_equal(mm_stats().bytes_read, PAGE_SIZE);
	assert_int_equal(mm_stats().full_scans, 8);
}

/* A hint whose page is written leaves the index, and comes back with the new content. */
static void hint_follows_the_page(void **state)
{
	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	scan_slice(ALL);
	scan_slice(ALL);
	assert_int_equal(index_stats().hints, 1);
	poke(1, 3, 5, 6);
	guest_leave_all(); /* a log is seen when its CPU has come out */
	scan_slice(ALL);
	assert_int_equal(index_stats().hints, 0);
	assert_int_equal(index_stats().stale_dropped, 1);
	unique_page(1, 4);
	poke(1, 4, 0, peek(1, 3, 0));
	poke(1, 4, 5, 6);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* A write by the hypervisor (no dirty bit) is seen as well. */
static void hypervisor_writes(void **state)
{
	uint64_t value = 77;

	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	unique_page(1, 4);
	scan_settle();
	assert_int_equal(mm_write(&guest[1], 3 * PAGE_SIZE, &value, 8), MM_OK);
	assert_int_equal(mm_write(&guest[1], 4 * PAGE_SIZE, &value, 8), MM_OK);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* What happens to a page between the read and its place in the index is noticed: written by the
 * guest or by us, or gone and its frame another page's. */
static enum { WRITE_GUEST, WRITE_OURS, BALLOON, BALLOON_AND_REUSE } meanwhile;

static void do_meanwhile(enum env_point p)
{
	const gfn_t gfn = GFN(3);
	uint64_t value = 5;

	if (p != POINT_SCAN_READ)
		return;
	if (meanwhile == WRITE_GUEST)
		poke(1, 3, 1, value);
	if (meanwhile == WRITE_OURS)
		assert_int_equal(mm_write(&guest[1], 3 * PAGE_SIZE, &value, 8), MM_OK);
	if (meanwhile >= BALLOON)
		assert_int_equal(balloon_out(&guest[1], &gfn, 1, 0), 1);
	if (meanwhile == BALLOON_AND_REUSE)
		poke(2, 6, 0, value);
}

static void changed_after_the_read(void **state)
{
	for (meanwhile = WRITE_GUEST; meanwhile <= BALLOON_AND_REUSE; meanwhile++) {
		make_guest(1, 1, 32);
		make_guest(2, 1, 32);
		unique_page(1, 3);
		scan_slice(ALL);
		host_on_point = do_meanwhile;
		scan_slice(ALL);
		host_on_point = NULL;
		assert_int_equal(mm_stats().pages_fingerprinted, 1);
		assert_int_equal(index_stats().hints, 0);
		oracle_check_settled();
		teardown(state);
		setup(state);
	}
}

/* A dirty bit that somebody else harvested is not lost: the flag STALE says it. */
static void harvested_elsewhere(void **state)
{
	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	unique_page(1, 4);
	scan_settle();
	poke(1, 4, 0, peek(1, 3, 0));
	poke(1, 3, 0, peek(1, 3, 0)); /* the same again: it must not match itself */
	p2m_lock(&guest[1]);
	assert_int_equal(p2m_harvest(&guest[1], GFN(0), 32), 2);
	p2m_unlock(&guest[1]);
	flush_space(&guest[1]);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Never-touched pages, read or not, are not read by us and save nothing. */
static void untouched(void **state)
{
	(void)state;
	make_guest(1, 1, 64);
	for (unsigned g = 0; g < 32; g++)
		assert_int_equal(peek(1, g, 0), 0);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	assert_int_equal(mm_stats().pages_saved, 0);
}

static void random_page(domid_t d, uint64_t gfn)
{
	uint64_t r = env_random() >> 7;

	switch (r % 8) {
	case 0: /* written, and zero again */
		poke(d, gfn, 9, 1);
		for (unsigned i = 0; i < 512; i++)
			if (peek(d, gfn, i))
				poke(d, gfn, i, 0);
		break;
	case 1:
		for (unsigned i = 0; i < 512; i++)
			poke(d, gfn, i, ~UINT64_C(0));
		break;
	case 2:
	case 3:
	case 4: /* one of few contents */
		for (unsigned i = 0; i < 512; i++)
			poke(d, gfn, i, 1000 + (r >> 8) % 9);
		break;
	case 5: /* equal but for the last word */
		for (unsigned i = 0; i < 512; i++)
			poke(d, gfn, i, i < 511 ? 3 : (r >> 8) % 20);
		break;
	case 6:
		unique_page(d, gfn);
		break;
	default: /* nothing */
		break;
	}
}

static void random_guests(void)
{
	for (domid_t d = 1; d <= 5; d++)
		make_guest(d, d == 2 ? 1 : d == 4 ? 3 : d, 60);
	for (domid_t d = 1; d <= 5; d++)
		for (unsigned g = 0; g < 60; g++)
			random_page(d, g);
}

/* On random images, changed again and again, settling saves exactly what comparing all pages with
 * all others says: zeroes, ones, inside a guest and between guests of a group. */
static void equals_the_oracle(void **state)
{
	(void)state;
	random_guests();
	oracle_check_settled();
	assert_true(mm_stats().pages_saved > 50);
	assert_true(mm_stats().pages_zero && mm_stats().pages_ones && mm_stats().pages_sharing);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 40; i++)
			random_page((domid_t)(1 + env_random() % 5), env_random() % 60);
		oracle_check_settled();
	}
}

/* Slices of one page come to the same as whole passes. */
static void one_page_a_time(void **state)
{
	uint64_t passes;

	(void)state;
	random_guests();
	passes = mm_stats().full_scans + 4;
	while (mm_stats().full_scans < passes)
		assert_in_range(scan_slice(1), 0, 1); /* 0 where a pass ends */
	oracle_audit();
	assert_int_equal(mm_stats().pages_saved, oracle_saved());
}

/* A slice looks at no more than it was asked to. */
static void bounded(void **state)
{
	(void)state;
	random_guests();
	for (unsigned i = 1; i < 300; i++) {
		uint64_t passes = mm_stats().full_scans, used = scan_slice(i);

		assert_in_range(used, mm_stats().full_scans == passes, i); /* 0: the pass ended */
	}
	oracle_audit();
}

/* With a weak hash, where many contents share a fingerprint, sharing is still exact while no more
 * than eight contents of a group do. */
static void weak_hash(void **state)
{
	(void)state;
	hash_weaken(0x3f);
	random_guests();
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 40; i++)
			random_page((domid_t)(1 + env_random() % 5), env_random() % 60);
		oracle_check_settled();
	}
}

/* Pages under large leaves are read in place; only a match splits the leaf. */
static void large_leaves(void **state)
{
	(void)state;
	make_guest(1, 1, 2 * LARGE_PAGES);
	make_guest(2, 1, LARGE_PAGES);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(mm_populate_large(&guest[1], GFN(i * LARGE_PAGES)), MM_OK);
	assert_int_equal(mm_populate_large(&guest[2], GFN(0)), MM_OK);
	for (unsigned g = 0; g < LARGE_PAGES; g++) {
		unique_page(1, g);
		unique_page(1, LARGE_PAGES + g);
		unique_page(2, g);
	}
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 0);
	assert_int_equal(mm_stats().pages_unshared, 3 * LARGE_PAGES);
	assert_int_equal(space_stats(&guest[1]).large_leaves, 2);
	poke(2, 100, 0, peek(1, LARGE_PAGES + 50, 0));
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
	assert_int_equal(space_stats(&guest[1]).large_leaves, 1);
	assert_int_equal(space_stats(&guest[2]).large_leaves, 0);
}

/* A large leaf's dirty bit, too, is cleared before a flush: a CPU that may write without a walk
 * is made to walk, and its next write is seen. */
static void large_leaf_written_again(void **state)
{
	uint64_t flushes;

	(void)state;
	make_guest(1, 1, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	poke(1, 7, 0, 1);
	flushes = mm_stats().flushes;
	scan_slice(LARGE_PAGES);
	assert_int_equal(mm_stats().flushes, flushes + 1);
	poke(1, 7, 0, 2); /* the CPU was in guest mode all the time */
	assert_true(*p2m_find(&guest[1], GFN(7)).entry & mm.format->dirty_mask);
}

/* The same in slices that stop in the middle of a leaf, with writes between them. */
static void large_leaves_in_slices(void **state)
{
	(void)state;
	make_guest(1, 1, LARGE_PAGES);
	make_guest(2, 1, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	assert_int_equal(mm_populate_large(&guest[2], GFN(0)), MM_OK);
	for (unsigned round = 0; round < 200; round++) {
		poke((domid_t)(1 + env_random() % 2), env_random() % LARGE_PAGES, 7,
		     env_random() % 3);
		scan_slice(1 + env_random() % 300);
		if (round % 50 == 49)
			oracle_audit();
	}
	oracle_check_settled();
}

/* The domain under the cursor dies, and others before and after it: the scan goes on. */
static void death_under_the_cursor(void **state)
{
	(void)state;
	random_guests();
	for (domid_t d = 5; d >= 1; d -= 2) {
		while (mm_stats().full_scans < 3 || scan_slice(7) == 0)
			scan_slice(7);
		for (unsigned i = 0; i < 70 * d; i++)
			scan_slice(1);
		guest_leave_all();
		while (!space_destroy_step(&guest[d], 11))
			scan_slice(5);
		oracle_audit();
		if (d == 1)
			break;
	}
	oracle_check_settled();
	assert_true(mm_stats().pages_scanned > 0);
}

/* One scan engine at a time: whoever comes second gets nothing, at once. */
static void one_at_a_time(void **state)
{
	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	assert_true(lock_try(&mm.scan_lock, LOCK_SCAN));
	assert_int_equal(scan_slice(ALL), 0);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	assert_true(scan_slice(ALL) > 0);
}

/* Nothing to scan: nothing is done. */
static void no_guests(void **state)
{
	(void)state;
	assert_int_equal(scan_slice(ALL), 0);
	scan_settle();
	assert_int_equal(mm_stats().pages_scanned, 0);
}

/* A guest that never stops writing does not keep settle for ever. */
static void write_on(enum env_point p)
{
	if (p == POINT_SCAN_READ)
		poke(1, 3, 5, env_random());
}

static void settle_ends(void **state)
{
	(void)state;
	make_guest(1, 1, 32);
	unique_page(1, 3);
	unique_page(1, 4);
	host_on_point = write_on;
	scan_settle();
	assert_in_range(mm_stats().full_scans, 2, SCAN_SETTLE_PASSES);
}

static void policies(void **state)
{
	(void)state;
	assert_string_equal(scan_policy_name(), "dirty"); /* the default */
	assert_true(scan_set_policy("plain"));
	assert_false(scan_set_policy("plai"));
	assert_false(scan_set_policy("plainer"));
	assert_false(scan_set_policy(""));
}

/* clang-format off */
#define ALL_SOURCES(f)                                                                             \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                                       \
	{#f " by write protection", f, setup_protect, teardown, NULL},                             \
	{#f " by a log", f, setup_log, teardown, NULL}
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(quiet_interval),
	    ALL_SOURCES(hint_follows_the_page),
	    ALL_SOURCES(changed_after_the_read),
	    ALL_SOURCES(harvested_elsewhere),
	    ALL_SOURCES(hypervisor_writes),
	    ALL_SOURCES(untouched),
	    ALL_SOURCES(equals_the_oracle),
	    ALL_SOURCES(one_page_a_time),
	    ALL_SOURCES(bounded),
	    ALL_SOURCES(weak_hash),
	    ALL_SOURCES(large_leaves),
	    ALL_SOURCES(large_leaf_written_again),
	    ALL_SOURCES(large_leaves_in_slices),
	    ALL_SOURCES(death_under_the_cursor),
	    ALL_SOURCES(one_at_a_time),
	    ALL_SOURCES(no_guests),
	    ALL_SOURCES(settle_ends),
	    cmocka_unit_test_setup_teardown(policies, setup, teardown),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
