/* SPDX-License-Identifier: MIT */
/*
 * 2 MiB merged as a whole (mm/merge_large.c, mm/large_share.c): two large leaves that are equal in all
 * 512 pages end with one run of frames, both large still; a write costs the writer its large
 * leaf and one page, and nobody else anything; nobody reads a byte that is not his own.
 */
#include "tests/unit/merge_large_test.h"

/* ---- shared ---- */

static void two_guests(void **state)
{
	uint64_t free;

	(void)state;
	like(1, 1);
	like(2, 1);
	free = fund_look().free;
	passes(3);
	assert_int_equal(leaves(1) + leaves(2), 2);
	assert_int_equal(shared(1) + shared(2), 2);
	assert_int_equal(saved(), LARGE_PAGES);
	assert_int_equal(fund_look().free, free + LARGE_PAGES);
	assert_int_equal(at(1, 0).n % LARGE_PAGES, 0);
	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		assert_int_equal(at(1, i).n, at(1, 0).n + i);
		assert_int_equal(at(2, i).n, at(1, i).n);
		assert_int_equal(frame_slot(frame_at(at(1, i))), 2);
	}
	assert_int_equal(p2m_lookup(&guest[1], GFN(5)).access & PTE_W, 0);
	sees(1, 0);
	sees(2, 0);
	assert_int_equal(space_stats(&guest[1]).splits + space_stats(&guest[2]).splits, 0);
	assert_int_equal(space_stats(&guest[1]).large_merges, 1);
	oracle_check_settled();
	assert_int_equal(shared(1) + shared(2), 2);
}

static void one_guest_twice(void **state)
{
	(void)state;
	like(1, 2);
	passes(3);
	assert_int_equal(leaves(1), 2);
	assert_int_equal(shared(1), 2);
	assert_int_equal(saved(), LARGE_PAGES);
	assert_int_equal(at(1, 7).n, at(1, LARGE_PAGES + 7).n);
	sees(1, 0);
	sees(1, LARGE_PAGES);
	put(1, 7, 99);
	assert_int_equal(guest_sees(&guest[1], PAGE(LARGE_PAGES + 7)), word(7));
	oracle_check_settled();
}

/* The third comes when the run is shared: it gives up its own frames, whatever the coin says. */
static void a_third(void **state)
{
	mfn_t run;

	(void)state;
	pair();
	run = at(1, 0);
	like(3, 1);
	passes(3);
	assert_int_equal(shared(3), 1);
	assert_int_equal(at(3, 0).n, run.n);
	assert_int_equal(at(1, 0).n, run.n);
	assert_int_equal(frame_slot(frame_at(MFN(run.n + 511))), 3);
	assert_int_equal(saved(), 2 * LARGE_PAGES);
	sees(3, 0);
}

/* Either side survives, as the coin falls. */
static void a_coin(void **state)
{
	unsigned first = 0;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		mfn_t run;

		host_stop();
		start(FRAMES, 0, &toy_format, false);
		host_seed(UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
		like(1, 1);
		like(2, 1);
		run = at(1, 0);
		passes(3);
		first += mfn_eq(at(1, 0), run);
		guest_leave_all();
	}
	assert_in_range(first, 2, 14);
}

/* Two flushes a space, and no table: what 512 merges of 4 KiB need sixteen times as many for. */
static void few_flushes(void **state)
{
	uint64_t flushes, pool;

	(void)state;
	like(1, 1);
	like(2, 1);
	pool = guest[1].table_pool_pages;
	passes(2);
	assert_int_equal(saved(), 0 + LARGE_PAGES);
	flushes = mm_stats().flushes;
	assert_in_range(flushes, 1, 12);
	assert_int_equal(guest[1].table_pool_pages, pool);
	assert_int_equal(mm_stats().merges, LARGE_PAGES);
}

/* ---- not shared ---- */

