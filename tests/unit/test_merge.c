/* SPDX-License-Identifier: MIT */
/*
 * Merging (mm/merge.c), driven by the scanner: what may become one frame and what
 * may not, and that no write is ever lost, whenever it comes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "mm/core.h"
#include "mm/flush.h"
#include "mm/hash.h"
#include "mm/index.h"
#include "mm/merge.h"
#include "mm/p2m.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/oracle.h"
#include "tests/host/toy_format.h"

#define GUEST_PAGES 64u

static struct space guest[5]; /* by domain id; 1 and 2 share, 3 is alone, 4 shares with 3 */

static void make_guest(domid_t d, uint16_t group, uint64_t min)
{
	struct space_config c = {.domid = d,
	                         .share_group = group,
	                         .memory_pages = GUEST_PAGES,
	                         .max_pages = GUEST_PAGES,
	                         .min_pages = min};

	assert_int_equal(space_create(&guest[d], &c), MM_OK);
}

static int setup_format(const struct pte_format *format)
{
	host_start(&(struct host_config){.frames = 1024, .cpus = 8, .format = format});
	hash_weaken(~0u);
	memset(guest, 0, sizeof(guest));
	make_guest(1, 1, 0);
	make_guest(2, 1, 0);
	make_guest(3, 3, 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_format(&toy_format);
}

static int setup_protect(void **state)
{
	(void)state;
	return setup_format(&toy_format_no_dirty);
}

static int teardown(void **state)
{
	(void)state;
	host_on_point = NULL;
	guest_leave_all();
	host_stop();
	return 0;
}

/* A page of one repeated word, written by the guest's own instructions on CPU d. */
static void fill(domid_t d, uint64_t gfn, uint64_t word)
{
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		assert_int_equal(guest_write(d, &guest[d], gfn * PAGE_SIZE + i * 8, word),
		                 VERDICT_RESUME);
}

static uint64_t word_at(domid_t d, uint64_t gfn, unsigned i)
{
	uint64_t v = 0;

	assert_int_equal(guest_read(d, &guest[d], gfn * PAGE_SIZE + i * 8, &v), VERDICT_RESUME);
	return v;
}

/* Word `changed` of the page has `value` (512: none), all others have `word`. */
static void check_page(domid_t d, uint64_t gfn, uint64_t word, unsigned changed, uint64_t value)
{
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		assert_int_equal(word_at(d, gfn, i), i == changed ? value : word);
}

static mfn_t frame_at_gfn(domid_t d, uint64_t gfn)
{
	return p2m_lookup(&guest[d], GFN(gfn)).mfn;
}

static enum p2m_type type_at(domid_t d, uint64_t gfn)
{
	return p2m_lookup(&guest[d], GFN(gfn)).type;
}

/* Two equal pages of two guests of a group become one frame with two references; one is freed. */
static void two_guests(void **state)
{
	uint64_t free;

	(void)state;
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	free = host_free_frames();
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
	assert_int_equal(host_free_frames(), free + 1);
	assert_true(mfn_eq(frame_at_gfn(1, 5), frame_at_gfn(2, 9)));
	assert_int_equal(frame_slot(frame_at(frame_at_gfn(1, 5))), 2);
	check_page(1, 5, 0xabcd, 512, 0);
	check_page(2, 9, 0xabcd, 512, 0);
}

/* Inside one guest; a third page joins the shared frame, a fourth that differs does not. */
static void one_guest(void **state)
{
	(void)state;
	fill(1, 1, 7);
	fill(1, 2, 7);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
	fill(1, 3, 7);
	fill(1, 4, 8);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 2);
	assert_int_equal(frame_slot(frame_at(frame_at_gfn(1, 3))), 3);
	assert_int_equal(type_at(1, 4), P2M_PRIVATE);
}

