/* SPDX-License-Identifier: MIT */
/*
 * Compressed pages (mm/compress.c): what is compressed reads as it did, whoever
 * touches it first; frames come free and the sums still add up; what is in use, pinned, guaranteed
 * or does not pack is left alone; nothing is lost that is written meanwhile. On every kind of
 * format: with accessed flags, and without.
 */
#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "tests/unit/compress_test.h"

static const struct pte_format *const formats[] = {&toy_format, &ept_format, &npt_format,
                                                   &toy_format_no_dirty, &ept_format_no_ad};

/* ---- what is gained, and that it comes back ---- */

static void comes_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		uint64_t before, freed;
		struct space_stats st;

		start(formats[i], 0);
		for (unsigned n = 0; n < 600; n++)
			put_page(&a, n, n % 200);
		before = host_free_frames();
		freed = compress_all();
		st = stats();
		assert_int_equal(st.compressed, 600);
		assert_int_equal(st.private_pages, 0);
		assert_int_equal(host_free_frames(), before + freed);
		assert_int_equal(freed, 600 - st.store_frames);
		assert_in_range(st.store_frames, 2 + st.store_bytes / PAGE_SIZE, 300);
		assert_int_equal(charge_of(1).store, st.store_frames);
		assert_int_equal(mm_stats().frames_store, st.store_frames);
		assert_int_equal(mm_account(&a).compressed, 600);
		audit_passes();
		for (unsigned n = 0; n < 600; n++) {
			page_is(&a, n, n % 200);
			assert_int_equal(type_at(n), P2M_PRIVATE);
		}
		assert_int_equal(stats().compressed, 0);
		assert_int_equal(stats().store_frames, 0); /* slabs and handles are free again */
		assert_int_equal(stats().store_bytes, 0);
		assert_int_equal(stats().expansions, 600);
		assert_int_equal(host_free_frames(), before);
		teardown(state);
	}
}

/* Every way to touch a page. */
static void first_touch(void **state)
{
	uint64_t words[512], v;
	void *at;

	(void)state;
	for (unsigned n = 0; n < 40; n++)
		put_page(&a, n, 30);
	compress_all();
	assert_int_equal(type_at(0), P2M_COMPRESSED);
	make_page(0, 30, words);
	assert_int_equal(guest_sees(&a, PAGE(0) + 8), words[1]);
	make_page(1, 30, words);
	assert_int_equal(guest_fetch(0, &a, PAGE(1) + 16, &v), VERDICT_RESUME);
	assert_int_equal(v, words[2]);
	guest_puts(&a, PAGE(2), 5);
	assert_int_equal(guest_sees(&a, PAGE(2)), 5);
	make_page(2, 30, words);
	assert_int_equal(guest_sees(&a, PAGE(2) + 4088), words[511]);
	assert_int_equal(guest_walk_write(0, &a, PAGE(3), 6), VERDICT_RESUME);
	make_page(3, 30, words);
	assert_int_equal(guest_sees(&a, PAGE(3) + 4088), words[511]);
	v = 7;
	assert_int_equal(mm_write(&a, PAGE(4) + 8, &v, 8), MM_OK);
	make_page(4, 30, words);
	assert_int_equal(guest_sees(&a, PAGE(4)), words[0]);
	assert_int_equal(guest_sees(&a, PAGE(4) + 8), 7);
	assert_int_equal(mm_pin(&a, GFN(5), &at), MM_OK);
	make_page(5, 30, words);
	assert_memory_equal(at, words, PAGE_SIZE);
	mm_unpin(&a, GFN(5));
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(type_at(n), P2M_PRIVATE);
	assert_int_equal(type_at(6), P2M_COMPRESSED);
	audit_passes();
}

