/* SPDX-License-Identifier: MIT */
/* What the tests of mm/shape.c share: guests on large leaves, and passes of the scanner. */
#ifndef TESTS_UNIT_SHAPE_TEST_H
#define TESTS_UNIT_SHAPE_TEST_H

#include "mm/quiet.h"
#include "mm/scan.h"
#include "mm/shape.h"
#include "tests/host/oracle.h"
#include "tests/unit/mm_test.h"

#define CPUS     4u
#define FRAMES   8192u
#define ALL      1000000u
#define GAIN     8u /* the knobs' standards */
#define PATIENCE 3u
#define REST     16u

static struct space guest[4]; /* by domain id */

/* ---- set up ---- */

static inline void start(uint64_t frames, uint64_t reserve, const struct pte_format *format,
                         bool log)
{
	host_start(&(struct host_config){
	    .frames = frames, .cpus = CPUS, .reserve = reserve, .format = format, .log = log});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	hash_weaken(~0u);
	memset(guest, 0, sizeof(guest));
}

static inline int setup(void **state)
{
	(void)state;
	start(FRAMES, 0, &toy_format, false);
	return 0;
}

static inline int setup_protect(void **state)
{
	(void)state;
	start(FRAMES, 0, &toy_format_no_dirty, false);
	return 0;
}

static inline int setup_log(void **state)
{
	(void)state;
	start(FRAMES, 0, &toy_format, true);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	host_on_point = NULL;
	guest_leave_all();
	host_stop();
	return 0;
}

static inline void put(domid_t d, uint64_t gfn, uint64_t value)
{
	assert_int_equal(guest_write(d, &guest[d], PAGE(gfn), value), VERDICT_RESUME);
}

static inline void zero(domid_t d, uint64_t gfn)
{
	put(d, gfn, 0);
}

/* A content that no other page has. */
static inline void unique(domid_t d, uint64_t gfn)
{
	put(d, gfn, BIT(40) | (uint64_t)d << 32 | gfn);
}

/* Regions of pages that differ from all others, on large leaves or on small ones. */
static inline void make(domid_t d, unsigned regions, bool large)
{
	make_space(&guest[d], d, regions * LARGE_PAGES);
	for (uint64_t r = 0; large && r < regions; r++)
		assert_int_equal(mm_populate_large(&guest[d], GFN(r * LARGE_PAGES)), MM_OK);
	for (uint64_t g = 0; g < regions * LARGE_PAGES; g++)
		unique(d, g);
}

static inline void set(const char *name, uint64_t value)
{
	const struct scan_knob *k = scan_find_knob(scan_policy(), name);

	assert_non_null(k);
	assert_true(scan_set_knob(k, value));
}

/* One pass; a log is seen when its CPU has come out. */
static inline void pass(void)
{
	uint64_t seen = mm_stats().full_scans;

	guest_leave_all();
	scan_slice(ALL);
	assert_int_equal(mm_stats().full_scans, seen + 1);
	audit_passes();
}

static inline void passes(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pass();
}

static inline uint64_t leaves(domid_t d)
{
	return space_stats(&guest[d]).large_leaves;
}

static inline uint64_t saved(void)
{
	return mm_stats().pages_saved;
}

/* So many pages of guest 2 become what some of guest 1 are. */
static inline void copies(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		put(2, 20 + i, BIT(40) | UINT64_C(1) << 32 | (100 + 3 * i));
}

/* clang-format off */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define ALL_SOURCES(f)                                                                             \
	T(f), {#f " by write protection", f, setup_protect, teardown, NULL},                       \
	{#f " by a log", f, setup_log, teardown, NULL}
/* clang-format on */

#endif
