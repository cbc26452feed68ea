/* SPDX-License-Identifier: MIT */
/* What the tests of scan policies share: two guests, passes and what they came to. */
#ifndef TESTS_UNIT_POLICIES_TEST_H
#define TESTS_UNIT_POLICIES_TEST_H

#include "mm/scan.h"
#include "tests/host/oracle.h"
#include "tests/unit/mm_test.h"

#define ALL 1000000u

static struct space guest[3]; /* by domain id */

static inline int setup_format(const struct pte_format *format)
{
	host_start(&(struct host_config){.frames = 8192, .cpus = 8, .format = format});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	hash_weaken(~0u);
	memset(guest, 0, sizeof(guest));
	return 0;
}

static inline int setup(void **state)
{
	(void)state;
	return setup_format(&toy_format);
}

static inline int setup_no_dirty(void **state)
{
	(void)state;
	return setup_format(&toy_format_no_dirty);
}

static inline int teardown(void **state)
{
	(void)state;
	host_on_point = NULL;
	guest_leave_all();
	host_stop();
	return 0;
}

/* A page of this domain with this content; 0 is no page's. */
static inline void page_is(domid_t d, uint64_t gfn, uint64_t content)
{
	guest_puts(&guest[d], PAGE(gfn) + 8, content);
}

static inline void two_guests(uint64_t pages)
{
	make_space(&guest[1], 1, pages);
	make_space(&guest[2], 2, pages);
}

static inline void use(const char *name)
{
	assert_true(scan_set_policy(name));
	assert_string_equal(scan_policy_name(), name);
}

static inline void set(const char *name, uint64_t value)
{
	const struct scan_knob *k = scan_find_knob(scan_policy(), name);

	assert_non_null(k);
	assert_true(scan_set_knob(k, value));
}

/* What one whole pass of the policy in use came to. */
static inline struct scan_counts pass(void)
{
	const struct scan_policy *p = scan_policy();
	struct scan_counts a = scan_counts(p), b;

	do {
		scan_slice(ALL);
		b = scan_counts(p);
	} while (b.passes == a.passes);
	return (struct scan_counts){
	    .passes = b.passes - a.passes,
	    .scanned = b.scanned - a.scanned,
	    .skipped = b.skipped - a.skipped,
	    .read = b.read - a.read,
	    .gated = b.gated - a.gated,
	    .sought = b.sought - a.sought,
	    .compared = b.compared - a.compared,
	    .merged = b.merged - a.merged,
	    .modelled = b.modelled - a.modelled,
	};
}

/* Whether this page of a guest is in the index. */
static inline bool hinted(domid_t d, uint64_t gfn)
{
	return frame_flag(frame_at(p2m_lookup(&guest[d], GFN(gfn)).mfn), FRAME_INDEXED);
}

#define BOTH(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                                       \
	{                                                                                          \
#f " without dirty bits", f, setup_no_dirty, teardown, NULL                        \
	}

#endif
