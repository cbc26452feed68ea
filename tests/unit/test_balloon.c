/* SPDX-License-Identifier: MIT */
/* The balloon (mm/balloon.c). */
#include <pthread.h>
#include <unistd.h>
#include "mm/index.h"
#include "tests/unit/mm_test.h"

static struct space a, b;
static uint64_t free_at_start;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 8192, .cpus = 2});
	free_at_start = host_free_frames();
	make_space(&a, 1, 2000);
	make_space(&b, 2, 600);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(host_free_frames(), free_at_start);
	host_stop();
	return 0;
}

static void gfn_row(gfn_t *g, uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		g[i] = GFN(first + i);
}

/* Out: the frames are free and hold no byte of the guest; in: zeroed pages. One flush a batch. */
static void out_and_in(void **state)
{
	gfn_t g[512];
	uint64_t flushes, free;
	mfn_t old;

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		guest_puts(&a, PAGE(i) + 8, i + 1);
	old = p2m_lookup(&a, GFN(77)).mfn;
	free = host_free_frames();
	flushes = mm_stats().flushes;
	gfn_row(g, 0, 512);
	assert_int_equal(balloon_out(&a, g, 512, 0), 512);
	assert_int_equal(mm_stats().flushes, flushes + 1);
	assert_int_equal(host_free_frames(), free + 512);
	assert_int_equal(a.stats.ballooned, 512);
	assert_int_equal(a.memory_pages, 2000 - 512);
	assert_true(env_page_equal(env_frame(old), env_frame(zero_frame())));
	assert_int_equal(guest_read(0, &a, PAGE(77), &free), VERDICT_DEVICE);
	audit_passes();
	assert_int_equal(balloon_in(&a, g, 512, 0), 512);
	assert_int_equal(mm_stats().flushes, flushes + 1);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(guest_sees(&a, PAGE(i) + 8), 0);
	assert_int_equal(a.memory_pages, 2000);
}

/* Another CPU of the guest that had the page in its TLB cannot reach the frame any more. */
static void other_cpus_are_flushed(void **state)
{
	uint64_t v;

	(void)state;
	guest_puts(&a, PAGE(5), 1);
	assert_int_equal(guest_read(1, &a, PAGE(5), &v), VERDICT_RESUME);
	assert_int_equal(balloon_out(&a, &GFN(5), 1, 0), 1);
	assert_int_equal(guest_read(1, &a, PAGE(5), &v), VERDICT_DEVICE);
}

/* Every type of page goes without an allocation: private, shared, zero, ones, untouched. */
static void any_page_goes_without_memory(void **state)
{
	const gfn_t g[] = {GFN(1), GFN(2), GFN(3), GFN(4), GFN(5), GFN(1500)};
	uint64_t v;

	(void)state;
	for (unsigned i = 0; i < PAGE_SIZE; i += 8)
		guest_puts(&a, PAGE(4) + i, UINT64_MAX);
	guest_puts(&a, PAGE(1), 1);
	guest_puts(&a, PAGE(2), 22);
	guest_puts(&b, PAGE(2), 22);
	guest_puts(&a, PAGE(3), 0);
	guest_sees(&a, PAGE(5));
	merge_pages(&b, GFN(2), &a, GFN(2));
	merge_constant(&a, GFN(3), zero_frame());
	merge_constant(&a, GFN(4), ones_frame());
	audit_passes();
	v = host_allocs();
	assert_int_equal(balloon_out(&a, g, 6, 0), 6);
	assert_int_equal(host_allocs(), v);
	assert_int_equal(a.stats.ballooned, 6);
	assert_int_equal(a.stats.private_pages + a.stats.shared_mappings, 0);
	assert_int_equal(a.stats.untouched, 2000 - 6);
	assert_int_equal(guest_sees(&b, PAGE(2)), 22);
}

/* It stops at the first page that is not there, given back already, pinned or foreign. */
static void stops_at_the_first_that_cannot_go(void **state)
{
	const gfn_t gone_twice[] = {GFN(1), GFN(2), GFN(1), GFN(3)};
	const gfn_t outside[] = {GFN(10), GFN(2000), GFN(11)};
	const gfn_t huge[] = {GFN(UINT64_MAX >> 12), GFN(12)};
	const gfn_t pinned[] = {GFN(20), GFN(21), GFN(22)};
	const gfn_t present[] = {GFN(1), GFN(30)};
	void *page;

	(void)state;
	guest_puts(&a, PAGE(1), 1);
	assert_int_equal(balloon_out(&a, gone_twice, 4, 0), 2);
	assert_int_equal(balloon_out(&a, outside, 3, 0), 1);
	assert_int_equal(balloon_out(&a, huge, 2, 0), 0);
	assert_int_equal(mm_pin(&a, GFN(21), &page), MM_OK);
	assert_int_equal(balloon_out(&a, pinned, 3, 0), 1);
	assert_int_equal(balloon_out(&a, &GFN(0), 1, LARGE_ORDER), 0);
	assert_int_equal(balloon_in(&a, present, 2, 0), 1);
	assert_int_equal(balloon_out(&a, present, 2, 5), 0);
	mm_unpin(&a, GFN(21));
	audit_passes();
}