/* Many equal pages that become quiet in one slice: one frame for all. */
static void many_at_once(void **state)
{
	(void)state;
	for (unsigned g = 0; g < GUEST_PAGES; g++) {
		fill(1, g, 1 + g % 2);
		fill(2, g, 1 + g % 2);
	}
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 2 * GUEST_PAGES - 2);
	assert_int_equal(mm_stats().pages_shared, 2);
}

/* Zeroes and ones are shared by all, groups or not, and cost no frame at all. */
static void constants(void **state)
{
	(void)state;
	for (domid_t d = 1; d <= 3; d++) {
		fill(d, 1, 1);
		fill(d, 1, 0);
		fill(d, 2, ~UINT64_C(0));
	}
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 6);
	assert_int_equal(mm_stats().pages_zero, 3);
	assert_int_equal(mm_stats().pages_ones, 3);
	assert_int_equal(type_at(3, 1), P2M_ZERO);
	assert_int_equal(type_at(3, 2), P2M_ONES);
	fill(3, 2, 5);
	check_page(3, 2, 5, 512, 0);
	check_page(1, 2, ~UINT64_C(0), 512, 0);
}

/* Equal pages of two groups stay two frames, even if all fingerprints are equal. */
static void groups_never_meet(void **state)
{
	(void)state;
	hash_weaken(0);
	fill(1, 1, 7);
	fill(3, 1, 7);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 0);
	assert_int_equal(type_at(1, 1), P2M_PRIVATE);
	assert_int_equal(type_at(3, 1), P2M_PRIVATE);
}

/* With a constant hash, contents of one fingerprint stand side by side: still exact up to the eight
 * that the index keeps, and right beyond. */
static void constant_hash(void **state)
{
	(void)state;
	hash_weaken(0);
	for (unsigned g = 0; g < 6; g++) {
		fill(1, g, 100 + g);
		fill(2, g, 105 - g);
		fill(2, g + 6, 105 - g);
	}
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 12);
	for (unsigned g = 6; g < GUEST_PAGES; g++) {
		fill(1, g, 1000 + g);
		fill(3, g, 1000 + g);
	}
	scan_settle();
	oracle_audit();
	assert_true(mm_stats().hints_dropped > 0);
	for (unsigned g = 6; g < GUEST_PAGES; g++) {
		check_page(1, g, 1000 + g, 512, 0);
		check_page(3, g, 1000 + g, 512, 0);
	}
}

