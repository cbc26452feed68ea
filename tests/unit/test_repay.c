/* SPDX-License-Identifier: MIT */
/*
 * Repayment (mm/repay.c): what one call gives back of a dying domain's memory is bounded, whether
 * it helps the call or not; and who can use it has it.
 */
#include "mm/charge.h"
#include "mm/repay.h"
#include "tests/unit/mm_test.h"

#define FRAMES  8192u
#define RESERVE 16u
#define MANY    5000u                /* pages of the dying one */
#define TURN    64u                  /* given back at a time */
#define MOST    (REPAY_TURNS * TURN) /* by one call */

static struct space a, dying;

/* One has begun to go. Between each five frames of its own lies one of a's: no piece of eight comes free. */
static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = FRAMES, .cpus = 1, .reserve = RESERVE});
	make_space(&a, 1, FRAMES);
	make_space(&dying, 2, MANY);
	guest_puts(&a, 0, 1);
	for (unsigned i = 0; i < MANY; i++) {
		guest_puts(&dying, PAGE(i), i + 1);
		if (i % 5 == 0)
			guest_puts(&a, PAGE(4000 + i / 5), i + 1);
	}
	guest_leave_all();
	assert_false(space_destroy_step(&dying, 0));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fund_set_line(false);
	audit_passes();
	guest_leave_all();
	host_stop();
	return 0;
}

/* What has come back since the last call. */
static uint64_t came_back(void)
{
	static uint64_t before;
	uint64_t now = dying.stats.private_pages, came = before - now;

	before = now;
	return came;
}

/* a takes what it may, and nothing is left of what is given back at once. */
static uint64_t use_up(void)
{
	uint64_t n = 1;

	while (fund_look().free > RESERVE) {
		assert_int_equal(guest_write(0, &a, PAGE(n), 1), VERDICT_RESUME);
		n++;
	}
	(void)came_back();
	return n;
}

/* While there is a line whatever comes free is for others. */
static void in_vain_under_a_line(void **state)
{
	uint64_t value = 1;
	void *page;

	(void)state;
	fund_set_line(true);
	(void)came_back();
	assert_int_equal(guest_write(0, &a, PAGE(1), 1), VERDICT_WAIT);
	assert_int_equal(came_back(), MOST);
	assert_int_equal(mm_pin(&a, GFN(2), &page), MM_NOMEM);
	assert_int_equal(came_back(), MOST);
	assert_int_equal(mm_write(&a, PAGE(3), &value, sizeof(value)), MM_NOMEM);
	assert_int_equal(came_back(), MOST);
	assert_true(repay_pending());
}

/* A write of many pages is one call, too. */
static void a_write_of_many_pages(void **state)
{
	static const uint8_t zeroes[(REPAY_TURNS + 4) * TURN * PAGE_SIZE];
	uint64_t n = use_up();

	(void)state;
	assert_int_equal(mm_write(&a, PAGE(n), zeroes, sizeof(zeroes)), MM_NOMEM);
	assert_int_equal(came_back(), MOST);
	assert_int_equal(mm_write(&a, PAGE(n), zeroes, sizeof(zeroes)), MM_OK);
	assert_int_equal(came_back(), 4 * TURN);
}

/* No frame that comes free is what is asked for: a piece of 2 MiB, or one more than it may have. */
static void in_vain_for_frames(void **state)
{
	gfn_t g;

	(void)state;
	(void)use_up();
	for (g = GFN(1); g.n < 1000; g.n += 2) /* room enough, in pieces */
		assert_int_equal(balloon_out(&a, &g, 1, 0), 1);
	while (mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 1)) &&
	       charge_of(1).hypervisor < CHARGE_MAX_PAGES)
		;
	(void)came_back();
	assert_false(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 1)));
	assert_int_equal(came_back(), MOST);
	assert_false(mfn_valid(frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)));
	assert_int_equal(came_back(), MOST);
}

/* A page that has memory, one that is no RAM, and one too many do not lack frames. */
static void nothing_was_refused(void **state)
{
	gfn_t there = GFN(0), large = GFN(0), hole = GFN(GFN_LIMIT - 1), out = GFN(7);
	bool again = true;

	(void)state;
	(void)came_back();
	fund_set_line(true);
	assert_int_equal(balloon_in_part(&a, &large, 1, LARGE_ORDER, &again), 0);
	assert_false(again);
	fund_set_line(false);
	assert_int_equal(balloon_in_part(&a, &there, 1, 0, &again), 0);
	assert_false(again);
	assert_int_equal(balloon_in_part(&a, &hole, 1, 0, &again), 0);
	assert_false(again);
	assert_int_equal(balloon_out(&a, &out, 1, 0), 1);
	a.max_pages = a.memory_pages;
	assert_int_equal(balloon_in_part(&a, &out, 1, 0, &again), 0);
	assert_false(again);
	a.max_pages++;
	assert_int_equal(balloon_in_part(&a, &out, 1, 0, &again), 1);
	assert_false(again);
	assert_int_equal(came_back(), 0);
}

