/* SPDX-License-Identifier: MIT */
/* The plain policy (mm/policy/plain.c): when the next slice may begin. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rests_when_there_is_little_to_gain),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