/* One page differs: as ever, a split and 511 merges. */
static void one_page_differs(void **state)
{
	(void)state;
	like(1, 1);
	like(2, 1);
	unique(2, 300);
	passes(4);
	assert_int_equal(shared(1) + shared(2), 0);
	assert_int_equal(saved(), LARGE_PAGES - 1);
	assert_int_equal(mm_stats().merges_given_up, 0); /* seen from the fingerprints */
	oracle_check_settled();
}

/* A split would save more: a page of zeroes, one that is there twice, one that somebody else has. */
static void a_split_saves_more(void **state)
{
	(void)state;
	like(1, 2);
	like(2, 2);
	zero(1, 44);
	zero(2, 44);
	put(1, LARGE_PAGES + 3, word(4));
	put(2, LARGE_PAGES + 3, word(4));
	passes(4);
	assert_int_equal(shared(1) + shared(2), 0);
	oracle_check_settled();
}

static void one_is_there_twice(void **state)
{
	(void)state;
	like(1, 1);
	like(2, 1);
	put(1, 3, word(4));
	put(2, 3, word(4));
	passes(4);
	assert_int_equal(shared(1) + shared(2), 0);
	oracle_check_settled();
}

static void somebody_has_one_too(void **state)
{
	(void)state;
	make(3, 1, false);
	put(3, 9, word(77));
	passes(3);
	like(1, 1);
	like(2, 1);
	passes(4);
	assert_int_equal(shared(1) + shared(2), 0);
	assert_int_equal(saved(), LARGE_PAGES + 1);
}

/* Other groups' pages, those that are pinned, and those that walks of guest tables wrote. */
static void not_these(void **state)
{
	void *page;

	(void)state;
	like(1, 1);
	like(2, 1);
	assert_int_equal(mm_pin(&guest[2], GFN(17), &page), MM_OK);
	passes(4);
	assert_int_equal(shared(1) + shared(2), 0);
	mm_unpin(&guest[2], GFN(17));
	assert_int_equal(at(2, 17).n, at(2, 17).n);
}

/* What a domain is guaranteed is not given away: no frame is free to back it. */
static void a_guarantee(void **state)
{
	(void)state;
	like(1, 1);
	like(2, 1);
	assert_int_equal(fund_set_min(&guest[1], LARGE_PAGES), MM_OK);
	assert_int_equal(fund_set_min(&guest[2], LARGE_PAGES), MM_OK);
	while (mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 0)))
		;
	assert_int_equal(fund_look().free, fund_look().debt);
	passes(3);
	assert_int_equal(shared(1) + shared(2), 0);
}

/* ---- broken ---- */

/* One page is copied; the writer's leaf is split, the other's is not. */
static void a_write(void **state)
{
	uint64_t generation;

	(void)state;
	pair();
	put(2, 100, 7);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(leaves(2), 0);
	assert_int_equal(shared(2), 0);
	assert_int_equal(saved(), LARGE_PAGES - 1);
	assert_int_equal(space_stats(&guest[2]).breaks, 1);
	assert_int_equal(guest_sees(&guest[2], PAGE(100)), 7);
	sees(1, 0);
	audit_passes();
	generation = guest[1].generation;
	put(1, 100, 8); /* the last mapping of that frame: taken over, after a split */
	assert_true(guest[1].generation > generation);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(space_stats(&guest[1]).take_overs, 1);
	assert_int_equal(guest_sees(&guest[2], PAGE(100)), 7);
	assert_int_equal(guest_sees(&guest[1], PAGE(100)), 8);
	oracle_check_settled();
}

/* A page that is written, and then as it was: it is merged again, and the region is one leaf. */
static void joined_again(void **state)
{
	(void)state;
	pair();
	put(2, 100, 7);
	passes(2);
	put(2, 100, word(100));
	passes(REST + 5);
	assert_int_equal(shared(1), 1);
	assert_int_equal(shared(2), 1);
	assert_int_equal(leaves(2), 1);
	assert_int_equal(saved(), LARGE_PAGES);
	assert_int_equal(space_stats(&guest[2]).coalesce_copies, 0);
	sees(2, 0);
}