/* Pages that lack frames come back in several calls, each of which gives a little back. */
static void in_by_and_by(void **state)
{
	uint64_t done = 0, calls = 0;
	gfn_t gfns[300];
	bool again;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++)
		gfns[i] = GFN(7000 + i);
	assert_int_equal(balloon_out(&a, gfns, ARRAY_SIZE(gfns), 0), ARRAY_SIZE(gfns));
	(void)use_up();
	do {
		done += balloon_in_part(&a, gfns + done, ARRAY_SIZE(gfns) - done, 0, &again);
		assert_int_equal(came_back(), again ? TURN : 0);
		calls++;
	} while (again);
	assert_int_equal(done, ARRAY_SIZE(gfns));
	assert_int_equal(calls, 1 + (ARRAY_SIZE(gfns) + TURN - 1) / TURN);
}

/* And a large extent; if it never can, that ends with the dying one's memory. */
static void large_by_and_by(void **state)
{
	gfn_t g = GFN(6144);
	unsigned calls = 0;
	bool again;

	(void)state;
	assert_int_equal(balloon_out(&a, &g, 1, LARGE_ORDER), 1);
	(void)use_up();
	while (balloon_in_part(&a, &g, 1, LARGE_ORDER, &again) == 0) {
		assert_true(again);
		assert_int_equal(came_back(), TURN);
	}
	assert_int_equal(balloon_out(&a, &g, 1, LARGE_ORDER), 1);
	fund_set_line(true);
	do {
		assert_int_equal(balloon_in_part(&a, &g, 1, LARGE_ORDER, &again), 0);
		calls++;
	} while (again);
	assert_in_range(calls, 2, MANY / TURN + 2);
	assert_int_equal(dying.stats.private_pages, 0);
}

/*
 * A copy asks for repayment first; if one call's is not enough to fill the reserve, it stands in
 * line, and has its turn at once: for that the reserve is there.
 */
static void a_copy_has_its_turn(void **state)
{
	unsigned self = env_cpu();

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		guest_puts(&a, PAGE(i), 0x1234);
	merge_pages(&a, GFN(1), &a, GFN(2));
	merge_pages(&a, GFN(1), &a, GFN(3));
	for (uint64_t n = 10; fund_look().free > RESERVE; n++)
		guest_puts(&a, PAGE(n), 1);
	fund_set_reserve(MOST + 1000);
	(void)came_back();
	assert_int_equal(guest_write(0, &a, PAGE(1), 1), VERDICT_WAIT);
	assert_int_equal(came_back(), MOST);
	fund_set_line(true); /* as kernel/waiters.c does */
	host_set_cpu(0);     /* it was this CPU that was refused */
	assert_true(fund_grant(&a, fund_refused_break()));
	host_set_cpu(self);
	assert_false(fund_refused_break());
	assert_int_equal(guest_write(0, &a, PAGE(1), 1), VERDICT_RESUME);
	assert_int_equal(came_back(), 0);
	fund_ungrant(&a);
	fund_set_reserve(RESERVE);
}

/* A frame for the hypervisor itself: it puts more into the reserve than it takes. */
static void a_frame_from_what_it_gave(void **state)
{
	(void)state;
	(void)use_up();
	fund_set_reserve(MOST + 1000);
	assert_true(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 1)));
	assert_int_equal(came_back(), TURN);
	assert_int_equal(fund_look().free, RESERVE + TURN - 1);
	while (repay_some())
		;
	fund_set_reserve(fund_look().free);
	assert_false(mfn_valid(frame_alloc(0, FRAME_SERVICE, 1))); /* no more will come */
	fund_set_reserve(RESERVE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(in_vain_under_a_line), T(a_write_of_many_pages),
	    T(in_vain_for_frames),   T(nothing_was_refused),
	    T(in_by_and_by),         T(large_by_and_by),
	    T(a_copy_has_its_turn),  T(a_frame_from_what_it_gave),
	};

	return cmocka_run_group_tests_name("repay", tests, NULL, NULL);
}
