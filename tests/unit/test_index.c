/* SPDX-License-Identifier: MIT */
/* The index (mm/index.c), alone: the frame table, the spaces and the locks are this file's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "mm/core.h"
#include "mm/index.h"

#define FRAMES  256u
#define BUCKETS 4u

static struct frame frames[FRAMES];
static uint32_t buckets[BUCKETS];
static struct space spaces[4];
static unsigned locks_held;
struct mm_core mm;

struct space *space_find(domid_t domid)
{
	return domid && domid < ARRAY_SIZE(spaces) ? &spaces[domid] : NULL;
}

/* One bucket lock at a time, and none is left behind. */
void lock_take(struct spinlock *l, unsigned rank)
{
	assert_int_equal(rank, LOCK_BUCKET);
	assert_int_equal(locks_held++, 0);
	(void)l;
}

void lock_drop(struct spinlock *l, unsigned rank)
{
	assert_int_equal(rank, LOCK_BUCKET);
	assert_int_equal(locks_held--, 1);
	(void)l;
}

void env_panic(const char *fmt, ...)
{
	(void)fmt;
	mock_assert(0, "panic", __FILE__, __LINE__);
	__builtin_unreachable();
}

static mfn_t private_frame(uint64_t n, domid_t owner)
{
	atomic_store(&frames[n].owner, owner);
	atomic_store(&frames[n].slot, (uint32_t)(1000 + n));
	atomic_store(&frames[n].bits, FRAME_PRIVATE);
	return MFN(n);
}

static int setup(void **state)
{
	(void)state;
	memset(frames, 0, sizeof(frames));
	memset(buckets, 0, sizeof(buckets));
	mm.frames = frames;
	mm.nr_frames = FRAMES;
	for (domid_t d = 1; d < ARRAY_SIZE(spaces); d++) {
		spaces[d].domid = d;
		spaces[d].share_group = d == 3 ? 2 : d; /* 2 and 3 share */
	}
	locks_held = 0;
	index_init(buckets, BUCKETS);
	return 0;
}

static void count_entry(mfn_t mfn, void *arg)
{
	unsigned *n = arg;

	assert_true(mfn_valid(mfn));
	(*n)++;
}

/* The entries that a walk finds are those that the counters say. */
static void check_counts(unsigned shared, unsigned hints)
{
	unsigned n = 0;

	index_each(count_entry, &n);
	assert_int_equal(n, shared + hints);
	assert_int_equal(index_stats().shared, shared);
	assert_int_equal(index_stats().hints, hints);
	assert_int_equal(locks_held, 0);
}

/* A hint is found by fingerprint and group, with its owner and guest frame; looking changes
 * nothing. */
static void hint_is_found(void **state)
{
	struct index_found found;

	(void)state;
	assert_true(index_insert_hint(private_frame(9, 1), 0x1234, 1));
	for (unsigned i = 0; i < 2; i++) {
		found = index_lookup(0x1234, 1);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.match[0].mfn.n, 9);
		assert_int_equal(found.match[0].owner, 1);
		assert_int_equal(found.match[0].gfn, 1009);
		assert_false(found.match[0].shared);
	}
	assert_int_equal(index_lookup(0x1234, 2).n, 0);
	assert_int_equal(index_lookup(0x1235, 1).n, 0);
	assert_int_equal(index_lookup_shared(0x1234, 1).n, 0);
	check_counts(0, 1);
}

/* Thirty in four buckets share chains; each is taken out from any place of its chain. */
static void chains(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 3; order++) {
		setup(state);
		for (unsigned i = 1; i <= 30; i++)
			assert_true(index_insert_hint(private_frame(i, 1), i, 1));
		check_counts(0, 30);
		for (unsigned i = 1; i <= 30; i++) {
			unsigned n = order == 0 ? i : order == 1 ? 31 - i : 1 + i * 7 % 31 % 30;

			index_remove(MFN(n));
			index_remove(MFN(n)); /* not there: nothing */
		}
		for (unsigned i = 1; i <= 30; i++)
			index_remove(MFN(i));
		check_counts(0, 0);
		for (unsigned b = 0; b < BUCKETS; b++)
			assert_int_equal(buckets[b], 0);
	}
}

