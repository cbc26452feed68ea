/* SPDX-License-Identifier: MIT */
/*
 * The default policy (mm/policy/dirty.c): when it reads a page, what it looks at out of turn,
 * and how much of its share it takes.
 */
#include "kernel/pace.h"
#include "mm/quiet.h"
#include "tests/unit/policies_test.h"

#define MS 1000u /* cycles: so that a cycle is a microsecond */

static uint64_t twin; /* a content of its own for each use */

static int setup_clock(void **state)
{
	setup(state);
	host_cycles = 1000000 * MS;
	scan_set_clock(MS);
	return 0;
}

static bool merged(uint64_t gfn)
{
	return p2m_lookup(&guest[1], GFN(gfn)).type == P2M_SHARED;
}

/* So many whole passes, whatever the policy thinks of them; time goes by while it rests. */
static void passes(unsigned n)
{
	uint64_t end = mm_stats().full_scans + n;

	while (mm_stats().full_scans < end) {
		scan_slice(ALL);
		host_cycles += MS;
	}
}

/* Nothing is left to be done: the next slices have nothing but events to go by. */
static void come_to_rest(void)
{
	passes(8);
	audit_passes();
}

/* ---- which, and when ---- */

/* Of the passes after a write the first clears the dirty bit, and the second reads and merges. */
static void one_quiet_interval(void **state)
{
	(void)state;
	two_guests(32);
	page_is(1, 3, 7);
	page_is(2, 3, 7);
	assert_int_equal(pass().read, 0);
	assert_int_equal(pass().merged, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pass().read, 0);
	audit_passes();
}

/* Write to the page in each of n passes, then leave it alone: quiet passes until it is shared. */
static unsigned quiet_until_shared(unsigned n)
{
	unsigned quiet = 0;

	twin++;
	page_is(2, 3, twin << 8);
	pass();
	pass();
	pass();
	for (unsigned i = n; i; i--) {
		page_is(1, 3, (twin << 8) + i - 1);
		pass();
	}
	while (!merged(3) && quiet < 10) {
		pass();
		quiet++;
	}
	return quiet;
}

/* The longer it was written on end, the longer it must be quiet: one pass, two, three, and no more. */
static void the_volatile_wait(void **state)
{
	(void)state;
	two_guests(32);
	page_is(1, 3, 1);
	page_is(2, 3, 2);
	pass();
	pass(); /* or the first would be a page that was just populated */
	assert_int_equal(quiet_until_shared(1), 1);
	page_is(1, 3, 1); /* its own again; broken */
	pass();
	pass();
	assert_int_equal(quiet_until_shared(2), 2);
	page_is(1, 3, 1);
	pass();
	pass();
	assert_int_equal(quiet_until_shared(3), 3);
	page_is(1, 3, 1);
	pass();
	pass();
	assert_int_equal(quiet_until_shared(40), 3);
	set("patience", 0);
	page_is(1, 3, 1);
	pass();
	pass();
	pass();
	assert_int_equal(quiet_until_shared(40), 1);
	audit_passes();
}

/* Whatever a page went through, and whatever the queues do: four intervals at most. */
static void never_later_than_four(void **state)
{
	uint64_t random = 1;

	(void)state;
	two_guests(32);
	for (unsigned round = 0; round < 300; round++) {
		unsigned quiet = 0;

		twin++;
		for (unsigned i = 0; i < 8; i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			if (random >> 62)
				page_is(1 + (random >> 61 & 1), random >> 58 & 3, random >> 50 & 7);
			if (random >> 59 & 1)
				pass();
			else
				scan_slice(ALL);
		}
		page_is(1, 3, twin << 8);
		page_is(2, 3, twin << 8);
		while (!merged(3) && quiet < 10) {
			pass();
			quiet++;
		}
		assert_in_range(quiet, 1, 4);
	}
	audit_passes();
}

/*
 * Nor under a large leaf, in which other pages are written in any passes whatever: it is quiet once, or it is
 * split, and both are soon enough.
 */