/* Memory that cannot be backed now stops the way in, exactly there; nothing else changes. */
static void in_stops_where_memory_ends(void **state)
{
	gfn_t g[40];

	(void)state;
	gfn_row(g, 100, 40);
	assert_int_equal(balloon_out(&a, g, 40, 0), 40);
	host_fail_alloc(8);
	assert_int_equal(balloon_in(&a, g, 40, 0), 7);
	assert_int_equal(a.stats.ballooned, 33);
	audit_passes();
	assert_int_equal(balloon_in(&a, g + 7, 33, 0), 33);
}

/* Beyond the start's RAM a guest may populate up to its maximum, and no page more. */
static void up_to_max(void **state)
{
	struct space_config c = {3, 7, 100, 105, 0, 0};
	struct space s;
	gfn_t g[10];

	(void)state;
	assert_int_equal(space_create(&s, &c), MM_OK);
	gfn_row(g, 5000, 10);
	assert_int_equal(balloon_in(&s, g, 10, 0), 5);
	guest_puts(&s, PAGE(5004), 4);
	assert_int_equal(guest_sees(&s, PAGE(5004)), 4);
	audit_passes();
	assert_int_equal(balloon_out(&s, g, 5, 0), 5);
	assert_int_equal(balloon_in(&s, g, 2, 0), 2);
	audit_passes();
	destroy_space(&s);
}

/* A page under a large leaf goes alone: the leaf is split, the other 511 stay. */
static void out_of_a_large_leaf(void **state)
{
	(void)state;
	assert_int_equal(mm_populate_large(&a, GFN(512)), MM_OK);
	guest_puts(&a, PAGE(513), 3);
	assert_int_equal(balloon_out(&a, &GFN(514), 1, 0), 1);
	assert_int_equal(guest_sees(&a, PAGE(513)), 3);
	assert_int_equal(a.stats.large_leaves, 0);
	assert_int_equal(a.stats.private_pages, 511);
}

/* Extents of 2 MiB: from a large leaf, from small pages of all types; and back. */
static void large_extents(void **state)
{
	const gfn_t g[] = {GFN(0), GFN(512), GFN(1024), GFN(1536)};
	uint64_t free;

	(void)state;
	assert_int_equal(mm_populate_large(&a, GFN(512)), MM_OK);
	free = host_free_frames();
	guest_puts(&a, PAGE(3), 1);
	guest_puts(&a, PAGE(1024), 1);
	assert_int_equal(balloon_out(&a, g, 4, LARGE_ORDER), 3); /* the last is cut short */
	assert_int_equal(host_free_frames(), free + 512);
	assert_int_equal(a.stats.ballooned, 3 * 512);
	audit_passes();
	assert_int_equal(balloon_out(&a, g, 1, LARGE_ORDER), 0);
	assert_int_equal(balloon_in(&a, g, 4, LARGE_ORDER), 3);
	assert_int_equal(a.stats.large_leaves, 3);
	assert_int_equal(guest_sees(&a, PAGE(3)), 0);
	audit_passes();
}

/* Wherever in a large frame a page is a hint, it is none when the frame is given back. */
static void no_hint_outlives_its_frame(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 4; i++) {
		bool inserted;
		mfn_t mfn;

		assert_int_equal(mm_populate_large(&a, GFN(512)), MM_OK);
		mfn = p2m_lookup(&a, GFN(512 + 8 + i)).mfn;
		p2m_lock(&a);
		frame_clear_flag(frame_at(mfn), FRAME_STALE);
		inserted = index_insert_hint(mfn, 4711, a.share_group);
		p2m_unlock(&a);
		assert_true(inserted);
		assert_int_equal(balloon_out(&a, &GFN(512), 1, LARGE_ORDER), 1);
		assert_int_equal(index_stats().hints, 0);
		audit_passes();
		destroy_space(&a);
		make_space(&a, 1, 2000);
	}
}