/* Fingerprints that are equal steps apart, as those of pages that count up, spread over all buckets. */
static void steps_spread(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 26; bit++) {
		setup(state);
		for (uint32_t i = 1; i < 64; i++)
			assert_true(index_insert_hint(private_frame(i, 1), i << bit, 1));
		for (unsigned b = 0; b < BUCKETS; b++) {
			unsigned n = 0;

			for (uint32_t m = buckets[b]; m; m = frames[m].link)
				n++;
			assert_in_range(n, 1, 63 / 2);
		}
	}
}

/*
 * To ask the cache for a chain changes nothing. It goes along it: the bucket, the record of each
 * frame, newest first, and then, again and again, that of frame 0.
 */
static void asking(void **state)
{
	index_ask_t at;

	(void)state;
	assert_true(index_insert_hint(private_frame(9, 1), 7, 1));
	assert_true(index_insert_hint(private_frame(5, 1), 7, 1));
	at = index_ask(7);
	assert_in_range((uintptr_t)at, (uintptr_t)buckets, (uintptr_t)&buckets[BUCKETS - 1]);
	at = index_ask_next(at);
	assert_ptr_equal(at, &frames[5].link);
	at = index_ask_next(at);
	assert_ptr_equal(at, &frames[9].link);
	for (unsigned i = 0; i < 2; i++) {
		at = index_ask_next(at);
		assert_ptr_equal(at, &frames[0].link);
	}
	assert_int_equal(index_lookup(7, 1).n, 2);
	check_counts(0, 2);
}

/* A frame that is put in again moves to its new fingerprint. */
static void insert_replaces(void **state)
{
	(void)state;
	index_insert_hint(private_frame(5, 1), 1, 1);
	index_insert_hint(MFN(5), 2, 1);
	assert_int_equal(index_lookup(1, 1).n, 0);
	assert_int_equal(index_lookup(2, 1).n, 1);
	check_counts(0, 1);
}

/* Of one fingerprint and group there are at most eight; the ninth replaces the oldest hint, which
 * is counted. Another group has eight of its own. */
static void at_most_eight(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 9; i++)
		assert_true(index_insert_hint(private_frame(i, 1), 7, 1));
	for (unsigned i = 11; i <= 18; i++)
		assert_true(index_insert_hint(private_frame(i, 2), 7, 2));
	assert_int_equal(index_lookup(7, 1).n, INDEX_SAME_MAX);
	assert_int_equal(index_lookup(7, 2).n, INDEX_SAME_MAX);
	assert_int_equal(index_stats().hints_dropped, 1);
	assert_false(frame_flag(&frames[1], FRAME_INDEXED));
	assert_int_equal(index_lookup(7, 1).match[0].mfn.n, 9); /* newest first */
	check_counts(0, 16);
}

/* Shared entries are never replaced: with eight of them a hint is refused, and counted. */
static void shared_stay(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 8; i++)
		index_insert_shared(private_frame(i, 1), 7, 1, 2);
	assert_false(index_insert_hint(private_frame(20, 1), 7, 1));
	assert_int_equal(index_stats().hints_dropped, 1);
	assert_int_equal(index_lookup_shared(7, 1).n, INDEX_SAME_MAX);
	check_counts(8, 0);
}

/* A shared entry makes the oldest hint go when there is no room. */
static void shared_replaces_a_hint(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 8; i++)
		index_insert_hint(private_frame(i, 1), 7, 1);
	index_insert_shared(private_frame(20, 1), 7, 1, 2);
	assert_false(frame_flag(&frames[1], FRAME_INDEXED));
	check_counts(1, 7);
}

/* A stale hint is not found, and is dropped by its own verb only; a fresh one is not dropped. */
static void stale(void **state)
{
	(void)state;
	index_insert_hint(private_frame(5, 1), 7, 1);
	assert_false(index_drop_stale(MFN(5)));
	frame_set_flag(&frames[5], FRAME_STALE);
	assert_int_equal(index_lookup(7, 1).n, 0);
	assert_true(frame_flag(&frames[5], FRAME_INDEXED));
	assert_true(index_drop_stale(MFN(5)));
	assert_false(index_drop_stale(MFN(5)));
	assert_int_equal(index_stats().stale_dropped, 1);
	check_counts(0, 0);
}

