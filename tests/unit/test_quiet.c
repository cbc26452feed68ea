/* SPDX-License-Identifier: MIT */
/*
 * Regions that the scanner passes over (mm/quiet.c): that it does, that anything which
 * makes a page worth a look makes it walk again, and that a CPU which goes on from a remembered
 * table is not overlooked.
 */
#include "mm/scan_walk.h"
#include "tests/unit/quiet_test.h"

/* ---- passing over ---- */

/* Nothing was touched: no leaf is looked at, each region costs one unit, and every pass is alike.
 */
static void passes_over(void **state)
{
	(void)state;
	fill();
	calm_down();
	for (unsigned i = 0; i < 3; i++) {
		struct pass p = one_pass();

		assert_int_equal(p.scanned, 0);
		assert_int_equal(p.read, 0);
		assert_int_equal(p.passed, REGIONS * LARGE_PAGES);
		assert_int_equal(p.used, REGIONS);
	}
}

static uint64_t leaves_of(uint64_t gfn)
{
	uint64_t first = gfn - gfn % LARGE_PAGES, n = 0;

	for (uint64_t g = first; g < first + LARGE_PAGES; g++) {
		struct p2m_slot p = p2m_find(&s, GFN(g));

		n += p.entry && p.level == 1 && p2m_entry_get(p.entry);
	}
	return n;
}

/* After writes to some regions only these are walked, and soon they are at rest again. */
static void only_where_written(void **state)
{
	(void)state;
	fill();
	for (uint64_t g = HERE + 2; g < HERE + 30; g++)
		put_unique(0, g);
	calm_down();
	put_unique(1, HERE + 1);
	put_unique(2, TWIN + 1);
	for (unsigned i = 0; i < 3; i++) {
		struct pass p = one_pass();

		assert_int_equal(p.passed, (i < 2 ? REGIONS - 2 : REGIONS) * LARGE_PAGES);
		assert_int_equal(p.scanned, i < 2 ? leaves_of(HERE) + leaves_of(TWIN) : 0);
		assert_int_equal(p.read, i == 1 ? 2 : 0);
	}
}

/* More pages of a region than are noted at a time, with others between them: all are read in one pass, and nothing is counted twice. */
static void more_than_a_chunk(void **state)
{
	const unsigned written = SCAN_CHUNK + SCAN_CHUNK / 2;

	(void)state;
	fill();
	for (unsigned i = 0; i < written; i++)
		put_unique(0, HERE + 2 + 3 * i);
	calm_down();
	for (unsigned i = 0; i < written; i++)
		put_unique(1, HERE + 2 + 3 * i);
	for (unsigned i = 0; i < 3; i++) {
		struct pass p = one_pass();

		assert_int_equal(p.scanned, i < 2 ? leaves_of(HERE) : 0);
		assert_int_equal(p.read, i == 1 ? written : 0);
	}
}

/* A region that is only read is known, and becomes calm when the reading ends. */
static void reading_keeps_it_awake(void **state)
{
	(void)state;
	fill();
	calm_down();
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(guest_sees(&s, PAGE(HERE)), BIT(40) | HERE);
		guest_leave_all();
		assert_int_equal(one_pass().passed, (REGIONS - 1) * LARGE_PAGES);
		assert_int_equal(mark(HERE), QUIET_KNOWN);
	}
	assert_true(one_pass().scanned > 0);
	assert_int_equal(mark(HERE), QUIET_CALM);
	assert_int_equal(one_pass().scanned, 0);
}

/* Holes and pages never touched cost nothing either, with a table above them or without. */
static void nothing_is_passed_fast(void **state)
{
	gfn_t g[LARGE_PAGES];

	(void)state;
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		g[i] = GFN(2 * LARGE_PAGES + i);
	put_unique(0, HERE);
	assert_int_equal(balloon_out(&s, g, LARGE_PAGES, 0), LARGE_PAGES);
	calm_down();
	assert_int_equal(one_pass().used, 2);
}