/* Without a free large frame an extent comes back as small pages, or not at all. */
static void large_in_falls_back(void **state)
{
	struct space_stats before;

	(void)state;
	assert_int_equal(balloon_out(&a, &GFN(512), 1, LARGE_ORDER), 1);
	host_fail_alloc(1);
	assert_int_equal(balloon_in(&a, &GFN(512), 1, LARGE_ORDER), 1);
	assert_int_equal(a.stats.large_leaves, 0);
	assert_int_equal(a.stats.private_pages, 512);
	audit_passes();
	assert_int_equal(balloon_out(&a, &GFN(512), 1, LARGE_ORDER), 1);
	before = a.stats;
	while (mfn_valid(frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)))
		;
	host_fail_alloc(100);
	assert_int_equal(balloon_in(&a, &GFN(512), 1, LARGE_ORDER), 0);
	assert_int_equal(a.stats.ballooned, before.ballooned);
	assert_int_equal(a.stats.private_pages, before.private_pages);
	free_at_start = host_free_frames() + a.stats.table_frames + b.stats.table_frames;
}

/* A free frame that says it is clean is all zeroes. */
static void clean_means_zero(void **state)
{
	uint64_t clean = 0;
	gfn_t g[100];

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		guest_puts(&a, PAGE(i), i + 1);
	gfn_row(g, 0, 100);
	assert_int_equal(balloon_out(&a, g, 100, 0), 100);
	for (uint64_t n = 1; n < 8192; n++) {
		struct frame *f = frame_of(MFN(n));

		if (frame_kind(f) != FRAME_FREE || !frame_flag(f, FRAME_CLEAN))
			continue;
		assert_true(env_page_equal(env_frame(MFN(n)), env_frame(zero_frame())));
		clean++;
	}
	assert_true(clean >= 100);
}

/* Large leaves: many extents with one flush. Their frames go as they are, and are not said to be
 * clean: who gets one next, this guest or another, finds zeroes. */
static void extents_with_one_flush(void **state)
{
	gfn_t g[3];
	uint64_t flushes, pages = 0;
	mfn_t old;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		g[i] = GFN(i * LARGE_PAGES);
		assert_int_equal(mm_populate_large(&a, g[i]), MM_OK);
	}
	for (unsigned i = 0; i < 3 * LARGE_PAGES; i++)
		guest_puts(&a, PAGE(i) + 8, i + 1);
	guest_leave_all();
	old = p2m_lookup(&a, GFN(700)).mfn;
	flushes = mm_stats().flushes;
	assert_int_equal(balloon_out(&a, g, 3, LARGE_ORDER), 3);
	assert_int_equal(mm_stats().flushes, flushes + 1);
	assert_int_equal(a.stats.ballooned, 3 * LARGE_PAGES);
	assert_int_equal(a.stats.large_leaves, 0);
	assert_false(frame_flag(frame_of(old), FRAME_CLEAN));
	assert_int_equal(balloon_out(&a, g, 1, LARGE_ORDER), 0); /* they are out */
	audit_passes();
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(guest_sees(&b, PAGE(i)), 0);
	for (unsigned i = 0; i < 600; i++) {
		guest_puts(&b, PAGE(i), 1);
		assert_int_equal(guest_sees(&b, PAGE(i) + 8), 0);
	}
	assert_int_equal(balloon_in(&a, g, 3, LARGE_ORDER), 3);
	assert_int_equal(a.stats.large_leaves, 3);
	for (unsigned i = 0; i < 3 * LARGE_PAGES; i++)
		pages += guest_sees(&a, PAGE(i) + 8) == 0;
	assert_int_equal(pages, 3 * LARGE_PAGES);
}

/* Extents that are none: askew, beyond all addresses, of a guest that is being destroyed. The leaf there stays. */
static void extents_that_cannot_go(void **state)
{
	const gfn_t askew = GFN(5), beyond = GFN(GFN_LIMIT), first = GFN(0);

	(void)state;
	assert_int_equal(mm_populate_large(&a, first), MM_OK);
	assert_int_equal(balloon_out(&a, &askew, 1, LARGE_ORDER), 0);
	assert_int_equal(balloon_out(&a, &beyond, 1, LARGE_ORDER), 0);
	audit_passes();
	assert_int_equal(a.stats.large_leaves, 1);
	assert_int_equal(a.memory_pages, 2000);
	guest_leave_all();
	assert_false(space_destroy_step(&a, 0));
	assert_true(a.dying);
	assert_true(p2m_lookup(&a, first).large);
	assert_int_equal(balloon_out(&a, &first, 1, LARGE_ORDER), 0);
	assert_int_equal(a.stats.ballooned, 0);
	assert_true(p2m_lookup(&a, first).large);
}

