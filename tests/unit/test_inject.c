/* SPDX-License-Identifier: MIT */
/* Refusals on request (kernel/inject.c). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/inject.h"
#include "tests/host/machine.h"

static unsigned refusals_of(unsigned asked)
{
	unsigned n = 0;

	while (asked--)
		n += inject_refuses();
	return n;
}

/* Who needs two frames at a time gets them, by trying again. */
static void two_at_a_time(void **state)
{
	unsigned tries = 0;

	(void)state;
	host_machine_reset(1);
	inject_every(2);
	while (tries < 100 && (inject_refuses() || inject_refuses()))
		tries++;
	inject_every(0);
	assert_in_range(tries, 0, 20);
}

/* One of every k, and no more once it is off. */
static void every_kth(void **state)
{
	uint64_t before = inject_refused();

	(void)state;
	host_machine_reset(1);
	assert_int_equal(refusals_of(100), 0);
	inject_every(5);
	assert_int_equal(refusals_of(100), 20);
	inject_every(1);
	assert_int_equal(refusals_of(7), 7);
	inject_every(0);
	assert_int_equal(refusals_of(100), 0);
	assert_int_equal(inject_refused() - before, 27);
}

/* All, until the time is over. */
static void all_for_a_time(void **state)
{
	(void)state;
	host_machine_reset(1);
	inject_all_until(host_now_ns[0] + 1000);
	assert_int_equal(refusals_of(10), 10);
	host_now_ns[0] += 1000;
	assert_int_equal(refusals_of(10), 0);
	inject_every(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_kth),
	    cmocka_unit_test(two_at_a_time),
	    cmocka_unit_test(all_for_a_time),
	};

	return cmocka_run_group_tests_name("inject", tests, NULL, NULL);
}