/* Slices of any length come to the same, and none does more than it may. */
static void in_slices(void **state)
{
	uint64_t passed, end;

	(void)state;
	fill();
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t pages = 1 + env_random() % 200;

		assert_in_range(scan_slice(pages), 0, pages);
		audit_passes();
	}
	passed = mm_stats().pages_passed;
	end = mm_stats().full_scans + 1;
	while (mm_stats().full_scans < end)
		assert_in_range(scan_slice(1), 0, 1);
	assert_in_range(mm_stats().pages_passed - passed, 1, REGIONS * LARGE_PAGES);
	assert_int_equal(one_pass().scanned, 0);
}

/* ---- large leaves ---- */

/* A large leaf that is clean, its pages all known, is one look; written, it is 512 again. */
static void large_leaf(void **state)
{
	struct pass p;

	(void)state;
	make_space(&other, 2, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&other, GFN(0)), MM_OK);
	for (unsigned g = 0; g < LARGE_PAGES; g++)
		assert_int_equal(guest_write(1, &other, PAGE(g), BIT(40) | g), VERDICT_RESUME);
	calm_down();
	p = one_pass();
	assert_int_equal(p.passed, LARGE_PAGES);
	assert_int_equal(p.used, 1);
	assert_int_equal(guest_write(1, &other, PAGE(3), 1), VERDICT_RESUME);
	assert_int_equal(one_pass().scanned, LARGE_PAGES);
	assert_int_equal(one_pass().read, LARGE_PAGES);
	assert_int_equal(one_pass().scanned, 0);
	assert_int_equal(space_stats(&other).large_leaves, 1);
}

/* ---- every reason to look again ---- */

static void why_write(void)
{
	put_unique(1, HERE);
}

static void why_read(void)
{
	(void)guest_sees(&s, PAGE(HERE));
}

static void why_our_write(void)
{
	uint64_t v = BIT(40) | TWIN;

	assert_int_equal(mm_write(&s, PAGE(HERE), &v, 8), MM_OK);
}

static void why_unpin(void)
{
	void *at;

	assert_int_equal(mm_pin(&s, GFN(HERE), &at), MM_OK);
	calm_down(); /* pinned, it is nothing to come back for */
	*(uint64_t *)at = BIT(40) | TWIN;
	mm_unpin(&s, GFN(HERE));
}

static void why_populate(void)
{
	uint64_t v = BIT(40) | TWIN;

	assert_int_equal(mm_write(&s, PAGE(HERE + 2), &v, 8), MM_OK);
}

static void why_populate_after_read(void)
{
	(void)guest_sees(&s, PAGE(HERE + 2));
	guest_leave_all();
	calm_down();
	why_populate();
}

static void why_balloon_in(void)
{
	gfn_t g = GFN(HERE);

	assert_int_equal(balloon_out(&s, &g, 1, 0), 1);
	calm_down(); /* a hole is nothing to look at */
	assert_int_equal(balloon_in(&s, &g, 1, 0), 1);
}

static void why_harvest(void)
{
	put_unique(1, HERE);
	p2m_lock(&s);
	*over(HERE) &= ~mm.format->accessed_mask; /* as if nobody had walked there */
	assert_int_equal(p2m_harvest(&s, GFN(HERE), 1), 1);
	p2m_unlock(&s);
	flush_space(&s);
}

/* Make page `to` what page HERE is, and let them merge. */
static void twin(uint64_t to)
{
	uint64_t v = BIT(40) | HERE;

	assert_int_equal(mm_write(&s, PAGE(to), &v, 8), MM_OK);
	calm_down();
	assert_int_equal(p2m_lookup(&s, GFN(to)).type, P2M_SHARED);
	assert_int_equal(p2m_lookup(&s, GFN(HERE)).type, P2M_SHARED);
}

static void why_break(void)
{
	twin(TWIN);
	why_our_write();
}

static void why_take_over(void)
{
	gfn_t g = GFN(TWIN);

	twin(TWIN);
	assert_int_equal(balloon_out(&s, &g, 1, 0), 1);
	why_our_write();
	assert_int_equal(space_stats(&s).take_overs, 1);
}

/* A write fault on a page that is protected for a merge; the writer does not get to write. */
static void why_unprotect(void)
{
	p2m_lock(&s);
	assert_true(p2m_protect(&s, GFN(HERE)));
	p2m_unlock(&s);
	flush_space(&s);
	assert_int_equal(mm_fault(&s, GFN(HERE), FAULT_WRITE), VERDICT_RESUME);
}

