/* SPDX-License-Identifier: MIT */
/*
 * The lines of mm/ that no ordinary operation reaches: arguments at their limits, calls that a
 * caller never makes, our own bugs, and what another CPU does just then. (`make coverage`
 * named them; those that nothing can reach are in docs/proof.md, with the reason.)
 */
#include <pthread.h>
#include <unistd.h>
#include "mm/balloon.h"
#include "mm/buddy.h"
#include "mm/merge.h"
#include "mm/quiet.h"
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

static struct space s, other;

static int setup(void **state)
{
	(void)state;
	hash_weaken(~0u);
	host_start_small();
	make_space(&s, 1, LARGE_PAGES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	host_on_point = NULL;
	audit_passes();
	destroy_space(&s);
	assert_int_equal(host_free_frames(), 4096 - 3);
	host_stop();
	return 0;
}

/* After a panic locks are held: nothing more can be asked of that world. */
static int teardown_broken(void **state)
{
	(void)state;
	host_stop();
	return 0;
}

static uint64_t *entry_of(uint64_t gfn)
{
	return p2m_find(&s, GFN(gfn)).entry;
}

/* Memory that a guest may read only is none for a write: its own mistake, for each who tries. */
static void read_only_foreign_page(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);
	void *page;

	(void)state;
	assert_int_equal(mm_map_service(&s, GFN(7), m), MM_OK);
	*entry_of(7) = toy_format.leaf(m, 1, PTE_R, PTE_SW_FOREIGN);
	assert_int_equal(mm_fault(&s, GFN(7), FAULT_READ), VERDICT_RESUME);
	assert_int_equal(mm_fault(&s, GFN(7), FAULT_WRITE), VERDICT_REFUSE);
	assert_int_equal(mm_fault(&s, GFN(7), FAULT_EXEC), VERDICT_REFUSE);
	assert_int_equal(mm_write(&s, PAGE(7), "x", 1), MM_NORAM);
	assert_int_equal(mm_pin(&s, GFN(7), &page), MM_NORAM);
	assert_int_equal(mm_unmap_service(&s, GFN(7)), MM_OK);
	frame_free(m, 0);
}

/* Where the balloon cannot put a page: beyond all addresses. What it took goes back. */
static void balloon_at_the_limits(void **state)
{
	gfn_t one = GFN(3);
	const gfn_t g[] = {GFN(3), GFN(GFN_LIMIT)};

	(void)state;
	assert_int_equal(balloon_out(&s, &one, 1, 0), 1);
	assert_int_equal(balloon_out(&s, &g[1], 1, 0), 0);
	assert_int_equal(balloon_in(&s, &g[1], 1, 0), 0);
	assert_int_equal(s.held, 0);
	assert_int_equal(balloon_in(&s, g, 2, 0), 1);
	assert_int_equal(s.held, 1);
}

/*
 * A large leaf may lie half over RAM that was promised, half over what came later: nothing can
 * be ballooned in under it, all of it can be ballooned out.
 */
static void large_leaf_beyond_promised_ram(void **state)
{
	struct space_config c = {
	    .domid = 2, .share_group = 2, .memory_pages = 100, .max_pages = LARGE_PAGES};
	gfn_t g = GFN(0), after = GFN(200);

	(void)state;
	assert_int_equal(space_create(&other, &c), MM_OK);
	for (uint64_t i = 100; i < LARGE_PAGES; i++)
		assert_int_equal(balloon_in(&other, &(gfn_t){i}, 1, 0), 1);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		guest_puts(&other, PAGE(i), i + 1);
	assert_int_equal(mm_coalesce(&other, g), MM_OK);
	other.max_pages++;
	assert_int_equal(balloon_in(&other, &after, 1, 0), 0);
	assert_true(p2m_lookup(&other, after).large);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		assert_int_equal(guest_sees(&other, PAGE(i)), i + 1);
	audit_passes();
	assert_int_equal(balloon_out(&other, &after, 1, 0), 1);
	audit_passes();
	destroy_space(&other);
}

/* A pinned page under a large leaf stays, and so does the leaf; its neighbour can go. */
static void pinned_under_a_large_leaf(void **state)
{
	gfn_t pinned = GFN(5), next = GFN(6);
	void *page;

	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(0)), MM_OK);
	assert_int_equal(mm_pin(&s, pinned, &page), MM_OK);
	assert_int_equal(balloon_out(&s, &pinned, 1, 0), 0);
	assert_true(p2m_lookup(&s, pinned).large);
	assert_int_equal(balloon_out(&s, &next, 1, 0), 1);
	assert_int_equal(balloon_out(&s, &pinned, 1, 0), 0);
	assert_ptr_equal(env_frame(p2m_lookup(&s, pinned).mfn), page);
	audit_passes();
	mm_unpin(&s, pinned);
	assert_int_equal(balloon_out(&s, &pinned, 1, 0), 1);
}

