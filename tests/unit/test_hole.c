/* SPDX-License-Identifier: MIT */
/*
 * A machine with a hole in its RAM: the merge of 2 MiB (mm/merge_large.c) looks at no record that
 * has no memory behind it (tests/host/env.c poisons those; arch/x86_64/frames.c, test_frames.c).
 * test_buddy.c has the allocator.
 */
#include "mm/merge_large.h"
#include "tests/unit/shape_test.h"

#define HOLE_END (8 * LARGE_PAGES + 257) /* of this block's lower MiB nothing is RAM */

static mfn_t at(domid_t d, uint64_t gfn)
{
	return p2m_lookup(&guest[d], GFN(gfn)).mfn;
}

/* A page of guest 1 that is shared in that block, where a leaf's likes are sought; else 600. */
static uint64_t shared_at_hole(void)
{
	uint64_t g = 0;

	while (g < 600 && (at(1, g).n < HOLE_END || at(1, g).n >= 9 * LARGE_PAGES ||
	                   at(1, g).n % 32 || frame_kind(frame_at(at(1, g))) != FRAME_SHARED))
		g++;
	return g;
}

/*
 * A page of a large leaf has its like in a shared small page, at the same place of a block that
 * begins with a hole: the compare of all 512 begins with the record of a frame that is no RAM.
 */
static void a_hole_in_the_block(void **state)
{
	struct merge_run run;
	uint64_t g, before;
	mfn_t frames;

	(void)state;
	host_start(&(struct host_config){
	    .frames = FRAMES,
	    .cpus = CPUS,
	    .hole = {MFN(7 * LARGE_PAGES), HOLE_END - 7 * LARGE_PAGES}
        });
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	memset(guest, 0, sizeof(guest));
	make_space(&guest[1], 1, 600);
	make_space(&guest[2], 2, 600);
	for (domid_t d = 1; d <= 2; d++)
		for (g = 0; g < 600; g++)
			put(d, g, BIT(40) | g);
	passes(3);
	g = shared_at_hole();
	assert_in_range(g, 0, 599);
	make(3, 1, true);
	put(3, at(1, g).n % LARGE_PAGES, BIT(40) | g);
	before = saved();
	passes(3);
	assert_int_equal(leaves(3), 1);
	assert_int_equal(saved(), before);
	frames = at(3, 0);
	lock_take(&mm.scan_lock, LOCK_SCAN);
	p2m_lock(&guest[3]);
	run = merge_large_seek(&guest[3], frames);
	p2m_unlock(&guest[3]);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	assert_false(mfn_valid(run.frames) || run.later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_hole_in_the_block, teardown),
	};

	return cmocka_run_group_tests_name("hole", tests, NULL, NULL);
}