/* Zeroes and ones are mapped, any other byte is in the entry: no frame is used for them. */
static void filled_pages_cost_nothing(void **state)
{
	uint64_t words[512];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		start(formats[i], 0);
		scan_set_policy("plain");
		for (unsigned n = 0; n < 256; n++) {
			put_bytes(&a, n, (uint8_t)n);
			if (formats[i]->accessed_mask)
				continue;
			put_bytes(&a, n, (uint8_t)n);
		}
		guest_leave_all();
		if (!formats[i]->accessed_mask)
			scan_settle();
		assert_int_equal(compress_some(&a, ALL, ALL).freed,
		                 formats[i]->accessed_mask ? 256 : 254); /* the others merged */
		assert_int_equal(stats().store_frames, 0);
		assert_int_equal(stats().compressed, 254);
		assert_int_equal(stats().compressed_filled, 254);
		assert_int_equal(type_at(0), P2M_ZERO);
		assert_int_equal(type_at(255), P2M_ONES);
		audit_passes();
		for (unsigned n = 0; n < 256; n++) {
			assert_int_equal(mm_read(&a, PAGE(n), words, PAGE_SIZE), MM_OK);
			for (unsigned k = 0; k < 512; k++)
				assert_int_equal(words[k], n * 0x0101010101010101u);
		}
		assert_int_equal(stats().compressed_filled, 0);
		teardown(state);
	}
}

/* ---- what is left alone ---- */

static void used_pages_stay(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 100; n++)
		guest_puts(&a, PAGE(n) + 8, n + 1); /* sets the accessed flags */
	guest_leave_all();
	assert_int_equal(compress_some(&a, ALL, ALL).freed,
	                 0); /* the first round takes them away */
	for (unsigned n = 0; n < 50; n++)
		assert_int_equal(guest_sees(&a, PAGE(n) + 8), n + 1);
	guest_leave_all();
	assert_true(compress_some(&a, ALL, ALL).freed > 40);
	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(type_at(n), n < 50 ? P2M_PRIVATE : P2M_COMPRESSED);
	/* Somebody came back: in for a round at least. */
	assert_int_equal(guest_sees(&a, PAGE(70) + 8), 71);
	guest_leave_all();
	assert_int_equal(mm_write(&a, PAGE(71), &(uint64_t){5}, 8), MM_OK); /* no CPU sets a flag */
	compress_some(&a, ALL, ALL);
	assert_int_equal(type_at(70), P2M_PRIVATE);
	assert_int_equal(type_at(71), P2M_PRIVATE);
	assert_int_equal(type_at(0), P2M_COMPRESSED);
	compress_some(&a, ALL, ALL);
	assert_int_equal(type_at(70), P2M_COMPRESSED);
}

/* A CPU that has a page in its TLB does not walk to it: its flag is taken with a flush. */
static void flags_are_taken_with_a_flush(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 40; n++)
		guest_puts(&a, PAGE(n) + 8, n + 1); /* the CPU stays in guest mode, and remembers */
	compress_some(&a, ALL, ALL);
	for (unsigned n = 0; n < 20; n++)
		assert_int_equal(guest_sees(&a, PAGE(n) + 8), n + 1);
	compress_some(&a, ALL, ALL);
	for (unsigned n = 0; n < 40; n++)
		assert_int_equal(type_at(n), n < 20 ? P2M_PRIVATE : P2M_COMPRESSED);
}

static void noise_is_left_alone(void **state)
{
	uint64_t tried;

	(void)state;
	for (unsigned n = 0; n < 64; n++)
		put_page(&a, n, 512);
	for (unsigned n = 64; n < 96; n++)
		put_page(&a, n, 40);
	guest_leave_all();
	compress_some(&a, ALL, ALL);
	assert_int_equal(stats().incompressible, 64);
	assert_int_equal(stats().compressed, 32);
	for (unsigned round = 0; round < 15; round++)
		compress_some(&a, ALL, ALL);
	/* Each was tried once more at most in 16 rounds, and all of them were. */
	tried = stats().incompressible;
	assert_in_range(tried, 64 + 60, 128);
	for (unsigned n = 0; n < 64; n++)
		assert_int_equal(type_at(n), P2M_PRIVATE);
	for (unsigned n = 0; n < 64; n++)
		page_is(&a, n, 512);
	/* Later it is tried again: what was noise may be something else now. */
	for (unsigned n = 0; n < 64; n++)
		put_page(&a, n, 1);
	for (unsigned round = 0; round < 17; round++)
		compress_some(&a, ALL, ALL);
	assert_int_equal(stats().compressed, 96);
}