/* Into a place that is no table of holes nothing comes as a large leaf; what is there is not touched. */
static void extents_that_cannot_come(void **state)
{
	const gfn_t first = GFN(0), second = GFN(LARGE_PAGES), last = GFN(3 * LARGE_PAGES);

	(void)state;
	assert_int_equal(mm_populate_large(&a, first), MM_OK);
	guest_puts(&a, PAGE(7), 77);
	assert_int_equal(balloon_out(&a, &second, 1, LARGE_ORDER), 1);
	assert_int_equal(balloon_in(&a, &first, 1, LARGE_ORDER), 0);
	assert_int_equal(guest_sees(&a, PAGE(7)), 77);
	assert_int_equal(a.stats.large_leaves, 1);
	assert_int_equal(a.memory_pages, 2000 - LARGE_PAGES);
	audit_passes();
	assert_int_equal(balloon_in(&a, &last, 1, LARGE_ORDER), 0); /* RAM in part */
	assert_int_equal(a.memory_pages, 2000 - LARGE_PAGES);
	assert_int_equal(balloon_in(&a, &second, 1, LARGE_ORDER), 1);
	assert_int_equal(a.stats.large_leaves, 2);
}

/* Large leaves go many at a time; an extent of small pages is all that goes in one turn. */
static void one_small_extent_a_turn(void **state)
{
	gfn_t first[3] = {GFN(0), GFN(LARGE_PAGES), GFN(2 * LARGE_PAGES)};
	bool again = false;

	(void)state;
	assert_int_equal(balloon_out_part(&a, first, 3, LARGE_ORDER, &again), 1);
	assert_true(again);
	assert_int_equal(a.memory_pages, 2000 - LARGE_PAGES);
	assert_int_equal(balloon_out_part(&a, first + 1, 2, LARGE_ORDER, &again), 1);
	assert_true(again);
	assert_int_equal(balloon_out_part(&a, first + 2, 1, LARGE_ORDER, &again), 1);
	assert_false(again);
	assert_int_equal(balloon_in(&a, first, 3, LARGE_ORDER), 3);
	assert_int_equal(a.stats.large_leaves, 3);
	assert_int_equal(balloon_out_part(&a, first, 3, LARGE_ORDER, &again), 3);
	assert_false(again);
}

static _Atomic bool over;
static _Atomic uint64_t went;

/* Next in line for the lock, whenever somebody drops it. */
static void *gives_page_0(void *arg)
{
	(void)arg;
	host_set_cpu(1);
	while (!atomic_load(&over))
		went += balloon_out(&a, &(gfn_t){0}, 1, 0);
	return NULL;
}

/* The pages are coming, and the p2m lock is held: somebody is in line for it. */
static void awaits_the_other(enum env_point p)
{
	while (p == POINT_ALLOC && atomic_load(&a.lock.next) < atomic_load(&a.lock.owner) + 2)
		usleep(100);
}

/* A vCPU takes 2 MiB of which page 100 is there, in vain; another tries to give back the first meanwhile. */
static void nobody_comes_between(void **state)
{
	gfn_t g[100], first = GFN(0), elsewhere = GFN(LARGE_PAGES);
	pthread_t other;

	(void)state;
	gfn_row(g, 0, 100);
	assert_int_equal(balloon_out(&a, &elsewhere, 1, LARGE_ORDER), 1); /* there is room */
	assert_int_equal(balloon_out(&a, g, 100, 0), 100);
	assert_int_equal(pthread_create(&other, NULL, gives_page_0, NULL), 0);
	host_on_point = awaits_the_other;
	assert_int_equal(balloon_in(&a, &first, 1, LARGE_ORDER), 0);
	host_on_point = NULL;
	atomic_store(&over, true);
	pthread_join(other, NULL);
	assert_int_equal(went, 0); /* it was a hole all the time */
	assert_int_equal(a.stats.ballooned, LARGE_PAGES + 100);
	assert_int_equal(a.memory_pages, 2000 - LARGE_PAGES - 100);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(out_and_in),
	    T(other_cpus_are_flushed),
	    T(any_page_goes_without_memory),
	    T(stops_at_the_first_that_cannot_go),
	    T(in_stops_where_memory_ends),
	    T(up_to_max),
	    T(out_of_a_large_leaf),
	    T(large_extents),
	    T(no_hint_outlives_its_frame),
	    T(large_in_falls_back),
	    T(clean_means_zero),
	    T(extents_with_one_flush),
	    T(extents_that_cannot_go),
	    T(extents_that_cannot_come),
	    T(one_small_extent_a_turn),
	    T(nobody_comes_between),
	};

	return cmocka_run_group_tests_name("balloon", tests, NULL, NULL);
}
