/* SPDX-License-Identifier: MIT */
/* The parts of the frame table that hold frames of ours (mm/ranges.c). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "mm/leaf/assert.h"
#include "mm/ranges.h"

/* All frames that a walk meets, as sums: of how many, and of their numbers. */
static void walk(uint64_t *frames, uint64_t *sum)
{
	uint64_t last = 0;

	*frames = *sum = 0;
	for (mfn_t m = ranges_next(MFN(0)); mfn_valid(m); m = ranges_next(MFN(m.n + 1))) {
		assert_true(m.n > last); /* ascending, and never frame 0 */
		last = m.n;
		++*frames;
		*sum += m.n;
	}
}

/* In whatever order they are given, the walk meets each frame once, by its number. */
static void any_order(void **state)
{
	static const struct mm_range sorted[4] = {
	    {{0},   3},
            {{10},  2},
            {{20},  1},
            {{100}, 4}
        };
	static const uint8_t order[][4] = {
	    {0, 1, 2, 3},
            {3, 2, 1, 0},
            {2, 0, 3, 1},
            {1, 3, 0, 2}
        };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		struct mm_range r[4];
		uint64_t frames, sum;

		for (unsigned k = 0; k < 4; k++)
			r[k] = sorted[order[i][k]];
		ranges_init(r, 4);
		walk(&frames, &sum);
		assert_int_equal(frames, 2 + 2 + 1 + 4);
		assert_int_equal(sum, 1 + 2 + 10 + 11 + 20 + 100 + 101 + 102 + 103);
	}
}

static void borders(void **state)
{
	static const struct mm_range r[2] = {
	    {{10}, 2},
            {{20}, 1}
        };

	(void)state;
	ranges_init(r, 2);
	assert_int_equal(ranges_next(MFN(9)).n, 10);
	assert_int_equal(ranges_next(MFN(10)).n, 10);
	assert_int_equal(ranges_next(MFN(11)).n, 11);
	assert_int_equal(ranges_next(MFN(12)).n, 20);
	assert_int_equal(ranges_next(MFN(20)).n, 20);
	assert_false(mfn_valid(ranges_next(MFN(21))));
	ranges_init(r, 0);
	assert_false(mfn_valid(ranges_next(MFN(0))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_order),
	    cmocka_unit_test(borders),
	};

	return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