static void never_later_than_four_under_a_large_leaf(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		unsigned quiet = 0, last = round % 4; /* passes before its last write */

		two_guests(LARGE_PAGES);
		set("large.gain", 1);
		assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
		for (uint64_t i = 0; i < LARGE_PAGES; i++)
			page_is(1, i, 1000 + i);
		page_is(2, 3, 1);
		passes(3);
		assert_int_equal(space_stats(&guest[1]).large_leaves, 1);
		for (unsigned i = 0; !merged(3); i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			if (i <= last)
				page_is(1, 3, i < last ? 2 + i : 1);
			/* always, often, now and then, seldom, never */
			if ((random >> 61) % 4 >= round % 5)
				page_is(1, 100 + i, random);
			pass();
			quiet += i >= last;
			assert_in_range(quiet, 0, 4);
		}
		destroy_space(&guest[1]);
		destroy_space(&guest[2]);
	}
}

/* The ages of pages that hold page tables are not the policy's. */
static void guest_tables_keep_their_age(void **state)
{
	struct frame *f;

	(void)state;
	two_guests(32);
	page_is(1, 3, 7);
	f = frame_at(p2m_lookup(&guest[1], GFN(3)).mfn);
	frame_set_flag(f, FRAME_GUEST_TABLE);
	frame_set_age(f, 15);
	for (uint64_t i = 0; i < 5; i++) {
		pass();
		page_is(1, 3, 8 + i);
	}
	assert_int_equal(frame_age(f), 15);
}

/* What settles leaves nothing out that the policy puts off. */
static void settling_waits_for_nobody(void **state)
{
	(void)state;
	two_guests(32);
	for (uint64_t i = 0; i < 6; i++) {
		page_is(1, 3, i);
		page_is(2, 3, i);
		pass();
	}
	scan_settle();
	assert_true(merged(3));
	oracle_check_settled();
}

/* ---- out of turn ---- */

/* Two pages of one content, each guest's own copy broken out; the machine is at rest before. */
static void unshared_again(uint64_t gfn)
{
	twin++;
	page_is(1, gfn, twin << 8);
	page_is(2, gfn, twin << 8);
}

/* While the round rests, an unshared page is looked at at once, and read soon_ms later. */
static void the_unshared_soon(void **state)
{
	uint64_t before;

	(void)state;
	two_guests(32);
	set("back_off", 4);
	for (uint64_t i = 0; i < 32; i++) {
		page_is(1, i, 1 + i);
		page_is(2, i, 1 + i);
	}
	come_to_rest();
	assert_true(merged(3));
	unshared_again(3);
	before = mm_stats().pages_fingerprinted;
	scan_slice(ALL); /* it was stirred: picks, and a round; the page is new to both */
	assert_int_equal(mm_stats().pages_fingerprinted, before);
	host_cycles += 50 * MS - 1;
	assert_false(merged(3));
	host_cycles += 1;
	scan_slice(ALL);
	assert_true(merged(3));
	audit_passes();
}

/* What the hypervisor has filled is left alone as well, by the queues and by the round. */
static void the_filled_soon(void **state)
{
	uint64_t before, word = 77;

	(void)state;
	two_guests(32);
	page_is(1, 3, 5);
	come_to_rest();
	before = mm_stats().pages_fingerprinted;
	assert_int_equal(mm_write(&guest[1], PAGE(3), &word, 8), MM_OK);
	scan_slice(ALL);
	assert_int_equal(mm_stats().pages_fingerprinted, before);
	host_cycles += 50 * MS;
	scan_slice(1);
	scan_slice(1); /* every other one is the round's */
	assert_int_equal(mm_stats().pages_fingerprinted, before + 1);
	assert_true(hinted(1, 3));
	audit_passes();
}

