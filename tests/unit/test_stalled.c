/* SPDX-License-Identifier: MIT */
/*
 * What the operator is told of the line for memory (kernel/overcommit.c): FLOWS, WAITS, STALLED. A machine on
 * which nobody gets on is STALLED after two seconds; one on which some do, and others have nothing but a
 * frame of the reserve each second, after thirty.
 */
#include "kernel/cmdline.h"
#include "kernel/overcommit.h"
#include "tests/unit/line_test.h"

#define PLENTY 200u /* a reserve that a frame a second does not use up */
#define TENTHS 10u  /* of a second */

/* From now on the reserve has so many frames more, and nothing is free beyond it. */
static void reserve_of(unsigned more)
{
	static uint64_t later; /* than all that the line remembers of other tests */

	host_now_ns[0] = later += 1000 * SECOND;
	release(more);
	fund_set_reserve(RESERVE + more);
	cmdline_set("reserve=1"); /* a share that the operator fixed: its size stays */
	overcommit_init();
	assert_int_equal(fund_look().free, fund_look().debt + RESERVE + more);
}

/* So long i asks for one new page after the other. Returns how many it got. */
static unsigned asks_for(unsigned i, unsigned tenths)
{
	unsigned got = 0, page = 0;

	for (; tenths; tenths--) {
		if (i < GUESTS && vcpu(i)->state == VCPU_RUNNABLE)
			while (asks(i, page) == VCPU_RUNNABLE && !vcpu(i)->wait_ticket) {
				got++;
				page++;
			}
		host_now_ns[0] += SECOND / TENTHS;
		vcpu_wake_memory_waiters();
		overcommit_poll();
	}
	return got;
}

static void nobody_asks(unsigned tenths)
{
	asks_for(GUESTS, tenths);
}

/* Has a page of its own, and runs on it. */
static void gets_on(unsigned i)
{
	release(1);
	assert_int_equal(asks(i, 900), VCPU_RUNNABLE);
}

/* The reserve is used up, a frame a second; two seconds later it is said, and one frame ends it. */
static void nobody_gets_on(void **state)
{
	(void)state;
	reserve_of(0);
	nobody_asks(1);
	assert_int_equal(overcommit_state(), OVERCOMMIT_FLOWS);
	assert_int_equal(asks_for(0, 40), RESERVE);
	assert_int_equal(overcommit_state(), OVERCOMMIT_WAITS);
	assert_int_equal(asks_for(0, 20), 0);
	assert_int_equal(overcommit_state(), OVERCOMMIT_STALLED);
	release(1);
	overcommit_poll();
	assert_int_not_equal(overcommit_state(), OVERCOMMIT_STALLED);
}

/* One has what it needs and runs for ever; the other crawls. */
static void one_crawls(void **state)
{
	(void)state;
	reserve_of(PLENTY);
	gets_on(1);
	assert_in_range(asks_for(0, 29 * TENTHS), 25, 29);
	assert_int_not_equal(overcommit_state(), OVERCOMMIT_STALLED);
	asks_for(0, 2 * TENTHS);
	for (unsigned i = 0; i < 5 * TENTHS; i++) { /* in line or not, just now */
		asks_for(0, 1);
		assert_int_equal(overcommit_state(), OVERCOMMIT_STALLED);
	}
	while (vcpu(0)->state != VCPU_MEMORY)
		asks_for(0, 1);
	release(PLENTY / 2); /* the reserve is full again, and some are left: it goes on */
	asks_for(0, 1);
	assert_int_not_equal(overcommit_state(), OVERCOMMIT_STALLED);
	asks_for(0, 29 * TENTHS);
	assert_int_not_equal(overcommit_state(), OVERCOMMIT_STALLED);
	asks_for(0, 2 * TENTHS);
	assert_int_equal(overcommit_state(), OVERCOMMIT_STALLED);
	nobody_asks(4 * TENTHS); /* it got its page, and wants no more */
	assert_int_equal(overcommit_state(), OVERCOMMIT_FLOWS);
}

/* Who asks now and then is not in want. */
static void rests_between(void **state)
{
	(void)state;
	reserve_of(PLENTY);
	gets_on(1);
	for (unsigned i = 0; i < 4; i++) {
		asks_for(0, 20 * TENTHS);
		nobody_asks(4 * TENTHS);
		assert_int_equal(overcommit_state(), OVERCOMMIT_FLOWS);
	}
}

/* Copies are what the reserve is for: who lives on them is served, and nothing is wrong. */
static void copies_are_no_want(void **state)
{
	(void)state;
	reserve_of(PLENTY);
	gets_on(1);
	for (unsigned second = 0; second < 40; second++) {
		assert_int_equal(asks(0, second), VCPU_MEMORY);
		assert_int_equal(waiters_view().for_new, 1);
		vcpu(0)->wants_copy = true; /* what it wants is a copy */
		assert_int_equal(waiters_view().for_new, 0);
		nobody_asks(TENTHS);
		assert_int_equal(asks(0, second), VCPU_RUNNABLE);
		assert_int_not_equal(overcommit_state(), OVERCOMMIT_STALLED);
	}
}

/* A guest that the operator stopped waits for him. */
static void paused_is_no_want(void **state)
{
	(void)state;
	reserve_of(PLENTY);
	gets_on(1);
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	domain_pause(d[0]);
	assert_int_equal(vcpu(0)->state, VCPU_MEMORY);
	nobody_asks(40 * TENTHS);
	assert_int_equal(overcommit_state(), OVERCOMMIT_FLOWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(nobody_gets_on),     T(one_crawls),        T(rests_between),
	    T(copies_are_no_want), T(paused_is_no_want),
	};

	return cmocka_run_group_tests_name("stalled", tests, NULL, NULL);
}