static void pins_and_guest_tables_stay(void **state)
{
	void *at;

	(void)state;
	for (unsigned n = 0; n < 40; n++)
		put_page(&a, n, 20);
	assert_int_equal(mm_pin(&a, GFN(3), &at), MM_OK);
	frame_set_flag(frame_at(p2m_lookup(&a, GFN(4)).mfn), FRAME_GUEST_TABLE);
	compress_some(&a, ALL, ALL);
	compress_some(&a, ALL, ALL);
	assert_int_equal(type_at(3), P2M_PRIVATE);
	assert_int_equal(type_at(4), P2M_PRIVATE);
	assert_int_equal(stats().compressed, 38);
	mm_unpin(&a, GFN(3));
}

/* What is guaranteed is not touched: it would be debt the next moment. */
static void within_min_nothing_goes(void **state)
{
	(void)state;
	teardown(state);
	start(NULL, 100);
	for (unsigned n = 0; n < 100; n++)
		put_page(&a, n, 20);
	compress_all();
	assert_int_equal(stats().compressed, 0);
	for (unsigned n = 100; n < 140; n++)
		put_page(&a, n, 20);
	compress_all();
	assert_true(stats().compressed > 0);
	assert_true(a.held >= 100);
	assert_int_equal(fund_look().debt, 0);
}

/* One page does not pay for its slab and its handles: then it stays, as it was. */
static void without_gain_nothing_changes(void **state)
{
	uint64_t before = host_free_frames();

	(void)state;
	put_page(&a, 1, 10);
	put_page(&a, 2, 10);
	assert_int_equal(compress_all(), 0);
	assert_int_equal(stats().compressed, 0);
	assert_int_equal(stats().incompressible, 0);
	assert_int_equal(host_free_frames(), before - 2);
	audit_passes();
	put_page(&a, 3, 10); /* one more in the slab */
	assert_int_equal(compress_all(), 1);
	assert_int_equal(stats().compressed, 3);
}

static void a_bounded_walk(void **state)
{
	struct compress_result r;

	(void)state;
	for (unsigned n = 0; n < 200; n++)
		put_page(&a, n, 20);
	guest_leave_all();
	r = compress_some(&a, ALL, 10);
	assert_int_equal(r.looked, 10 + 10 * COMPRESS_PACK_LOOKS);
	assert_false(r.round);
	assert_int_equal(stats().compressed, 10);
	r = compress_some(&a, ALL, 32 * COMPRESS_PACK_LOOKS); /* they are used up by one batch */
	assert_false(r.round);
	assert_int_equal(stats().compressed, 42);
	r = compress_some(&a, 1, ALL); /* enough after one batch */
	assert_in_range(r.freed, 1, 32);
	assert_int_equal(stats().compressed, 74);
	put_page(&a, 0, 512);
	r = compress_some(&a, ALL, ALL);
	assert_true(r.round);
	assert_int_equal(stats().compressed, 199);
	r = compress_some(&a, ALL, 100); /* from the beginning again */
	assert_int_equal(r.looked, 100);
	assert_int_equal(r.freed, 0);
}

static void a_cold_large_leaf_is_split(void **state)
{
	uint64_t v = 5;

	(void)state;
	assert_int_equal(mm_populate_large(&a, GFN(0)), MM_OK);
	for (unsigned n = 0; n < 512; n++)
		assert_int_equal(mm_write(&a, PAGE(n) + 8 * n, &v, 8), MM_OK);
	guest_puts(&a, PAGE(7), 1);
	guest_leave_all();
	compress_some(&a, ALL, ALL);
	assert_int_equal(stats().large_leaves, 1); /* it was used */
	compress_some(&a, ALL, ALL);
	assert_int_equal(stats().large_leaves, 0);
	assert_int_equal(stats().compressed, 512);
	for (unsigned n = 1; n < 512; n++)
		assert_int_equal(guest_sees(&a, PAGE(n) + 8 * n), 5);
}

/* ---- who writes meanwhile ---- */

static unsigned struck;

/* The CPU still has the page in its TLB, and may write it: the leaf is gone, the flush is not done. */
static void strike(enum env_point p)
{
	if (p == POINT_COMPRESS_UNMAPPED)
		struck += guest_write_cached(0, &a, PAGE(3) + 64, 12345);
	else if (p == POINT_COMPRESS_PACKED)
		assert_false(guest_write_cached(0, &a, PAGE(3) + 64, 99999));
}