/* The same without any round: what the round would do is not what is tested. */
static void by_the_queues_alone(void **state)
{
	const struct scan_policy *p = scan_policy();
	struct scan_pass last = {.busy = 1000 * MS, .cycles = 100000 * MS};
	struct scan_cursor at = {0}, page;

	(void)state;
	last.ended_at = host_cycles; /* it rests for eight seconds */
	p->event(&(struct space){.domid = 5}, GFN(9), SCAN_FILLED);
	assert_true(p->next(&at, &last));
	assert_true(p->pick(&page));
	assert_int_equal(page.domid, 5);
	assert_int_equal(page.gfn.n, 9);
	assert_false(p->pick(&page));
	assert_false(p->round());
	assert_false(p->next(&at, &last)); /* left alone */
	host_cycles += 50 * MS - 1;
	assert_false(p->next(&at, &last));
	host_cycles += 1;
	assert_true(p->next(&at, &last));
	assert_true(p->pick(&page));
	assert_int_equal(page.gfn.n, 9);
	assert_false(p->round());
	host_cycles += 50 * MS;
	assert_false(p->next(&at, &last)); /* twice, and that was it */
	set("soon_ms", 0);
	p->event(&(struct space){.domid = 5}, GFN(9), SCAN_FILLED);
	assert_true(p->next(&at, &last) && p->pick(&page) && !p->pick(&page));
	assert_true(p->next(&at, &last) && p->pick(&page) && !p->pick(&page));
}

/* Of more events than are kept the oldest are lost, and the others come in their order. */
static void the_newest_events_are_kept(void **state)
{
	const struct scan_policy *p = scan_policy();
	struct scan_pass last = {.ended_at = host_cycles};
	struct scan_cursor at = {0}, page;
	uint64_t n = 0;

	(void)state;
	set("soon_ms", 10000); /* so that none comes for its second time */
	p->start();
	for (uint64_t i = 0; i < 5000; i++)
		p->event(&(struct space){.domid = 5}, GFN(GFN_LIMIT - 1 - i), SCAN_FILLED);
	for (unsigned slice = 0; slice < 1000; slice++)
		for (p->next(&at, &last); p->pick(&page); n++) {
			assert_int_equal(page.domid, 5);
			assert_int_equal(page.gfn.n, GFN_LIMIT - 1 - (5000 - 1024 + n));
		}
	assert_int_equal(n, 1024);
	p->event(&(struct space){.domid = 5}, GFN(9), SCAN_FILLED);
	p->start();
	assert_false(p->next(&at, &last) && p->pick(&page)); /* who begins begins with none */
}

/* A page that was written between its two looks is the round's; so is one that does not fit. */
static void a_full_queue_loses_time_only(void **state)
{
	unsigned n = 3000;

	(void)state;
	two_guests(n);
	for (uint64_t i = 0; i < n; i++) {
		page_is(1, i, 1 + i);
		page_is(2, i, 1 + i);
	}
	passes(5);
	assert_int_equal(mm_stats().pages_saved, n);
	for (uint64_t i = 0; i < n; i++)
		page_is(1, i, n + 1 + i); /* n breaks: more than three times what is kept */
	for (uint64_t i = 0; i < n; i++)
		page_is(1, i, 1 + i);
	passes(5);
	assert_int_equal(mm_stats().pages_saved, n);
	oracle_check_settled();
}

/* A guest that never stops breaking pages: the round comes to its end all the same. */
static void no_flood_holds_up_the_round(void **state)
{
	uint64_t end, slices = 0;

	(void)state;
	two_guests(2000);
	for (uint64_t i = 0; i < 2000; i++)
		page_is(1, i, 1 + i);
	passes(4);
	page_is(2, 1999, 2000); /* the last page that the round comes to */
	end = mm_stats().full_scans + 2;
	while (mm_stats().full_scans < end) {
		for (uint64_t i = 0; i < 64; i++)
			scan_policy()->event(&guest[2], GFN(i), SCAN_BROKEN);
		scan_slice(16); /* no more than a slice has picks */
		host_cycles += MS;
		assert_true(++slices < 2000);
	}
	passes(1);
	assert_int_equal(mm_stats().pages_saved, 1);
}

