/* SPDX-License-Identifier: MIT */
/* What the tests of quiet regions (test_quiet.c) and of dirty sources (test_dirty.c) share. */
#ifndef TESTS_UNIT_QUIET_TEST_H
#define TESTS_UNIT_QUIET_TEST_H

#include "tests/unit/mm_test.h"
#include "mm/dirty.h"
#include "mm/flush.h"
#include "mm/quiet.h"
#include "mm/scan.h"
#include "tests/host/oracle.h"

#define CPUS    3u
#define REGIONS 4u
#define ALL     1000000u
#define HERE    (LARGE_PAGES + 7) /* a page of region 1 */
#define TWIN    (3 * LARGE_PAGES + 9)

static struct space s, other;

/* ---- policies of our own: the plain one, and two that get in the way ---- */

static bool refuse;             /* no page is quiet enough */
static struct scan_cursor jump; /* where the next slice begins, if domid is set */

static inline bool test_next(struct scan_cursor *at, const struct scan_pass *last)
{
	(void)last;
	if (jump.domid)
		*at = jump;
	jump.domid = 0;
	return true;
}

static inline void test_written(struct frame *f)
{
	(void)f;
}

static inline bool test_quiet(struct frame *f)
{
	(void)f;
	return !refuse;
}

static const struct scan_policy test_policy = {
    .name = "test", .next = test_next, .written = test_written, .quiet = test_quiet};
static const struct scan_policy second_policy = {
    .name = "second", .next = test_next, .written = test_written, .quiet = test_quiet};
const struct scan_policy *const scan_policies[] = {&test_policy, &second_policy, NULL};
const struct scan_policy *const scan_settler = &test_policy;

/* ---- set up ---- */

static inline int setup_format(const struct pte_format *format, bool log)
{
	host_start(
	    &(struct host_config){.frames = 8192, .cpus = CPUS, .format = format, .log = log});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	hash_weaken(~0u);
	refuse = false;
	jump.domid = 0;
	memset(&s, 0, sizeof(s));
	memset(&other, 0, sizeof(other));
	make_space(&s, 1, REGIONS * LARGE_PAGES);
	return 0;
}

static inline int setup(void **state)
{
	(void)state;
	return setup_format(&toy_format, false);
}

static inline int setup_protect(void **state)
{
	(void)state;
	return setup_format(&toy_format_no_dirty, false);
}

static inline int setup_log(void **state)
{
	(void)state;
	return setup_format(&toy_format, true);
}

static inline int teardown(void **state)
{
	(void)state;
	guest_leave_all();
	host_stop();
	return 0;
}

/* A content that no other page has. */
static inline void put_unique(unsigned cpu, uint64_t gfn)
{
	assert_int_equal(guest_write(cpu, &s, PAGE(gfn), BIT(40) | gfn), VERDICT_RESUME);
}

/* Pages 0, 8, 16, ... of each region. */
static inline void fill(void)
{
	for (uint64_t g = 0; g < REGIONS * LARGE_PAGES; g += 8)
		put_unique(0, g);
	put_unique(0, HERE);
	put_unique(0, TWIN);
}

static inline uint64_t *over(uint64_t gfn)
{
	return p2m_find_over(&s, GFN(gfn));
}

static inline enum quiet_mark mark(uint64_t gfn)
{
	return quiet_mark_of(*over(gfn));
}

/* What one pass comes to. */
struct pass {
	uint64_t scanned, passed, read, used;
};

static inline struct pass one_pass(void)
{
	struct mm_stats a = mm_stats(), b;
	struct pass p = {.used = scan_slice(ALL)};

	b = mm_stats();
	assert_int_equal(b.full_scans, a.full_scans + 1);
	p.scanned = b.pages_scanned - a.pages_scanned;
	p.passed = b.pages_passed - a.pages_passed;
	p.read = b.pages_fingerprinted - a.pages_fingerprinted;
	audit_passes();
	return p;
}

static inline void calm_down(void)
{
	scan_settle();
	one_pass();
	assert_int_equal(one_pass().scanned, 0);
}

#endif