/* A guest's page table that waits for the dice under a large leaf has no entry of its own that
 * would tell of it: the whole leaf is looked at again, and nothing is split. */
static void table_under_a_large_leaf(void **state)
{
	uint64_t passes, looked;
	struct frame *f;

	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(0)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		guest_puts(&s, PAGE(i), i + 1);
	scan_settle();
	guest_puts(&s, PAGE(7), 1000);
	f = frame_at(p2m_lookup(&s, GFN(7)).mfn);
	frame_set_flag(f, FRAME_GUEST_TABLE);
	frame_set_age(f, 15);
	looked = mm_stats().pages_scanned;
	passes = mm_stats().full_scans;
	for (unsigned i = 0; i < 5; i++)
		scan_settle();
	passes = mm_stats().full_scans - passes;
	assert_in_range(passes, 5, 100);
	assert_in_range(mm_stats().pages_scanned - looked, (passes - 1) * LARGE_PAGES,
	                (passes + 1) * LARGE_PAGES);
	assert_true(frame_flag(f, FRAME_GUEST_TABLE));
	assert_int_equal(space_stats(&s).large_leaves, 1);
}

/* A page of ours in two places of a guest, each pinned: the first to go leaves the other one pinned. */
static void one_frame_pinned_twice(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);
	void *page, *again;

	(void)state;
	assert_int_equal(mm_map_service(&s, GFN(7), m), MM_OK);
	assert_int_equal(mm_map_service(&s, GFN(8), m), MM_OK);
	assert_int_equal(mm_pin(&s, GFN(7), &page), MM_OK);
	assert_int_equal(mm_pin(&s, GFN(8), &again), MM_OK);
	assert_ptr_equal(page, again);
	mm_unpin(&s, GFN(7));
	assert_true(p2m_lookup(&s, GFN(8)).pinned);
	audit_passes();
	mm_unpin(&s, GFN(8));
	assert_false(p2m_lookup(&s, GFN(8)).pinned);
	assert_int_equal(mm_unmap_service(&s, GFN(7)), MM_OK);
	assert_int_equal(mm_unmap_service(&s, GFN(8)), MM_OK);
	frame_free(m, 0);
}

/* The partner is ballooned out while its page waits in the batch: its frame may be anybody's. */
static void partner_gone(void **state)
{
	struct merge_page page = {.gfn = GFN(9)};
	struct index_match match = {.owner = 2, .gfn = 5};
	gfn_t gone = GFN(5);

	(void)state;
	make_space(&other, 2, 16);
	guest_puts(&other, PAGE(5), 77);
	guest_puts(&s, PAGE(9), 77);
	scan_settle(); /* what was written is known; nothing equals but these two */
	assert_int_equal(mm_stats().pages_saved, 1);
	guest_puts(&other, PAGE(5), 78);
	guest_puts(&s, PAGE(9), 78);
	guest_leave_all();
	p2m_harvest(&other, GFN(0), 16);
	p2m_harvest(&s, GFN(0), 16);
	match.mfn = p2m_lookup(&other, gone).mfn;
	page.mfn = p2m_lookup(&s, page.gfn).mfn;
	page.fingerprint = hash_fingerprint(env_frame(page.mfn), s.share_group);
	frame_clear_flag(frame_at(match.mfn), FRAME_STALE);
	frame_clear_flag(frame_at(page.mfn), FRAME_STALE);
	lock_take(&mm.scan_lock, LOCK_SCAN);
	p2m_lock(&s);
	assert_true(merge_add(&s, page, match));
	p2m_unlock(&s);
	assert_int_equal(balloon_out(&other, &gone, 1, 0), 1);
	assert_int_equal(merge_commit(), 0);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	audit_passes();
	assert_int_equal(guest_sees(&s, PAGE(9)), 78);
	assert_int_equal(p2m_lookup(&other, gone).type, P2M_BALLOONED);
	assert_int_equal(p2m_lookup(&s, page.gfn).type, P2M_PRIVATE);
	destroy_space(&other);
}