/* Events of a guest that is gone, of pages that are nowhere, of a hole, of a large leaf. */
static void events_of_nothing(void **state)
{
	const struct scan_policy *p = scan_policy();

	(void)state;
	two_guests(2 * LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], GFN(0)), MM_OK);
	page_is(1, 5, 1);
	page_is(2, 5, 2);
	p->event(&(struct space){.domid = 77}, GFN(1), SCAN_BROKEN);
	p->event(&(struct space){.domid = UINT16_MAX}, GFN(1), SCAN_BROKEN);
	p->event(&guest[1], GFN(UINT64_MAX), SCAN_FILLED);
	p->event(&guest[1], GFN(5), SCAN_BROKEN);
	p->event(&guest[2], GFN(GFN_LIMIT - 1), SCAN_BROKEN);
	p->event(&guest[2], GFN(6), SCAN_BROKEN);
	scan_slice(ALL);
	destroy_space(&guest[2]);
	passes(4);
	audit_passes();
}

/*
 * A page that left the index while its region was passed over as a whole, and is picked: from then on it
 * calls for a look, so its region may not be calm.
 */
static void a_pick_stirs_a_calm_region(void **state)
{
	uint64_t *over;

	(void)state;
	two_guests(32);
	page_is(1, 3, 7);
	come_to_rest();
	over = p2m_find_over(&guest[1], GFN(3));
	assert_int_equal(quiet_mark_of(p2m_entry_get(over)), QUIET_CALM);
	p2m_lock(&guest[1]);
	index_remove(p2m_lookup_locked(&guest[1], GFN(3)).mfn);
	scan_tell(&guest[1], GFN(3), SCAN_FILLED);
	p2m_unlock(&guest[1]);
	scan_slice(1); /* the pick uses it up */
	assert_int_equal(quiet_mark_of(p2m_entry_get(over)), QUIET_KNOWN);
	audit_passes();
	host_cycles += 50 * MS;
	scan_slice(1);
	scan_slice(1); /* every other one is the round's */
	assert_true(hinted(1, 3));
	audit_passes();
}

/* ---- how much ---- */

static uint64_t slices = 10; /* of a pass; between two of them the pace makes it wait */

/* The part of its share that it takes, in 1/1000, of n passes that come to `result`. */
static uint64_t part_of_share(const struct scan_pass *result, unsigned n)
{
	const struct scan_policy *p = scan_policy();
	uint64_t used = 0, began = host_cycles, share = PACE_WHOLE / 100;
	struct scan_cursor at = {0};

	for (unsigned i = 0; i < n; i++) {
		struct scan_pass pass = *result;

		pass.busy = slices * 1000;
		pass.cycles = pass.busy + (slices - 1) * 1000 * (PACE_WHOLE / share - 1);
		host_cycles += pass.cycles;
		used += pass.busy;
		pass.ended_at = host_cycles;
		p->pass_end(&pass);
		host_cycles += 1000 * (PACE_WHOLE / share - 1);
		while (!p->next(&at, &pass) || !p->round())
			host_cycles += 100;
	}
	return used * 1000 / ((host_cycles - began) * share / PACE_WHOLE);
}

/*
 * All of it while pages merge; a sixteenth after some passes that freed nothing; never more than all.
 * That is so for passes of many slices, and for such as fit into one.
 */
static void takes_less(void)
{
	static const struct scan_pass gains = {.merged = 1, .placed = 1}, hints = {.placed = 100},
	                              nothing = {0};

	assert_in_range(part_of_share(&gains, 20), 995, 1000);
	assert_in_range(part_of_share(&hints, 1), 490, 500);
	assert_in_range(part_of_share(&hints, 1), 245, 250);
	assert_in_range(part_of_share(&hints, 1), 120, 125);
	assert_in_range(part_of_share(&hints, 20), 60, 63);
	assert_in_range(part_of_share(&nothing, 20), 60, 63);
	assert_in_range(part_of_share(&gains, 1), 995, 1000); /* at once */
	part_of_share(&nothing, 20);
	scan_policy()->event(&(struct space){.domid = 1}, GFN(1), SCAN_FILLED);
	assert_in_range(part_of_share(&nothing, 1), 60, 63);
	scan_policy()->event(&(struct space){.domid = 1}, GFN(1), SCAN_BROKEN);
	assert_in_range(part_of_share(&gains, 1), 995, 1000);
	set("back_off", 0);
	assert_in_range(part_of_share(&hints, 20), 995, 1000);
	assert_in_range(part_of_share(&nothing, 20), 915, 930); /* the rest of an idle machine */
	set("back_off", 4);
}

