/* SPDX-License-Identifier: MIT */
/*
 * A large leaf whose likes are still to be read is weighed when they have been (mm/shape.c): whether the two
 * can be shared as a whole is not known before.
 */
#include "tests/unit/shape_test.h"

#define ALIKE (GAIN / 2) /* too few for a split */

/* Guest 1 has pages of zeroes enough for a split, guest 2 has none; both begin alike. */
static void begin_alike(void)
{
	guest_leave_all();
	host_stop();
	start(FRAMES, 0, &toy_format, false);
	make(1, 1, true);
	make(2, 1, true);
	for (uint64_t i = 0; i < 2 * GAIN; i++)
		zero(1, LARGE_PAGES / 2 + i);
	for (domid_t d = 1; d <= 2; d++)
		for (uint64_t i = 0; i < ALIKE; i++)
			put(d, i, BIT(41) | i);
	passes(1);
}

static bool is_read(domid_t d, uint64_t gfn)
{
	return !frame_flag(frame_at(p2m_lookup(&guest[d], GFN(gfn)).mfn), FRAME_STALE);
}

/* The smallest slice that reads what is alike of guest 2: it has been made, in a new world. */
static void slice_to_where_they_part(void)
{
	uint64_t least = 1, most = 20 * LARGE_PAGES;

	while (least < most) {
		uint64_t budget = (least + most) / 2;

		begin_alike();
		scan_slice(budget);
		if (is_read(2, ALIKE - 1))
			most = budget;
		else
			least = budget + 1;
	}
	begin_alike();
	scan_slice(least);
}

/*
 * A slice ends where all that is known of a leaf is like another leaf, so no split is thought of. What is read
 * then is like nobody's and leads nowhere; the leaf is weighed again all the same.
 */
static void weighed_again(void **state)
{
	(void)state;
	slice_to_where_they_part();
	assert_true(is_read(2, ALIKE - 1));
	assert_false(is_read(2, ALIKE));
	passes(3);
	assert_int_equal(saved(), 0);
	assert_int_equal(leaves(1), 1); /* all is read, and nobody has looked again */
	passes(8);
	assert_int_equal(leaves(1), 0);
	assert_true(saved() >= 2 * GAIN);
	oracle_check_settled();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(weighed_again),
	};

	return cmocka_run_group_tests_name("shape_later", tests, NULL, NULL);
}