/* Questions about pages that are not there have an answer. */
static void nothing_there(void **state)
{
	unsigned made = 0;

	(void)state;
	p2m_lock(&s);
	assert_false(mfn_valid(p2m_mergeable(&s, GFN(5))));
	p2m_unprotect(&s, GFN(5));
	while (p2m_make_large(&s, GFN((made + 8) * LARGE_PAGES * LARGE_PAGES)))
		assert_true(made++ < 100);
	assert_true(made > 0);
	p2m_unlock(&s);
	guest_puts(&s, PAGE(5), 1); /* promised RAM has its tables */
	audit_passes();
	other = (struct space){.root = MFN_NONE};
	assert_null(p2m_find_over(&other, GFN(5)));
}

/* What is not protected needs no end of it: the entry stays, and so does what is known of the region. */
static void nothing_to_unprotect(void **state)
{
	uint64_t before, *over;

	(void)state;
	guest_puts(&s, PAGE(5), 1);
	guest_leave_all();
	scan_settle();
	for (unsigned i = 0; i < 3; i++)
		scan_slice(1000000);
	over = p2m_find_over(&s, GFN(5));
	assert_int_equal(quiet_mark_of(*over), QUIET_CALM);
	before = *entry_of(5);
	p2m_lock(&s);
	p2m_unprotect(&s, GFN(5));
	p2m_unlock(&s);
	assert_int_equal(*entry_of(5), before);
	assert_int_equal(quiet_mark_of(*over), QUIET_CALM);
}

/* A single private frame is given up like any other, after the flush. */
static void one_private_frame(void **state)
{
	uint64_t free;
	mfn_t m;

	(void)state;
	guest_puts(&s, PAGE(5), 1);
	free = host_free_frames();
	p2m_lock(&s);
	m = p2m_lookup_locked(&s, GFN(5)).mfn;
	p2m_entry_exchange(entry_of(5), toy_format.soft(P2M_SOFT_BALLOONED));
	s.stats.private_pages--;
	s.stats.ballooned++;
	s.memory_pages--;
	deferred_free(&s, m, flush_begin(&s));
	p2m_unlock(&s);
	assert_int_equal(host_free_frames(), free + 1);
	assert_int_equal(*(uint64_t *)env_frame(m), 0);
}

/* Taking down goes on where it stopped, table by table. */
static void the_end_in_small_steps(void **state)
{
	unsigned steps = 0;

	(void)state;
	make_space(&other, 2, 3 * LARGE_PAGES);
	for (unsigned i = 0; i < 3; i++)
		guest_puts(&other, PAGE(i * LARGE_PAGES), 1);
	guest_leave_all();
	while (!space_destroy_step(&other, 1)) {
		audit_passes();
		steps++;
	}
	assert_true(steps >= 5); /* leaves, then tables */
}

/* The split by walk passes over a large leaf, which shares nothing, as a whole. */
static void split_with_a_large_leaf(void **state)
{
	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(0)), MM_OK);
	assert_int_equal(share_split().self + share_split().inter, 0);
	assert_int_equal(share_part(&s), 0);
}

/* With eight shared contents of one fingerprint there is no room for a hint, and no harm done. */
static void no_room_for_a_hint(void **state)
{
	(void)state;
	hash_weaken(0);
	for (unsigned i = 0; i < INDEX_SAME_MAX; i++) {
		guest_puts(&s, PAGE(2 * i), 100 + i);
		guest_puts(&s, PAGE(2 * i + 1), 100 + i);
		scan_settle();
	}
	assert_int_equal(mm_stats().pages_shared, INDEX_SAME_MAX);
	guest_puts(&s, PAGE(100), 7);
	guest_puts(&s, PAGE(101), 7);
	scan_settle();
	assert_int_equal(mm_stats().pages_shared, INDEX_SAME_MAX);
	assert_int_equal(mm_stats().pages_unshared, 0);
	guest_puts(&s, PAGE(0), 8); /* makes room: one content is shared no more */
	guest_puts(&s, PAGE(1), 9);
	scan_settle();
	assert_int_equal(guest_sees(&s, PAGE(101)), 7);
}

static void suspect(enum env_point p)
{
	if (p == POINT_SCAN_READ)
		for (unsigned i = 0; i < 2; i++)
			frame_set_flag(frame_at(p2m_lookup(&s, GFN(i)).mfn), FRAME_GUEST_TABLE);
}

/* A page that is found to hold guest page tables after it was read is not merged. */
static void suspected_meanwhile(void **state)
{
	(void)state;
	guest_puts(&s, PAGE(0), 7);
	guest_puts(&s, PAGE(1), 7);
	host_on_point = suspect;
	for (unsigned i = 0; i < 2; i++)
		scan_slice(1000000);
	host_on_point = NULL;
	assert_int_equal(mm_stats().merges, 0);
	assert_true(mm_stats().merges_given_up > 0);
	assert_int_equal(p2m_lookup(&s, GFN(0)).type, P2M_PRIVATE);
}