static void why_given_up(void)
{
	p2m_lock(&s);
	assert_true(p2m_protect(&s, GFN(HERE)));
	p2m_unprotect(&s, GFN(HERE));
	p2m_unlock(&s);
}

static void why_policy(void)
{
	assert_true(scan_set_policy("second"));
}

/* Each of these makes the scanner walk the region again, and in the end all is known and calm. */
static void reasons_to_look(void **state)
{
	static const struct {
		const char *name;
		void (*why)(void);
	} t[] = {
	    {"written",              why_write              },
	    {"read",                 why_read               },
	    {"written by us",        why_our_write          },
	    {"unpinned",             why_unpin              },
	    {"populated",            why_populate           },
	    {"read, then populated", why_populate_after_read},
	    {"balloon in",           why_balloon_in         },
	    {"harvested",            why_harvest            },
	    {"broken",               why_break              },
	    {"taken over",           why_take_over          },
	    {"unprotected",          why_unprotect          },
	    {"merge given up",       why_given_up           },
	    {"another policy",       why_policy             },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		struct pass p;

		print_message("# %s\n", t[i].name);
		fill();
		calm_down();
		t[i].why();
		guest_leave_all();
		audit_passes();
		p = one_pass();
		assert_true(p.scanned > 0 && p.passed < REGIONS * LARGE_PAGES);
		oracle_check_settled();
		calm_down();
		teardown(state);
		setup(state);
	}
}

/* While the policy says no, a page is asked for again in each pass. */
static void policy_says_no(void **state)
{
	(void)state;
	fill();
	refuse = true;
	for (unsigned i = 0; i < 5; i++)
		assert_true(one_pass().scanned > 0);
	assert_int_equal(mm_stats().pages_fingerprinted, 0);
	refuse = false;
	oracle_check_settled();
	calm_down();
}

/* A page of guest page tables waits for the dice, and its region with it. */
static void dice_say_no(void **state)
{
	(void)state;
	fill();
	calm_down();
	put_unique(0, HERE);
	frame_set_flag(frame_at(p2m_lookup(&s, GFN(HERE)).mfn), FRAME_GUEST_TABLE);
	frame_set_age(frame_at(p2m_lookup(&s, GFN(HERE)).mfn), 15);
	for (unsigned i = 0; i < 5; i++)
		assert_true(one_pass().scanned > 0);
	assert_int_equal(mark(HERE), QUIET_KNOWN); /* its leaf says that it calls */
	frame_clear_flag(frame_at(p2m_lookup(&s, GFN(HERE)).mfn), FRAME_GUEST_TABLE);
	calm_down();
}

/* What is written between its reading and its placing is not forgotten. */
static void strike_after_read(enum env_point p)
{
	uint64_t v = BIT(40) | TWIN;

	if (p == POINT_SCAN_READ)
		assert_int_equal(mm_write(&s, PAGE(HERE), &v, 8), MM_OK);
}

static void written_while_placed(void **state)
{
	(void)state;
	fill();
	one_pass();
	host_on_point = strike_after_read;
	one_pass();
	host_on_point = NULL;
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
	calm_down();
}

/* A hint that the index drops to make room may be of any region: all are walked, once. */
static void dropped_hint(void **state)
{
	(void)state;
	fill();
	calm_down();
	assert_int_equal(index_stats().hints_dropped, 0);
	for (unsigned i = 0; i <= INDEX_SAME_MAX; i++) {
		mfn_t mfn = p2m_lookup(&s, GFN(i * 8ul)).mfn;

		p2m_lock(&s);
		index_insert_hint(mfn, 7, s.share_group);
		p2m_unlock(&s);
	}
	assert_int_equal(index_stats().hints_dropped, 1);
	assert_int_equal(one_pass().passed, 0);
	assert_int_equal(index_stats().hints, REGIONS * LARGE_PAGES / 8 + 2);
	one_pass();
	assert_int_equal(one_pass().scanned, 0);
}

