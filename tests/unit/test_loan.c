/* SPDX-License-Identifier: MIT */
/* Loans (mm/fund.c): a few frames for whoever gives memory back. */
#include "mm/fund.h"
#include "tests/unit/mm_test.h"

#define LOAN    5u
#define RESERVE 16u

static struct space a, b;
static uint64_t free_at_start;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 1024, .cpus = 1, .reserve = RESERVE});
	free_at_start = host_free_frames();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_passes();
	host_stop();
	return 0;
}

/* Write pages first .. of s until it must wait; returns how many went. */
static uint64_t write_until_wait(struct space *s, uint64_t first, uint64_t end)
{
	uint64_t n = first;

	while (n < end && guest_write(0, s, PAGE(n), n + 1) == VERDICT_RESUME)
		n++;
	guest_leave_all();
	return n - first;
}

#define LOAN 5u

static void create_with_loan(struct space *s, domid_t d, uint64_t min)
{
	struct space_config c = {d, 7, 2000, 2000, min, LOAN};

	assert_int_equal(space_create(s, &c), MM_OK);
}

/* a has taken all that it may; only what is kept for loans is left. */
static void borrowers(uint64_t b_min)
{
	create_with_loan(&a, 1, 0);
	create_with_loan(&b, 2, b_min);
	write_until_wait(&b, 0, 10);
	fund_set_reserve(0);
	write_until_wait(&a, 10, 2000);
	assert_int_equal(fund_look().free, fund_look().debt + 2 * LOAN);
	fund_set_line(true);
}

static void borrowers_go(void)
{
	audit_passes();
	fund_set_line(false);
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(fund_look().loans, 0);
	assert_int_equal(host_free_frames(), free_at_start);
}

/* Who was asked to give back has a few frames for it, in front of any line. They are its own: nobody
 * else gets them, not even one that borrows as well. */
static void loan_to_give_back(void **state)
{
	(void)state;
	borrowers(0);
	assert_int_equal(write_until_wait(&b, 100, 101), 0); /* nobody asked it */
	assert_false(fund_can_borrow(&b));
	assert_false(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 0)));
	assert_false(fund_grant(&b, true));
	fund_lend(&a, true);
	assert_int_equal(write_until_wait(&a, 1900, 2000), LOAN);
	assert_false(fund_can_borrow(&a));
	fund_lend(&b, true);
	assert_int_equal(write_until_wait(&b, 100, 200), LOAN);
	assert_int_equal(fund_look().free, fund_look().debt);
	borrowers_go();
}

/* To be asked again brings no more; to give back does, as much as came back. */
static void loan_is_paid_back(void **state)
{
	(void)state;
	borrowers(0);
	fund_lend(&b, true);
	assert_int_equal(write_until_wait(&b, 100, 200), LOAN);
	fund_lend(&b, false);
	fund_lend(&b, true);
	assert_int_equal(write_until_wait(&b, 110, 200), 0);
	assert_int_equal(balloon_out(&b, (gfn_t[]){GFN(1), GFN(2), GFN(1000)}, 3, 0), 3);
	assert_int_equal(write_until_wait(&b, 110, 200), 2); /* the third was never touched */
	assert_int_equal(balloon_out(&a, (gfn_t[]){GFN(11), GFN(12)}, 2, 0), 2);
	assert_int_equal(write_until_wait(&b, 120, 200), 0); /* that was a's to give */
	borrowers_go();
}

/* What brings a space below its min pays the debt that this makes, and no loan. */
static void loan_is_not_paid_with_debt(void **state)
{
	(void)state;
	borrowers(10);
	fund_lend(&b, true);
	assert_true(fund_grant(&b, false));
	assert_true(fund_grant(&b, false));
	assert_int_equal(b.borrowed, 2);
	assert_int_equal(balloon_out(&b, (gfn_t[]){GFN(1), GFN(2)}, 2, 0), 2);
	assert_int_equal(b.borrowed, 2);
	assert_int_equal(balloon_out(&b, &GFN(3), 1, 0), 1); /* below its min already */
	assert_int_equal(b.borrowed, 2);
	audit_passes();
	fund_ungrant(&b);
	fund_ungrant(&b);
	assert_int_equal(b.borrowed, 0);
	borrowers_go();
}

/* A turn is borrowed only where there is no other frame, and what of it was not used is paid back. */
static void loan_by_a_turn(void **state)
{
	(void)state;
	borrowers(0);
	fund_lend(&b, true);
	assert_int_equal(balloon_out(&a, (gfn_t[]){GFN(11)}, 1, 0), 1);
	assert_true(fund_grant(&b, false));
	assert_int_equal(b.borrowed, 0);
	assert_true(fund_grant(&b, false));
	assert_int_equal(b.borrowed, 1);
	audit_passes();
	assert_int_equal(write_until_wait(&b, 100, 101), 1);
	fund_ungrant(&b);
	assert_int_equal(b.borrowed, 1);
	fund_ungrant(&b); /* one of the two was not used */
	assert_int_equal(b.borrowed, 0);
	borrowers_go();
}

/* No new space unless its loan is backed beside all guarantees. */
static void loan_is_backed(void **state)
{
	struct space_config c = {2, 7, 100, 100, 0, LOAN};

	(void)state;
	create_with_loan(&a, 1, 0);
	assert_int_equal(fund_set_min(&a, fund_look().free - RESERVE - LOAN - 3), MM_OK);
	assert_int_equal(space_create(&b, &c), MM_NOMEM);
	assert_int_equal(fund_look().loans, LOAN);
	audit_passes();
	assert_int_equal(fund_set_min(&a, 0), MM_OK);
	assert_int_equal(space_create(&b, &c), MM_OK);
	destroy_space(&a);
	destroy_space(&b);
}

/* Memory is in pieces: who gets no large frame has not borrowed for it. */
static void no_loan_without_a_frame(void **state)
{
	struct space_config c = {2, 7, 1024, 1024, 500, 64};
	uint64_t wrote;

	host_stop();
	host_start(&(struct host_config){.frames = 2048, .cpus = 1});
	(void)state;
	make_space(&a, 1, 2000);
	wrote = write_until_wait(&a, 0, 2000);
	for (uint64_t i = 0; i < wrote; i += 2)
		assert_int_equal(balloon_out(&a, &GFN(i), 1, 0), 1);
	assert_int_equal(space_create(&b, &c), MM_OK);
	fund_lend(&b, true);
	fund_set_line(true); /* 500 are promised, 12 would be lent */
	for (unsigned i = 0; i < 4; i++)
		assert_false(mfn_valid(fund_take_large(&b, GFN(512), FUND_POPULATE)));
	assert_int_equal(b.borrowed, 0);
	assert_int_equal(fund_look().loans, 64);
	assert_int_equal(write_until_wait(&b, 0, 1000), 500 + 64);
	assert_int_equal(b.borrowed, 64);
	audit_passes();
	fund_set_line(false);
	destroy_space(&a);
	destroy_space(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(loan_to_give_back), T(loan_is_paid_back), T(loan_is_not_paid_with_debt),
	    T(loan_by_a_turn),    T(loan_is_backed),    T(no_loan_without_a_frame),
	};

	return cmocka_run_group_tests_name("loan", tests, NULL, NULL);
}
