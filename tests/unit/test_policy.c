/* SPDX-License-Identifier: MIT */
/* The plain policy (mm/policy/plain.c): when the next slice may begin. And the reserve's
 * (mm/policy/reserve.c): how large it is. */
#include "mm/policy/reserve.h"
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

/* After a pass that placed nothing it rests for eight times as long as that was busy. */
static void rests_when_there_is_little_to_gain(void **state)
{
	const struct scan_policy *plain = scan_find_policy("plain");
	struct scan_pass last = {.busy = 1000, .ended_at = 50000};
	struct scan_cursor at = {0};

	(void)state;
	assert_string_equal(plain->name, "plain");
	host_cycles = 50000;
	assert_false(plain->next(&at, &last));
	host_cycles = 57999;
	assert_false(plain->next(&at, &last));
	host_cycles = 58000;
	assert_true(plain->next(&at, &last));
	/* A pass is never broken off, and one that found something is followed at once. */
	host_cycles = 50000;
	at.domid = 1;
	assert_true(plain->next(&at, &last));
	at.domid = 0;
	last.placed = 1;
	assert_true(plain->next(&at, &last));
}

/* Half a second of breaks: up at once, down by a quarter of the way a look, within its limits. */
static void reserve_follows_breaks(void **state)
{
	const uint64_t second = UINT64_C(1000000000);
	struct reserve_policy r = {.least = 16, .most = 600000};

	(void)state;
	assert_int_equal(reserve_level(&r, 5000, second),
	                 16); /* there is nothing to compare with */
	assert_int_equal(reserve_level(&r, 5000 + 1000000, 2 * second), 500000);
	assert_int_equal(reserve_level(&r, 5000 + 1000000, 2 * second),
	                 500000); /* no time went by */
	assert_int_equal(reserve_level(&r, 5000 + 1000000, 3 * second), 375000);
	assert_int_equal(reserve_level(&r, 5000 + 1750000, 4 * second), 375000); /* as many again */
	assert_int_equal(reserve_level(&r, 5000 + 3750000, 5 * second), 600000);
	for (uint64_t i = 6; i < 100; i++)
		reserve_level(&r, 5000 + 3750000, i * second);
	assert_int_equal(r.breaks_a_second, 0);
	assert_int_equal(reserve_level(&r, 5000 + 3750000, 100 * second), 16);
	assert_int_equal(reserve_level(&r, 0, 101 * second), 16); /* a count that began anew */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rests_when_there_is_little_to_gain),
	    cmocka_unit_test(reserve_follows_breaks),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