static void no_write_is_lost(void **state)
{
	(void)state;
	struck = 0;
	for (unsigned n = 0; n < 20; n++)
		put_page(&a, n, 30);
	/* It writes on after its flag was cleared, without a walk. */
	guest_puts(&a, PAGE(3) + 64, 1);
	p2m_lock(&a);
	*p2m_find(&a, GFN(3)).entry &= ~toy_format.accessed_mask;
	p2m_unlock(&a);
	host_on_point = strike;
	compress_some(&a, ALL, ALL);
	host_on_point = NULL;
	assert_int_equal(struck, 1);
	assert_int_equal(type_at(3), P2M_COMPRESSED);
	assert_int_equal(guest_sees(&a, PAGE(3) + 64), 12345);
}

/* ---- without memory ---- */

static void a_touch_may_wait(void **state)
{
	uint64_t words[512], v;
	void *at;

	(void)state;
	for (unsigned n = 0; n < 40; n++)
		put_page(&a, n, 30);
	compress_all();
	host_fail_alloc_from(1);
	make_page(9, 30, words);
	assert_int_equal(guest_read(0, &a, PAGE(9), &v), VERDICT_WAIT);
	assert_int_equal(guest_write(0, &a, PAGE(9), 1), VERDICT_WAIT);
	assert_int_equal(mm_pin(&a, GFN(9), &at), MM_NOMEM);
	assert_int_equal(mm_write(&a, PAGE(9), &v, 8), MM_NOMEM);
	assert_int_equal(type_at(9), P2M_COMPRESSED);
	page_is(&a, 9, 30); /* the hypervisor reads, and does not wait */
	assert_int_equal(type_at(9), P2M_COMPRESSED);
	assert_int_equal(balloon_out(&a, &(gfn_t){10}, 1, 0), 1);
	audit_passes();
	host_fail_alloc_from(0);
	page_is(&a, 9, 30);
	assert_int_equal(type_at(9), P2M_PRIVATE);
}

/* Compressing takes no frame from anybody: it works when none is free. */
static void compressing_needs_no_memory(void **state)
{
	uint64_t allocs;

	(void)state;
	for (unsigned n = 0; n < 100; n++)
		put_page(&a, n, 30);
	guest_leave_all();
	allocs = host_allocs();
	host_fail_alloc_from(1);
	assert_true(compress_some(&a, ALL, ALL).freed > 50);
	assert_int_equal(host_allocs(), allocs);
	host_fail_alloc_from(0);
}

/* ---- the other ways out ---- */

static void given_up_while_compressed(void **state)
{
	mfn_t service = frame_alloc(0, FRAME_SERVICE, 1);
	gfn_t large = GFN(0);

	(void)state;
	for (unsigned n = 0; n < 600; n++)
		put_page(&a, n, n % 100);
	put_bytes(&a, 20, 0x55);
	compress_all();
	assert_int_equal(balloon_out(&a, &(gfn_t){20}, 1, 0), 1);
	assert_int_equal(balloon_out(&a, &(gfn_t){21}, 1, 0), 1);
	assert_int_equal(stats().compressed, 598);
	audit_passes();
	assert_int_equal(balloon_in(&a, &(gfn_t){22}, 1, 0), 0); /* it is no hole */
	assert_int_equal(balloon_in(&a, &(gfn_t){21}, 1, 0), 1);
	assert_int_equal(guest_sees(&a, PAGE(21)), 0);
	assert_int_equal(mm_map_service(&a, GFN(23), service), MM_OK);
	assert_int_equal(mm_unmap_service(&a, GFN(23)), MM_OK);
	assert_int_equal(balloon_in(&a, &(gfn_t){20}, 1, 0), 1);
	assert_int_equal(balloon_in(&a, &(gfn_t){23}, 1, 0), 1);
	assert_int_equal(mm_coalesce(&a, large), MM_INVAL);
	assert_int_equal(balloon_out(&a, &large, 1, LARGE_ORDER), 1);
	audit_passes();
	guest_leave_all();
	frame_free(service, 0);
	/* The rest goes with the domain: teardown counts the frames. */
	assert_true(stats().compressed > 80);
}

