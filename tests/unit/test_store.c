/* SPDX-License-Identifier: MIT */
/*
 * Where packed pages lie (mm/store.c): each domain's apart from the others', every slot counted,
 * whatever comes and goes, and nothing readable in what is free again.
 */
#include "tests/unit/compress_test.h"

static struct space b;

/* A domain's store is its own. */
static void stores_are_apart(void **state)
{
	(void)state;
	make_space(&b, 2, PAGES);
	for (unsigned n = 0; n < 100; n++) {
		put_page(&a, n, 10);
		put_page(&b, n, 11);
	}
	guest_leave_all();
	compress_some(&a, ALL, ALL);
	compress_some(&b, ALL, ALL);
	for (uint64_t m = 1; m < mm.nr_frames; m++)
		if (frame_kind(frame_at(MFN(m))) == FRAME_STORE)
			assert_true(frame_owner(frame_at(MFN(m))) == 1 ||
			            frame_owner(frame_at(MFN(m))) == 2);
	assert_int_equal(charge_of(1).store, stats().store_frames);
	assert_int_equal(charge_of(2).store, space_stats(&b).store_frames);
	destroy_space(&a);
	for (unsigned n = 0; n < 100; n++)
		page_is(&b, n, 11);
	destroy_space(&b);
}

/* What comes free holds nothing of what was there. */
static void freed_frames_are_clean(void **state)
{
	static const uint8_t zero[PAGE_SIZE];

	(void)state;
	for (unsigned n = 0; n < 200; n++)
		put_page(&a, n, n);
	compress_all();
	for (unsigned n = 0; n < 200; n++)
		page_is(&a, n, n);
	destroy_space(&a);
	for (uint64_t m = 1; m < mm.nr_frames; m++)
		if (frame_kind(frame_at(MFN(m))) == FRAME_FREE &&
		    frame_flag(frame_at(MFN(m)), FRAME_CLEAN))
			assert_memory_equal(env_frame(MFN(m)), zero, PAGE_SIZE);
}

/* ---- the store, shaken ---- */

/* Objects of all sizes come and go in any order; the audit counts them all. */
static void slabs_fill_and_empty(void **state)
{
	uint64_t x = 1;
	unsigned noisy[PAGES] = {0};

	(void)state;
	for (unsigned step = 0; step < 300; step++) {
		for (unsigned k = 0; k < 20; k++) {
			uint64_t page = noise(&x) % 600;

			if (noise(&x) % 2 || !noisy[page]) {
				noisy[page] = 1 + (unsigned)(noise(&x) % 300);
				put_page(&a, page, noisy[page]);
			} else {
				page_is(&a, page, noisy[page]);
			}
		}
		compress_some(&a, 1 + noise(&x) % 64, 1 + noise(&x) % 600);
		if (step % 10 == 0)
			audit_passes();
	}
	assert_true(stats().compressions > 1000 && stats().expansions > 1000);
	for (unsigned n = 0; n < 600; n++)
		if (noisy[n])
			page_is(&a, n, noisy[n]);
	assert_int_equal(stats().store_frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(stores_are_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(freed_frames_are_clean, setup, teardown),
	    cmocka_unit_test_setup_teardown(slabs_fill_and_empty, setup, teardown),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