/* The table goes when no CPU walks it any more. */
static void joined_with_a_flush(void **state)
{
	uint64_t generation, free;

	(void)state;
	pair();
	put(2, 100, 7);
	passes(2);
	put(2, 100, word(100));
	passes(3);
	assert_int_equal(leaves(2), 0);
	assert_int_equal(saved(), LARGE_PAGES);
	generation = guest[2].generation;
	free = fund_look().free;
	assert_int_equal(mm_coalesce(&guest[2], GFN(0)), MM_OK);
	assert_int_equal(shared(2), 1);
	assert_true(guest[2].generation > generation);
	assert_int_equal(fund_look().free, free);
	sees(2, 0);
}

/* Only who is alone gets them back. */
static void not_from_others(void **state)
{
	(void)state;
	pair();
	lock_take(&mm.scan_lock, LOCK_SCAN);
	p2m_lock(&guest[1]);
	assert_false(large_take_back(&guest[1], GFN(0)));
	p2m_unlock(&guest[1]);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	assert_int_equal(shared(1) + shared(2), 2);
}

/* The other is destroyed: the frames are one guest's again, large, and written without a split. */
static void the_other_has_gone(void **state)
{
	mfn_t run;

	(void)state;
	pair();
	run = at(1, 0);
	destroy_space(&guest[2]);
	audit_passes();
	passes(2);
	assert_int_equal(shared(1), 0);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(at(1, 0).n, run.n);
	assert_int_equal(space_stats(&guest[1]).private_pages, LARGE_PAGES);
	sees(1, 0);
	put(1, 3, 5);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(index_stats().shared, 0);
	fill(1, 0);
	like(2, 1); /* and once more */
	passes(4);
	assert_int_equal(shared(1) + shared(2), 2);
}

/*
 * A slice ends in the middle of a region of small leaves. Before the next one they are joined to a shared
 * leaf, and the other goes: so the walk comes upon that leaf by its middle.
 */
static void joined_in_the_middle(void **state)
{
	(void)state;
	pair();
	put(1, 3, 5);
	put(1, 3, word(3));
	passes(3);
	assert_int_equal(leaves(1), 0);
	assert_int_equal(saved(), LARGE_PAGES);
	assert_true(scan_set_policy("plain") && scan_set_policy("dirty")); /* nothing is known */
	scan_slice(40);
	assert_int_equal(mm_coalesce(&guest[1], GFN(0)), MM_OK);
	assert_int_equal(shared(1), 1);
	destroy_space(&guest[2]);
	scan_slice(ALL);
	passes(2);
	assert_int_equal(leaves(1), 1);
	assert_int_equal(shared(1), 0);
	sees(1, 0);
}

/* Who is left writes before the scanner comes by: split, one page taken over, the others follow. */
static void written_alone(void **state)
{
	(void)state;
	pair();
	destroy_space(&guest[1]);
	put(2, 3, 5);
	assert_int_equal(space_stats(&guest[2]).take_overs, 1);
	passes(REST + 4);
	assert_int_equal(leaves(2), 1);
	assert_int_equal(shared(2), 0);
	assert_int_equal(space_stats(&guest[2]).private_pages, LARGE_PAGES);
}

/* ---- somebody writes meanwhile ---- */

static struct {
	enum env_point point;
	domid_t who;
	bool cached, done;
} plan;

/*
 * `cached`: the CPU has had the page for writable since before the merge, and sets no dirty flag (it
 * was lost): so nothing but the first flush, and the compare after it, see the write.
 */
static void strike(enum env_point p)
{
	struct space *s = &guest[plan.who];
	uint64_t value;

	if (plan.cached && p == POINT_SCAN_READ && !guest_inside(plan.who, s))
		assert_int_equal(guest_read(plan.who, s, PAGE(200), &value), VERDICT_RESUME);
	if (p != plan.point || plan.done)
		return;
	if (plan.cached)
		plan.done = guest_write_cached(plan.who, s, PAGE(200), 666);
	else
		plan.done = guest_write(plan.who, s, PAGE(200), 666) == VERDICT_RESUME;
}