static unsigned nested;

static void be_faster(enum env_point p)
{
	if (p == POINT_ALLOC && !nested++)
		make_space(&other, 2, 10);
}

/* Two CPUs make a space of one domain id: one wins, and the other has taken nothing. */
static void two_make_one_domain(void **state)
{
	struct space_config c = {.domid = 2, .share_group = 2, .memory_pages = 5, .max_pages = 5};
	struct space late;

	(void)state;
	nested = 0;
	host_on_point = be_faster;
	assert_int_equal(space_create(&late, &c), MM_INVAL);
	host_on_point = NULL;
	assert_ptr_equal(space_find(2), &other);
	audit_passes();
	destroy_space(&other);
}

static void *look_elsewhere(void *arg)
{
	(void)arg;
	host_set_cpu(0);
	assert_int_equal(p2m_lookup(&s, GFN(5)).type, P2M_UNTOUCHED);
	return NULL;
}

/* Who finds a lock taken waits for it. */
static void a_lock_is_waited_for(void **state)
{
	pthread_t t;

	(void)state;
	p2m_lock(&s);
	assert_int_equal(pthread_create(&t, NULL, look_elsewhere, NULL), 0);
	for (unsigned i = 0; i < 1000 && atomic_load(&s.lock.next) < atomic_load(&s.lock.owner) + 2;
	     i++)
		usleep(1000);
	usleep(1000);
	p2m_unlock(&s);
	pthread_join(t, NULL);
}

/* ---- our own bugs panic ---- */

static void giving_up_a_table(void **state)
{
	(void)state;
	assert_true(HOST_PANICS(deferred_free(&s, s.root, 0)));
	assert_non_null(strstr(host_panic_text, "was mapped"));
}

static void unmapping_what_is_no_ram(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);
	struct deferred d;

	(void)state;
	deferred_init(&d, &s);
	assert_int_equal(mm_map_service(&s, GFN(7), m), MM_OK);
	assert_true(HOST_PANICS(balloon_unmap(&s, GFN(7), entry_of(7), 0, &d)));
	assert_non_null(strstr(host_panic_text, "is no RAM"));
}

static void another_format_under_a_space(void **state)
{
	(void)state;
	assert_true(HOST_PANICS(mm_set_format(&toy_format_no_dirty, DIRTY_SOURCES)));
}

static void a_merge_without_the_scan_lock(void **state)
{
	(void)state;
	assert_true(HOST_PANICS((void)merge_commit()));
}

/* The format may be chosen as long as there is no space; frame 0 is never handed out. */
static void before_the_first_space(void **state)
{
	(void)state;
	destroy_space(&s);
	mm_set_format(&toy_format_no_dirty, DIRTY_SOURCES);
	assert_string_equal(mm.format->name, toy_format_no_dirty.name);
	assert_int_equal(mm_dirty_source(), DIRTY_PROTECT);
	assert_true(HOST_PANICS(mm_set_format(&toy_format_no_dirty, DIRTY_FLAGS)));
	mm_set_format(&toy_format, DIRTY_SOURCES);
	assert_int_equal(mm_dirty_source(), DIRTY_FLAGS);
	buddy_init();
	memset(mm.frames, 0, 8 * sizeof(mm.frames[0])); /* as if they had never been given */
	buddy_add(MFN(0), 8);
	assert_int_equal(buddy_free_pages(), 7);
	for (unsigned i = 0; i < 7; i++)
		assert_int_not_equal(buddy_alloc(0).n, 0);
	assert_false(mfn_valid(buddy_alloc(0)));
}

#define T(f)      cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BROKEN(f) cmocka_unit_test_setup_teardown(f, setup, teardown_broken)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(read_only_foreign_page),
	    T(balloon_at_the_limits),
	    T(large_leaf_beyond_promised_ram),
	    T(pinned_under_a_large_leaf),
	    T(table_under_a_large_leaf),
	    T(partner_gone),
	    T(one_frame_pinned_twice),
	    T(nothing_there),
	    T(nothing_to_unprotect),
	    T(one_private_frame),
	    T(the_end_in_small_steps),
	    T(split_with_a_large_leaf),
	    T(no_room_for_a_hint),
	    T(suspected_meanwhile),
	    T(two_make_one_domain),
	    T(a_lock_is_waited_for),
	    BROKEN(giving_up_a_table),
	    BROKEN(unmapping_what_is_no_ram),
	    BROKEN(another_format_under_a_space),
	    BROKEN(a_merge_without_the_scan_lock),
	    BROKEN(before_the_first_space),
	};

	return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
