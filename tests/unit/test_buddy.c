/* SPDX-License-Identifier: MIT */
/* The buddy allocator (mm/buddy.c). */
#include "mm/buddy.h"
#include "tests/unit/mm_test.h"

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 2048, .cpus = 1});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	host_stop();
	return 0;
}

/* Every frame of RAM but 0 and the two constants is free at the start. */
static void all_is_free_at_start(void **state)
{
	(void)state;
	assert_int_equal(buddy_free_pages(), 2048 - 1 - 2);
	assert_int_equal(buddy_walk(), buddy_free_pages());
	audit_passes();
}

/* A block of 2^order frames is aligned to its size and gives exactly 2^order frames. */
static void blocks_are_aligned(void **state)
{
	(void)state;
	for (unsigned order = 0; order < BUDDY_ORDERS; order++) {
		uint64_t before = host_free_frames();
		mfn_t m = frame_alloc(order, FRAME_HYPERVISOR, 0);

		assert_true(mfn_valid(m));
		assert_int_equal(m.n % BIT(order), 0);
		assert_int_equal(before - host_free_frames(), BIT(order));
		frame_free(m, order);
		assert_int_equal(host_free_frames(), before);
	}
	audit_passes();
}

/* No frame is given out twice, and all of them can be: then nothing is left; and giving
 * all back in any order joins them again to blocks of 2 MiB. */
static void all_frames_once_and_joined_again(void **state)
{
	static mfn_t got[2048];
	static bool seen[2048];
	uint64_t n = 0, start = host_free_frames();
	mfn_t m;

	(void)state;
	memset(seen, 0, sizeof(seen));
	while (mfn_valid(m = frame_alloc(0, FRAME_HYPERVISOR, 0))) {
		assert_true(m.n < 2048 && !seen[m.n]);
		seen[m.n] = true;
		got[n++] = m;
	}
	assert_int_equal(n, start);
	assert_false(seen[0]);
	audit_passes();
	for (uint64_t i = 0; i < n; i++) /* 701 and 2045 have no common divisor */
		frame_free(got[i * 701 % n], 0);
	assert_int_equal(host_free_frames(), start);
	audit_passes();
	for (unsigned i = 0; i < 3; i++) /* frames 0 and the constants spoil the first */
		assert_true(mfn_valid(frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)));
	assert_false(mfn_valid(frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)));
}

/* Random orders, taken and given back: the lists stay whole and nothing is lost. */
static void random_orders(void **state)
{
	struct {
		mfn_t m;
		unsigned order;
	} held[64] = {0};
	uint64_t start = host_free_frames();

	(void)state;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = env_random() % 64;

		if (mfn_valid(held[i].m)) {
			frame_free(held[i].m, held[i].order);
			held[i].m = MFN_NONE;
		} else {
			held[i].order = env_random() % 6;
			held[i].m = frame_alloc(held[i].order, FRAME_HYPERVISOR, 0);
		}
		if (step % 500 == 0)
			audit_passes();
	}
	for (unsigned i = 0; i < 64; i++)
		if (mfn_valid(held[i].m))
			frame_free(held[i].m, held[i].order);
	assert_int_equal(host_free_frames(), start);
	audit_passes();
}

/* Giving back what is free already is our own bug: it panics. */
static void double_free_panics(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_HYPERVISOR, 0);

	(void)state;
	frame_free(m, 0);
	assert_true(HOST_PANICS(frame_free(m, 0)));
	assert_true(HOST_PANICS(frame_free(zero_frame(), 0)));
}

/* A hole between two ranges is never joined to them and never handed out. */
static void holes_stay_out(void **state)
{
	struct mm_range ram[2] = {
	    {MFN(513), 600},
            {MFN(10),  30 }
        };
	struct mm_config c = {.frames = mm.frames,
	                      .nr_frames = 2048,
	                      .free = ram,
	                      .nr_free = 2,
	                      .buckets = (uint32_t[4]){0},
	                      .nr_buckets = 4,
	                      .format = &toy_format,
	                      .nr_cpus = 1};
	mfn_t m;

	(void)state;
	memset(c.frames, 0, 2048 * sizeof(struct frame));
	mm_init(&c);
	assert_int_equal(host_free_frames(), 628);
	audit_passes();
	while (mfn_valid(m = frame_alloc(0, FRAME_SERVICE, 3)))
		assert_true((m.n >= 513 && m.n < 1113) || (m.n >= 10 && m.n < 40));
	audit_passes();
}

/*
 * The block in which a hole ends: a free 1 MiB, whose buddy would be the hole's, and pages at
 * the hole's other border. The hole has no bytes, and beyond that block no records.
 */
static void a_hole_with_no_records(void **state)
{
	uint64_t n = 0;
	mfn_t m;

	(void)state;
	host_start(&(struct host_config){
	    .frames = 2048, .cpus = 1, .hole = {MFN(509), 1280 - 509}
        });
	assert_int_equal(host_free_frames(), 509 - 3 + 768);
	assert_int_equal(buddy_walk(), buddy_free_pages());
	audit_passes();
	while (mfn_valid(m = frame_alloc(0, FRAME_HYPERVISOR, 0))) {
		assert_true(m.n < 509 || m.n >= 1280);
		n++;
	}
	assert_int_equal(n, 509 - 3 + 768);
	audit_passes();
	for (uint64_t i = 1280; i < 2048; i++)
		frame_free(MFN(i), 0);
	assert_true(mfn_valid(m = frame_alloc(8, FRAME_HYPERVISOR, 0)));
	assert_int_equal(m.n, 1280);
	assert_true(mfn_valid(m = frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)));
	assert_int_equal(m.n, 1536);
	audit_passes();
}

/* The table ends where it ends: what lies behind it, though it looked like a free block, is no
 * buddy. */
static void the_end_of_the_table(void **state)
{
	static struct frame frames[1024];
	const mfn_t last = MFN(992); /* 992 .. 999; its buddy would begin at 1000 */
	mfn_t m;

	(void)state;
	mm.nr_frames = 1000;
	memcpy(frames, mm.frames, sizeof(frames));
	mm.frames = frames;
	frame_set_bits(&frames[1000], FRAME_FREE, 3 << FRAME_ORDER_SHIFT);
	buddy_init();
	for (uint64_t n = 992; n < 1000; n++)
		frame_set_bits(&frames[n], FRAME_HYPERVISOR, 0);
	buddy_free(last, 3, false);
	assert_int_equal(buddy_free_pages(), 8);
	assert_int_equal(buddy_walk(), 8);
	m = buddy_alloc(3);
	assert_int_equal(m.n, last.n);
	assert_int_equal(buddy_free_pages(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(all_is_free_at_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(blocks_are_aligned, setup, teardown),
	    cmocka_unit_test_setup_teardown(all_frames_once_and_joined_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(random_orders, setup, teardown),
	    cmocka_unit_test_setup_teardown(double_free_panics, setup, teardown),
	    cmocka_unit_test_setup_teardown(holes_stay_out, setup, teardown),
	    cmocka_unit_test_teardown(a_hole_with_no_records, teardown),
	    cmocka_unit_test_setup_teardown(the_end_of_the_table, setup, teardown),
	};

	return cmocka_run_group_tests_name("buddy", tests, NULL, NULL);
}