static const struct way {
	const struct pte_format *format;
	bool log, lost;
} ways[] = {
    {&toy_format,          false, false},
    {&toy_format_no_dirty, false, false},
    {&toy_format,          true,  false},
    {&toy_format,          false, true },
};

/* What was written since it was read is not known any more once it is protected: else a wrong fingerprint would go with it. */
static void written_since_it_was_read(void **state)
{
	struct frame *f;

	(void)state;
	like(1, 1);
	passes(3);
	put(1, 200, 666);
	guest_leave_all();
	f = frame_at(at(1, 200));
	assert_false(frame_flag(f, FRAME_STALE));
	p2m_lock(&guest[1]);
	large_protect(&guest[1], GFN(0));
	assert_true(frame_flag(f, FRAME_STALE));
	large_unprotect(&guest[1], GFN(0));
	p2m_unlock(&guest[1]);
	passes(3);
	assert_int_equal(leaves(1), 1);
}

static unsigned reached; /* how often there was something to strike at */

static void struck(const struct way *way, enum env_point p, domid_t who)
{
	domid_t last = who == 3 ? 3 : 2; /* a third comes when the others share */

	start(FRAMES, 0, way->format, way->log);
	like(1, 1);
	like(2, 1);
	if (last == 3) {
		passes(3);
		assert_int_equal(shared(1) + shared(2), 2);
		like(3, 1);
	}
	plan.point = p;
	plan.who = who;
	plan.cached = way->lost;
	plan.done = false;
	guest_leave_all();
	guest_loses_flags = way->lost;
	host_on_point = strike;
	for (unsigned i = 0; i < 4; i++)
		scan_slice(ALL);
	host_on_point = NULL;
	guest_loses_flags = false;
	guest_leave_all();
	reached += plan.done;
	if (way->lost)
		assert_true(plan.done == (p == POINT_WHOLE_PROTECTED));
	else
		assert_true(plan.done);
	if (p != POINT_WHOLE_SWITCHED && plan.done)
		assert_int_equal(who == 3 ? shared(3) : shared(1) + shared(2), 0);
	for (domid_t d = 1; d <= last; d++)
		for (uint64_t i = 0; i < LARGE_PAGES; i++)
			assert_int_equal(guest_sees(&guest[d], PAGE(i)),
			                 plan.done && d == who && i == 200 ? 666 : word(i));
	if (!way->lost) {
		audit_passes();
		oracle_check_settled();
	}
	host_stop();
}

static void a_write_at_each_point(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
		for (domid_t who = 1; who <= 3; who++)
			for (unsigned p = POINT_WHOLE_PROTECTED; p <= POINT_WHOLE_SWITCHED; p++)
				if (p != POINT_WHOLE_COMPARED || ways[i].lost) /* locks are held */
					struck(&ways[i], p, who);
	assert_int_equal(reached, 3 * 3 * 3 + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ALL_SOURCES(two_guests),
	    ALL_SOURCES(one_guest_twice),
	    ALL_SOURCES(a_third),
	    T(a_coin),
	    T(few_flushes),
	    ALL_SOURCES(one_page_differs),
	    ALL_SOURCES(a_split_saves_more),
	    T(one_is_there_twice),
	    T(somebody_has_one_too),
	    T(not_these),
	    T(a_guarantee),
	    ALL_SOURCES(a_write),
	    ALL_SOURCES(joined_again),
	    T(joined_with_a_flush),
	    T(not_from_others),
	    ALL_SOURCES(the_other_has_gone),
	    T(joined_in_the_middle),
	    ALL_SOURCES(written_alone),
	    T(written_since_it_was_read),
	    cmocka_unit_test(a_write_at_each_point),
	};

	return cmocka_run_group_tests_name("merge_large", tests, NULL, NULL);
}