/* A pinned page is not merged; once unpinned, it is. */
static void pinned(void **state)
{
	void *p;

	(void)state;
	fill(1, 1, 7);
	fill(2, 1, 7);
	assert_int_equal(mm_pin(&guest[2], GFN(1), &p), MM_OK);
	scan_settle();
	assert_int_equal(mm_stats().pages_saved, 0);
	mm_unpin(&guest[2], GFN(1));
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* A page that holds a guest's page tables stays out for a while. */
static void guest_table(void **state)
{
	(void)state;
	fill(1, 1, 7);
	fill(2, 1, 7);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
	assert_int_equal(guest_walk_write(2, &guest[2], PAGE_SIZE, 7), VERDICT_RESUME);
	assert_true(p2m_lookup(&guest[2], GFN(1)).guest_table);
	for (unsigned i = 0; i < 1000 && p2m_lookup(&guest[2], GFN(1)).guest_table; i++)
		scan_slice(4096);
	assert_false(p2m_lookup(&guest[2], GFN(1)).guest_table);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Two flushes for each space and batch, whatever the batch holds. */
static uint64_t flushes_before;
static unsigned batches;

static void count_batches(enum env_point p)
{
	if (p == POINT_MERGE_PROTECTED && !batches++)
		flushes_before = counter_read(&mm.count.flushes); /* the scan lock is held */
}

static void two_flushes(void **state)
{
	(void)state;
	for (unsigned g = 0; g < 32; g++) {
		fill(1, g, 50 + g);
		fill(2, g, 50 + g);
	}
	scan_slice(4096); /* clears the dirty bits */
	batches = 0;
	host_on_point = count_batches;
	scan_slice(4096);
	host_on_point = NULL;
	assert_int_equal(mm_stats().pages_saved, 32);
	assert_int_equal(batches, 1);
	assert_true(mm_stats().flushes - flushes_before <= 4);
}

/* ---- writers ---- */

static struct {
	enum env_point at;
	domid_t domain;
	uint64_t gfn;
	bool struck;
	pthread_t thread;
} strike;

static void *strike_thread(void *arg)
{
	(void)arg;
	host_set_cpu(strike.domain);
	host_on_kick = guest_kicked_flag;
	assert_int_equal(guest_write(strike.domain, &guest[strike.domain],
	                             strike.gfn * PAGE_SIZE + 8 * 33, 0x5757),
	                 VERDICT_RESUME);
	guest_leave(strike.domain);
	return NULL;
}

/* At the compare the locks are held: the write must wait for them, so it has a thread. */
static void on_point(enum env_point p)
{
	if (p != strike.at || strike.struck)
		return;
	strike.struck = true;
	if (p == POINT_MERGE_COMPARED)
		pthread_create(&strike.thread, NULL, strike_thread, NULL);
	else
		assert_int_equal(guest_write(strike.domain, &guest[strike.domain],
		                             strike.gfn * PAGE_SIZE + 8 * 33, 0x5757),
		                 VERDICT_RESUME);
}

/* One write at `at` into page `gfn` of `domain`, TLBs warm or not: it is there afterwards and only
 * there. Then all is quiet, and sharing is exact again. */
static void strike_once(enum env_point at, domid_t domain, bool warm, uint64_t seed)
{
	host_seed((seed + 1) * UINT64_C(0x9e3779b97f4a7c15));
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	if (at != POINT_SCAN_READ)
		scan_slice(4096);
	if (warm) {
		word_at(1, 5, 33);
		word_at(2, 9, 33);
	} else {
		guest_leave_all();
	}
	strike.at = at;
	strike.domain = domain;
	strike.gfn = domain == 1 ? 5 : 9;
	strike.struck = false;
	if (at == POINT_MERGE_COMPARED)
		guest_leave_all();
	host_on_point = on_point;
	for (unsigned i = 0; i < 4 && !strike.struck; i++)
		scan_slice(4096);
	host_on_point = NULL;
	assert_true(strike.struck);
	if (at == POINT_MERGE_COMPARED)
		pthread_join(strike.thread, NULL);
	host_on_kick = guest_kicked;
	check_page(1, 5, 0xabcd, domain == 1 ? 33 : 512, 0x5757);
	check_page(2, 9, 0xabcd, domain == 2 ? 33 : 512, 0x5757);
	oracle_check_settled();
}

static void writers(void **state)
{
	static const enum env_point points[] = {POINT_SCAN_READ, POINT_MERGE_PROTECTED,
	                                        POINT_MERGE_FLUSHED, POINT_MERGE_COMPARED,
	                                        POINT_MERGE_SWITCHED};

	(void)state;
	for (unsigned p = 0; p < ARRAY_SIZE(points); p++)
		for (domid_t d = 1; d <= 2; d++)
			for (unsigned warm = 0; warm < 2; warm++)
				for (uint64_t seed = 0; seed < 4; seed++)
					strike_once(points[p], d, warm, seed);
}

/* A write that changes nothing takes the protection off all the same: the merge gives up, and does
 * not switch a writable leaf. */
static void write_equal(enum env_point p)
{
	if (p == POINT_MERGE_FLUSHED)
		assert_int_equal(guest_write(1, &guest[1], 5 * PAGE_SIZE, 0xabcd), VERDICT_RESUME);
}

static void writer_of_the_same(void **state)
{
	(void)state;
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	scan_slice(4096);
	host_on_point = write_equal;
	scan_slice(4096);
	scan_slice(4096);
	host_on_point = NULL;
	assert_int_equal(mm_stats().merges_given_up, 1);
	assert_int_equal(mm_stats().pages_saved, 0);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Both pages are written alike after the last look at their dirty bits, the moment before they
 * are protected. They are equal when compared, but no longer what was fingerprinted. */
static void written_before_protected(void **state)
{
	struct merge_page page = {.gfn = GFN(9)};
	struct index_match match = {.owner = 1, .gfn = 5};

	(void)state;
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	guest_leave_all();
	for (domid_t d = 1; d <= 2; d++) {
		p2m_lock(&guest[d]);
		p2m_harvest(&guest[d], GFN(0), GUEST_PAGES);
		p2m_unlock(&guest[d]);
		flush_space(&guest[d]);
	}
	page.mfn = frame_at_gfn(2, 9);
	match.mfn = frame_at_gfn(1, 5);
	page.fingerprint = hash_fingerprint(env_frame(page.mfn), 1);
	lock_take(&mm.scan_lock, LOCK_SCAN);
	p2m_lock(&guest[1]);
	frame_clear_flag(frame_at(match.mfn), FRAME_STALE);
	index_insert_hint(match.mfn, page.fingerprint, 1);
	p2m_unlock(&guest[1]);
	p2m_lock(&guest[2]);
	frame_clear_flag(frame_at(page.mfn), FRAME_STALE);
	p2m_unlock(&guest[2]);
	for (domid_t d = 1; d <= 2; d++) /* leaves that are writable: no fault, no lock */
		assert_int_equal(guest_write(d, &guest[d], (d == 1 ? 5 : 9) * PAGE_SIZE, 0x5757),
		                 VERDICT_RESUME);
	p2m_lock(&guest[2]);
	(void)merge_add(&guest[2], page, match);
	p2m_unlock(&guest[2]);
	assert_int_equal(merge_commit(), 0);
	assert_int_equal(merge_commit(), 0); /* nothing was begun since */
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	oracle_audit();
	/* Neither waits for the next write's fault, and the old hint stands in nobody's way. */
	assert_true(p2m_lookup(&guest[1], GFN(5)).access & PTE_W);
	assert_true(p2m_lookup(&guest[2], GFN(9)).access & PTE_W);
	check_page(1, 5, 0xabcd, 0, 0x5757);
	check_page(2, 9, 0xabcd, 0, 0x5757);
	oracle_check_settled();
}

/* Both pages change alike after they were fingerprinted: equal when compared, but the fingerprint
 * is that of the old content, and must not become a shared entry's (invariant 5). */
static unsigned reads;

static void write_both(enum env_point p)
{
	if (p != POINT_SCAN_READ || ++reads % 2)
		return;
	for (domid_t d = 1; d <= 2; d++)
		assert_int_equal(guest_write(d, &guest[d], (d == 1 ? 5 : 9) * PAGE_SIZE, reads),
		                 VERDICT_RESUME);
}

static void both_change(void **state)
{
	(void)state;
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	scan_slice(4096);
	reads = 0;
	host_on_point = write_both;
	for (unsigned i = 0; i < 4; i++) {
		scan_slice(4096);
		oracle_audit();
	}
	host_on_point = NULL;
	assert_int_equal(word_at(1, 5, 0), word_at(2, 9, 0));
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* The second flush: a CPU that goes on reading in guest mode, with the page in its TLB since after
 * the first one, sees the right bytes when the old frame has been freed and scrubbed. */
static void read_both(enum env_point p)
{
	if (p != POINT_MERGE_FLUSHED)
		return;
	assert_int_equal(word_at(1, 5, 1), 0xabcd);
	assert_int_equal(word_at(2, 9, 1), 0xabcd);
	assert_true(guest_inside(1, &guest[1]) && guest_inside(2, &guest[2]));
}

static void readers_see_the_survivor(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 9; seed++) {
		host_seed(seed * UINT64_C(0x9e3779b97f4a7c15));
		fill(1, 5, 0xabcd);
		fill(2, 9, 0xabcd);
		host_on_point = read_both;
		scan_settle();
		host_on_point = NULL;
		assert_int_equal(mm_stats().pages_saved, 1);
		check_page(1, 5, 0xabcd, 512, 0);
		check_page(2, 9, 0xabcd, 512, 0);
	}
}

/* Writing the same value is a write too: the page goes on being right and merges later. */
static void same_value(void **state)
{
	(void)state;
	fill(1, 5, 0xabcd);
	fill(2, 9, 0xabcd);
	oracle_check_settled();
	fill(1, 5, 0xabcd);
	assert_int_equal(mm_stats().pages_saved, 0);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Either frame may survive: over many merges both do. */
static void random_survivor(void **state)
{
	unsigned first = 0;

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		mfn_t mine;

		fill(1, 5, 100 + i);
		fill(2, 9, 100 + i);
		mine = frame_at_gfn(1, 5);
		oracle_check_settled();
		first += mfn_eq(frame_at_gfn(1, 5), mine);
	}
	assert_in_range(first, 4, 28);
}

/* A merge that invariant 11 forbids is given up and leaves a writable page; with one frame more it
 * is made. */
static void no_merge_without_funding(void **state)
{
	mfn_t taken[1024], last = MFN_NONE;
	unsigned n = 0;

	(void)state;
	host_on_point = NULL;
	assert_int_equal(GUEST_PAGES % 2, 0);
	make_guest(4, 4, GUEST_PAGES);
	for (unsigned g = 0; g < GUEST_PAGES; g++)
		fill(4, g, 100 + g / 2);
	while (mfn_valid(last = frame_alloc(0, FRAME_HYPERVISOR, 0)))
		taken[n++] = last;
	scan_settle();
	oracle_audit();
	assert_true(mm_stats().merges_given_up > 0);
	assert_int_equal(mm_stats().pages_saved, 0);
	/* Where pages are write-protected to be watched, they stay so: they are unchanged. */
	assert_int_equal(p2m_lookup(&guest[4], GFN(0)).access & PTE_W,
	                 mm_dirty_source() == DIRTY_PROTECT ? 0 : PTE_W);
	while (n)
		frame_free(taken[--n], 0);
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, GUEST_PAGES / 2);
}

/* Nothing is left behind: when the guests are gone, so are shared frames and index entries. */
static void no_leaks(void **state)
{
	uint64_t free;

	(void)state;
	teardown(state);
	host_start(&(struct host_config){.frames = 1024, .cpus = 8});
	free = host_free_frames();
	make_guest(1, 1, 0);
	make_guest(2, 1, 0);
	for (unsigned g = 0; g < 20; g++) {
		fill(1, g, g / 3);
		fill(2, g, g / 4);
	}
	oracle_check_settled();
	assert_true(mm_stats().pages_saved > 20);
	guest_leave_all();
	for (domid_t d = 1; d <= 2; d++)
		while (!space_destroy_step(&guest[d], 7))
			oracle_audit();
	assert_int_equal(host_free_frames(), free);
	assert_int_equal(index_stats().shared + index_stats().hints, 0);
	oracle_audit();
}

#define BOTH(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                                       \
	{                                                                                          \
#f " by write protection", f, setup_protect, teardown, NULL                        \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(two_guests),
	    BOTH(one_guest),
	    BOTH(many_at_once),
	    BOTH(constants),
	    BOTH(groups_never_meet),
	    BOTH(constant_hash),
	    BOTH(pinned),
	    BOTH(guest_table),
	    cmocka_unit_test_setup_teardown(two_flushes, setup, teardown),
	    BOTH(writers),
	    BOTH(writer_of_the_same),
	    BOTH(written_before_protected),
	    BOTH(both_change),
	    BOTH(readers_see_the_survivor),
	    BOTH(same_value),
	    BOTH(random_survivor),
	    BOTH(no_merge_without_funding),
	    BOTH(no_leaks),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