static void destroyed_in_slices(void **state)
{
	unsigned slices = 0;

	(void)state;
	for (unsigned n = 0; n < 600; n++)
		put_page(&a, n, n % 100);
	compress_all();
	while (!space_destroy_step(&a, 50)) {
		slices++;
		audit_passes();
	}
	assert_in_range(slices, 600 / 50 - 1, 30);
}

/* Its guarantee grows while pages are packed, so that no frame may go to the store: all is as it was. */
static void guarantee_all(enum env_point p)
{
	if (p == POINT_COMPRESS_PACKED)
		assert_int_equal(fund_set_min(&a, a.held), MM_OK);
}

static void a_guarantee_that_grows(void **state)
{
	uint64_t held;

	(void)state;
	for (unsigned n = 0; n < 20; n++)
		put_page(&a, n, 10);
	guest_leave_all();
	held = a.held;
	host_on_point = guarantee_all;
	assert_int_equal(compress_some(&a, ALL, ALL).freed, 0);
	host_on_point = NULL;
	assert_int_equal(a.min_pages, held);
	assert_int_equal(a.held, held);
	assert_int_equal(stats().compressed, 0);
	assert_int_equal(stats().store_frames, 0);
	assert_int_equal(charge_of(1).store, 0);
	audit_passes();
	for (unsigned n = 0; n < 20; n++) {
		assert_int_equal(type_at(n), P2M_PRIVATE);
		page_is(&a, n, 10);
	}
	assert_int_equal(fund_set_min(&a, 0), MM_OK);
	assert_true(compress_all() > 0);
}

static struct compress_result meanwhile;

static void compress_meanwhile(enum env_point p)
{
	if (p == POINT_COMPRESS_PACKED)
		meanwhile = compress_some(&a, ALL, ALL);
}

/* One batch at a time: a second CPU does not wait for the buffers of the first, and does nothing. */
static void one_at_a_time(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 20; n++)
		put_page(&a, n, 10);
	guest_leave_all();
	meanwhile = (struct compress_result){1, 1, true};
	host_on_point = compress_meanwhile;
	assert_true(compress_some(&a, ALL, ALL).freed > 0);
	host_on_point = NULL;
	assert_int_equal(meanwhile.freed, 0);
	assert_int_equal(meanwhile.looked, 0);
	assert_false(meanwhile.round);
	for (unsigned n = 0; n < 20; n++)
		page_is(&a, n, 10);
}

static int stop_broken(void **state)
{
	(void)state;
	host_stop();
	return 0;
}

/* Packed bytes that are no page any more are our own bug, and nobody gets to see what they might be. */
static void a_spoilt_store(void **state)
{
	uint64_t words[512];
	const uint8_t *packed;
	unsigned bytes;

	(void)state;
	for (unsigned n = 0; n < 20; n++)
		put_page(&a, n, 10);
	assert_true(compress_all() > 0);
	assert_int_equal(type_at(3), P2M_COMPRESSED);
	packed = store_get(&a, GFN(3), &bytes);
	memset((void *)(uintptr_t)packed, 0xff, bytes);
	assert_true(HOST_PANICS((void)!mm_read(&a, PAGE(3), words, PAGE_SIZE)));
	assert_non_null(strstr(host_panic_text, "domain 1, guest frame 0x3 does not unpack"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back),
	    cmocka_unit_test_setup_teardown(first_touch, setup, teardown),
	    cmocka_unit_test(filled_pages_cost_nothing),
	    cmocka_unit_test_setup_teardown(used_pages_stay, setup, teardown),
	    cmocka_unit_test_setup_teardown(flags_are_taken_with_a_flush, setup, teardown),
	    cmocka_unit_test_setup_teardown(noise_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(pins_and_guest_tables_stay, setup, teardown),
	    cmocka_unit_test_setup_teardown(within_min_nothing_goes, setup, teardown),
	    cmocka_unit_test_setup_teardown(without_gain_nothing_changes, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_bounded_walk, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_cold_large_leaf_is_split, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_write_is_lost, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_touch_may_wait, setup, teardown),
	    cmocka_unit_test_setup_teardown(compressing_needs_no_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(given_up_while_compressed, setup, teardown),
	    cmocka_unit_test_setup_teardown(destroyed_in_slices, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_guarantee_that_grows, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_spoilt_store, setup, stop_broken),
	};

	return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