/* A hint becomes shared, owned by the group, counted, found by other domains of the group. */
static void promote(void **state)
{
	struct index_found found;

	(void)state;
	index_insert_hint(private_frame(5, 3), 7, 2);
	index_insert_shared(MFN(5), 7, 2, 2);
	found = index_lookup_shared(7, 2);
	assert_int_equal(found.n, 1);
	assert_true(found.match[0].shared);
	assert_int_equal(found.match[0].owner, 2);
	assert_int_equal(frame_slot(&frames[5]), 2);
	assert_int_equal(frame_kind(&frames[5]), FRAME_SHARED);
	check_counts(1, 0);
}

/* References: each get needs a put; the last one takes the frame out of the index. */
static void references(void **state)
{
	(void)state;
	index_insert_shared(private_frame(5, 1), 7, 1, 1);
	assert_true(index_get(MFN(5), 7, 1));
	assert_false(index_get(MFN(5), 8, 1));              /* another content */
	assert_false(index_get(MFN(5), 7, 2));              /* another group */
	assert_false(index_get(private_frame(6, 1), 7, 1)); /* not shared */
	assert_false(index_put(MFN(5)));
	assert_int_equal(frame_slot(&frames[5]), 1);
	assert_true(index_put(MFN(5)));
	check_counts(0, 0);
	assert_false(index_get(MFN(5), 7, 1));
}

/* A full count is refused, not wrapped. */
static void count_is_full(void **state)
{
	(void)state;
	index_insert_shared(private_frame(5, 1), 7, 1, UINT32_MAX - 1);
	assert_true(index_get(MFN(5), 7, 1));
	assert_false(index_get(MFN(5), 7, 1));
	assert_int_equal(frame_slot(&frames[5]), UINT32_MAX);
}

/* The only user takes the frame over; while a lookup holds a reference it may not. */
static void take_over(void **state)
{
	(void)state;
	index_insert_shared(private_frame(5, 1), 7, 2, 1);
	assert_true(index_get(MFN(5), 7, 2));
	assert_false(index_take_over(MFN(5), 3, GFN(77)));
	assert_int_equal(frame_kind(&frames[5]), FRAME_SHARED);
	assert_false(index_put(MFN(5)));
	assert_true(index_take_over(MFN(5), 3, GFN(77)));
	assert_int_equal(frame_kind(&frames[5]), FRAME_PRIVATE);
	assert_int_equal(frame_owner(&frames[5]), 3);
	assert_int_equal(frame_slot(&frames[5]), 77);
	check_counts(0, 0);
}

/* Our own bugs stop the machine: a shared frame is no hint, a ninth shared entry, a free one. */
static void bugs_panic(void **state)
{
	(void)state;
	index_insert_shared(private_frame(5, 1), 7, 1, 1);
	expect_assert_failure((void)index_insert_hint(MFN(5), 7, 1));
	setup(state);
	for (unsigned i = 1; i <= 8; i++)
		index_insert_shared(private_frame(i, 1), 7, 1, 2);
	private_frame(9, 1);
	expect_assert_failure(index_insert_shared(MFN(9), 7, 1, 2));
	setup(state);
	private_frame(9, 1);
	expect_assert_failure(assert_true(index_put(MFN(9))));
	setup(state);
	expect_assert_failure(index_init(buckets, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(hint_is_found, setup),
	    cmocka_unit_test_setup(chains, setup),
	    cmocka_unit_test_setup(steps_spread, setup),
	    cmocka_unit_test_setup(asking, setup),
	    cmocka_unit_test_setup(insert_replaces, setup),
	    cmocka_unit_test_setup(at_most_eight, setup),
	    cmocka_unit_test_setup(shared_stay, setup),
	    cmocka_unit_test_setup(shared_replaces_a_hint, setup),
	    cmocka_unit_test_setup(stale, setup),
	    cmocka_unit_test_setup(promote, setup),
	    cmocka_unit_test_setup(references, setup),
	    cmocka_unit_test_setup(count_is_full, setup),
	    cmocka_unit_test_setup(take_over, setup),
	    cmocka_unit_test_setup(bugs_panic, setup),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