/* A walk that a policy breaks off in the middle of a region does not count as a whole one. */
static void walk_with_a_gap(void **state)
{
	(void)state;
	fill();
	calm_down();
	why_our_write();
	assert_int_equal(mark(HERE), QUIET_NOT);
	/* Region 0 is one unit; then a part of region 1, before HERE. */
	(void)scan_slice(1 + 3);
	assert_int_equal(mark(HERE), QUIET_BEGUN);
	jump = (struct scan_cursor){1, GFN(LARGE_PAGES + 100)};
	one_pass(); /* from there to the end */
	assert_int_equal(mark(HERE), QUIET_BEGUN);
	assert_true(frame_flag(frame_at(p2m_lookup(&s, GFN(HERE)).mfn), FRAME_STALE));
	one_pass();
	assert_int_equal(mark(HERE), QUIET_CALM);
}

/* ---- the race ---- */

/*
 * CPU 1 is in guest mode, and remembers the table. When the scanner tells it to flush, it has just
 * written one more page: through the table that it remembers, so that nothing above says so.
 */
static void last_write(unsigned cpu)
{
	if (cpu == 1) {
		host_on_kick = guest_kicked;
		assert_int_equal(guest_write(1, &s, PAGE(HERE), BIT(40) | TWIN), VERDICT_RESUME);
	}
	guest_kicked(cpu);
}

static void remembered_table(void **state)
{
	uint64_t v = 0;

	(void)state;
	fill();
	calm_down();
	assert_int_equal(guest_read(1, &s, PAGE(HERE - HERE % 8), &v), VERDICT_RESUME);
	host_on_kick = last_write;
	one_pass();
	/* It did happen: dirty below, and no sign of it above. */
	assert_true(*p2m_find(&s, GFN(HERE)).entry & mm.format->dirty_mask);
	assert_false(*over(HERE) & mm.format->accessed_mask);
	assert_int_equal(mark(HERE), QUIET_KNOWN);
	assert_true(one_pass().scanned > 0);
	assert_true(frame_flag(frame_at(p2m_lookup(&s, GFN(HERE)).mfn), FRAME_STALE));
	oracle_check_settled();
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* ---- the audit ---- */

static void fails_with(const char *text)
{
	struct audit_report r = mm_audit();

	assert_int_equal(r.failures, 1);
	assert_non_null(strstr(r.first, text));
}

/* A page that was forgotten is found. */
static void audit_finds(void **state)
{
	uint64_t *leaf;
	mfn_t mfn;

	(void)state;
	fill();
	calm_down();
	audit_passes();
	leaf = p2m_find(&s, GFN(HERE)).entry;
	mfn = mm.format->frame(*leaf, 1);
	*leaf |= mm.format->dirty_mask;
	fails_with("invariant 12: domain 1, guest frame 519 calls");
	*over(HERE) |= mm.format->accessed_mask;
	audit_passes();
	*leaf &= ~mm.format->dirty_mask;
	index_remove(mfn);
	fails_with("invariant 12: domain 1, guest frame 519 is to be read");
	frame_set_flag(frame_at(mfn), FRAME_PINNED);
	audit_passes();
	frame_clear_flag(frame_at(mfn), FRAME_PINNED);
	p2m_lock(&s);
	quiet_doubt(&s, GFN(HERE));
	p2m_unlock(&s);
	audit_passes();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(passes_over),
	    cmocka_unit_test_setup_teardown(passes_over, setup_protect, teardown),
	    T(only_where_written),
	    T(more_than_a_chunk),
	    cmocka_unit_test_setup_teardown(only_where_written, setup_protect, teardown),
	    T(reading_keeps_it_awake),
	    T(nothing_is_passed_fast),
	    T(in_slices),
	    cmocka_unit_test_setup_teardown(in_slices, setup_protect, teardown),
	    T(large_leaf),
	    cmocka_unit_test_setup_teardown(large_leaf, setup_protect, teardown),
	    T(reasons_to_look),
	    T(policy_says_no),
	    T(dice_say_no),
	    T(written_while_placed),
	    T(dropped_hint),
	    T(walk_with_a_gap),
	    T(remembered_table),
	    T(audit_finds),
	};

	return cmocka_run_group_tests_name("quiet", tests, NULL, NULL);
}