static void takes_less_when_it_gains_nothing(void **state)
{
	(void)state;
	slices = 10;
	takes_less();
	part_of_share(&(struct scan_pass){.merged = 1}, 1);
	slices = 1;
	takes_less();
}

static bool goes_round(struct scan_cursor *at, const struct scan_pass *last)
{
	return scan_policy()->next(at, last) && scan_policy()->round();
}

/* An event ends a rest that is under way. */
static void an_event_ends_the_rest(void **state)
{
	const struct scan_policy *p = scan_policy();
	struct scan_pass last = {.busy = 1000, .cycles = 100000, .placed = 1};
	struct scan_cursor at = {0};

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		p->pass_end(&last);
	last.ended_at = host_cycles;
	assert_false(goes_round(&at, &last));
	host_cycles += 15 * last.cycles - 1;
	assert_false(goes_round(&at, &last));
	host_cycles++;
	assert_true(goes_round(&at, &last));
	last.ended_at = host_cycles;
	assert_false(goes_round(&at, &last));
	p->event(&(struct space){.domid = 1}, GFN(1), SCAN_POPULATED);
	assert_true(goes_round(&at, &last));
	/* A pass that was held up for an hour is no reason to rest for fifteen. */
	for (unsigned i = 0; i < 10; i++)
		p->pass_end(&last);
	last.cycles = UINT64_C(3600000) * MS;
	last.ended_at = host_cycles;
	assert_false(goes_round(&at, &last));
	host_cycles += 2048 * last.busy;
	assert_true(goes_round(&at, &last));
	/* In the middle of a pass there is no rest. */
	at.domid = 1;
	last.ended_at = host_cycles;
	assert_true(goes_round(&at, &last));
}

/* On an idle machine, where a pass takes what it costs: a ninth of a CPU at most. */
static void rests_on_an_idle_machine(void **state)
{
	const struct scan_policy *p = scan_policy();
	struct scan_pass last = {.busy = 1000, .cycles = 1000, .ended_at = host_cycles};
	struct scan_cursor at = {0};

	(void)state;
	p->pass_end(&last);
	assert_false(goes_round(&at, &last));
	host_cycles += 7999;
	assert_false(goes_round(&at, &last));
	host_cycles += 1;
	assert_true(goes_round(&at, &last));
}

#define WITH_CLOCK(f) cmocka_unit_test_setup_teardown(f, setup_clock, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(one_quiet_interval),
	    BOTH(the_volatile_wait),
	    BOTH(never_later_than_four),
	    BOTH(never_later_than_four_under_a_large_leaf),
	    BOTH(settling_waits_for_nobody),
	    BOTH(guest_tables_keep_their_age),
	    WITH_CLOCK(the_unshared_soon),
	    WITH_CLOCK(the_filled_soon),
	    WITH_CLOCK(by_the_queues_alone),
	    WITH_CLOCK(the_newest_events_are_kept),
	    BOTH(a_full_queue_loses_time_only),
	    WITH_CLOCK(no_flood_holds_up_the_round),
	    BOTH(events_of_nothing),
	    WITH_CLOCK(a_pick_stirs_a_calm_region),
	    WITH_CLOCK(takes_less_when_it_gains_nothing),
	    WITH_CLOCK(an_event_ends_the_rest),
	    WITH_CLOCK(rests_on_an_idle_machine),
	};

	return cmocka_run_group_tests_name("policy_dirty", tests, NULL, NULL);
}
