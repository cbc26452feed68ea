/* SPDX-License-Identifier: MIT */
/*
 * Pages with page tables of a guest (mm/guest_table.c) do not thrash: however often walks write to
 * them, there is at most one break in each back-off, and each back-off of a page is about twice as
 * long as its last. Held against a guest that walks as often as is worst: whenever its
 * page may have been merged again.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "mm/guest_table.h"
#include "mm/hash.h"
#include "mm/scan.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/toy_format.h"

#define GUESTS 3u
#define ROUNDS 300u
#define PASSES 4u /* of the scanner between two walks: enough to merge a page */
#define TABLE  5u /* the guest frame that holds a table */
#define ALL    1000000u

static struct space guest[GUESTS + 1];

static int setup(void **state)
{
	(void)state;
	host_start(
	    &(struct host_config){.frames = 4096, .cpus = GUESTS + 1, .format = &toy_format});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	memset(guest, 0, sizeof(guest));
	for (domid_t d = 1; d <= GUESTS; d++) {
		struct space_config c = {
		    .domid = d, .share_group = 1, .memory_pages = 64, .max_pages = 64};

		assert_int_equal(space_create(&guest[d], &c), MM_OK);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_leave_all();
	host_stop();
	return 0;
}

static void put(domid_t d, unsigned word, uint64_t value)
{
	assert_int_equal(guest_write(d, &guest[d], TABLE * PAGE_SIZE + word * 8, value),
	                 VERDICT_RESUME);
}

/* The CPU sets an accessed bit that is set already: the content stays as it is. */
static void walk(domid_t d, uint64_t value)
{
	assert_int_equal(guest_walk_write(d, &guest[d], TABLE * PAGE_SIZE, value), VERDICT_RESUME);
}

static void passes(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		scan_slice(ALL);
}

/* Each break of the page behind its first has the end of a back-off before it, and ages grow by
 * one. Returns the breaks in the log. */
static unsigned breaks_in_log(domid_t d)
{
	struct guest_table_event e;
	bool marked = false;
	unsigned breaks = 0, age = 0;
	uint64_t n = 0;

	while (guest_table_next(&n, &e)) {
		if (e.domid != d)
			continue;
		assert_int_equal(e.gfn.n, TABLE);
		if (e.what == GUEST_TABLE_OVER) {
			assert_true(marked);
			assert_int_equal(e.age, age);
			marked = false;
			continue;
		}
		assert_false(marked);
		assert_int_equal(e.age, age < 15 ? age + 1 : 15);
		age = e.age;
		marked = true;
		breaks += e.what != GUEST_TABLE_PROTECTED;
	}
	return breaks;
}

/*
 * At the age a page stays for 2^a passes in which it was not written, in the mean; three of
 * four passes are such. So of 300 rounds a page can be broken in about log2(900), ten. Without
 * a back-off it would be in each, with one that does not grow in every second.
 */
static void thrash(domid_t d, uint64_t value)
{
	uint64_t before = guest[d].stats.table_breaks;
	unsigned breaks;

	for (unsigned i = 0; i < ROUNDS; i++) {
		passes(PASSES);
		walk(d, value);
	}
	breaks = (unsigned)(guest[d].stats.table_breaks - before);
	assert_in_range(breaks, 3, 14);
	assert_int_equal(breaks_in_log(d), breaks);
}

static void two_guests_with_one_table(void **state)
{
	(void)state;
	for (domid_t d = 1; d <= 2; d++)
		put(d, 0, 77);
	thrash(2, 77);
}

/* The merge is with a frame that others go on to share: they know nothing of the page's age. */
static void one_of_many(void **state)
{
	(void)state;
	for (domid_t d = 1; d <= GUESTS; d++)
		put(d, 0, 77);
	thrash(2, 77);
	assert_int_equal(guest[1].stats.table_breaks + guest[3].stats.table_breaks, 0);
}

/* A table without an entry is a page of zeroes: the constant frame knows no ages. */
static void empty_table(void **state)
{
	(void)state;
	put(1, 0, 1);
	put(1, 0, 0);
	thrash(1, 0);
}

/* A page that is left alone is merged again: a back-off ends. And other pages are merged all the
 * while. */
static void back_offs_end(void **state)
{
	struct guest_table_event e;
	uint64_t n = 0;

	(void)state;
	for (domid_t d = 1; d <= 2; d++) {
		put(d, 0, 77);
		assert_int_equal(guest_write(d, &guest[d], 9 * PAGE_SIZE, 99), VERDICT_RESUME);
	}
	passes(PASSES);
	walk(2, 77);
	assert_int_equal(mm_stats().pages_saved, 1);
	passes(40);
	assert_int_equal(mm_stats().pages_saved, 2);
	assert_true(guest_table_next(&n, &e) && e.what == GUEST_TABLE_BROKE && e.age == 1);
	assert_true(guest_table_next(&n, &e) && e.what == GUEST_TABLE_OVER && e.domid == 2);
	assert_int_equal(n, 2);
	assert_false(guest_table_next(&n, &e));
}

/* When a back-off is over the age is remembered by the page's name: of the last domain id, too. */
static void any_domain_is_remembered(void **state)
{
	static struct space last;
	struct space_config c = {
	    .domid = MM_MAX_SPACES - 1, .share_group = 1, .memory_pages = 64, .max_pages = 64};
	struct guest_table_event e;
	uint64_t n = 0;
	mfn_t mfn;

	(void)state;
	assert_int_equal(space_create(&last, &c), MM_OK);
	assert_int_equal(guest_write(0, &last, TABLE * PAGE_SIZE, 5), VERDICT_RESUME);
	mfn = p2m_lookup(&last, GFN(TABLE)).mfn;
	p2m_lock(&last);
	guest_table_found(&last, GFN(TABLE), mfn, 3, GUEST_TABLE_PROTECTED);
	while (guest_table_rests(&last, GFN(TABLE), mfn))
		;
	guest_table_found(&last, GFN(TABLE), mfn, 0, GUEST_TABLE_PROTECTED);
	p2m_unlock(&last);
	while (guest_table_next(&n, &e))
		;
	assert_int_equal(e.age, 5); /* 4, and one more */
	guest_leave_all();
}

/* The log keeps the newest; who asks for older ones gets the oldest that is there. */
static void the_log_forgets(void **state)
{
	struct guest_table_event e;
	uint64_t n = 0, kept = 0;
	mfn_t mfn;

	(void)state;
	put(1, 0, 5);
	mfn = p2m_lookup(&guest[1], GFN(TABLE)).mfn;
	p2m_lock(&guest[1]);
	for (unsigned i = 0; i < 5000; i++)
		guest_table_found(&guest[1], GFN(i), mfn, 0, GUEST_TABLE_PROTECTED);
	p2m_unlock(&guest[1]);
	for (; guest_table_next(&n, &e); kept++)
		assert_int_equal(e.gfn.n, n - 1);
	assert_int_equal(n, 5000);
	assert_int_equal(kept, 4096);
	assert_int_equal(guest[1].stats.table_breaks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(two_guests_with_one_table, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_of_many, setup, teardown),
	    cmocka_unit_test_setup_teardown(empty_table, setup, teardown),
	    cmocka_unit_test_setup_teardown(back_offs_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_domain_is_remembered, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_log_forgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
