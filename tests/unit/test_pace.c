/* SPDX-License-Identifier: MIT */
/* A share of time (kernel/pace.c), by a clock of the test's own: never more than the share. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/pace.h"

#define MS UINT64_C(1000000)

/* Work whenever it is allowed, for `span` of time; the k-th piece takes piece(k). Returns what was
 * spent. At no instant may it be more than the share of what has passed, and one new longest piece. */
static uint64_t work(uint32_t share, uint64_t step, uint64_t span, uint64_t (*piece)(uint64_t k))
{
	uint64_t now = 5 * MS, begin = now, spent = 0, k = 0, longest = 0;
	struct pace p;

	pace_init(&p, share, now);
	while (now < begin + span) {
		while (pace_may(&p, now)) {
			uint64_t ns = piece(k++);

			longest = ns > longest ? ns : longest;
			pace_spent(&p, ns);
			now += ns;
			spent += ns;
			assert_true(spent <= (now - begin) * share / PACE_WHOLE + longest);
		}
		now += step;
	}
	return spent;
}

static uint64_t even(uint64_t k)
{
	(void)k;
	return 40000;
}

static uint64_t uneven(uint64_t k)
{
	return 1000 + k * 7919 % 200000;
}

static uint64_t seldom_long(uint64_t k)
{
	return k % 1000 == 999 ? 50 * MS : 20000;
}

/* It is used up, nearly, and never exceeded: for shares, clocks and pieces of many kinds. */
static void never_more(void **state)
{
	const uint32_t shares[] = {PACE_WHOLE / 1000, PACE_WHOLE / 100, PACE_WHOLE / 20,
	                           PACE_WHOLE / 2};
	uint64_t (*const pieces[])(uint64_t k) = {even, uneven, seldom_long};

	(void)state;
	for (unsigned s = 0; s < 4; s++)
		for (unsigned i = 0; i < 3; i++) {
			uint64_t span = 20000 * MS;
			uint64_t spent = work(shares[s], 10 * MS / 7, span, pieces[i]);
			uint64_t due = span * shares[s] / PACE_WHOLE;

			assert_in_range(spent, due / 2, due + 50 * MS);
		}
}

/* Nothing at all for a share of nothing; no burst after a long rest; a debt is paid first. */
static void corners(void **state)
{
	uint64_t begun = 0;
	struct pace p;

	(void)state;
	pace_init(&p, 0, 0);
	assert_false(pace_may(&p, UINT64_MAX / 2));
	pace_init(&p, PACE_WHOLE / 100, 0);
	assert_false(pace_may(&p, 0));
	while (pace_may(&p, 3600000 * MS)) {
		pace_spent(&p, 50000);
		begun++;
	}
	assert_in_range(begun, 30, 50); /* two milliseconds of it */
	pace_init(&p, PACE_WHOLE / 100, 0);
	assert_true(pace_may(&p, 10 * MS));
	pace_spent(&p, 10 * MS);
	assert_false(pace_may(&p, 900 * MS));
	assert_false(pace_may(&p, 1000 * MS)); /* paid; and as much again is to be saved up first */
	assert_true(pace_may(&p, 2001 * MS));
	pace_set(&p, PACE_WHOLE, 2001 * MS);
	assert_false(pace_may(&p, 2001 * MS));
	assert_true(pace_may(&p, 2012 * MS));
	while (pace_may(&p, 2012 * MS))
		pace_spent(&p, MS);
	assert_false(pace_may(&p, 1)); /* a clock that went back gives nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(never_more),
	    cmocka_unit_test(corners),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
