/* SPDX-License-Identifier: MIT */
/* Spaces, pins, copies and service pages (mm/space.c, pin.c, access.c, service.c). */
#include "mm/p2m_table.h"
#include "tests/unit/mm_test.h"

static struct space a;
static uint64_t free_at_start;

static int setup(void **state)
{
	(void)state;
	host_start_small();
	free_at_start = host_free_frames();
	make_space(&a, 1, 600);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_passes();
	destroy_space(&a);
	assert_int_equal(host_free_frames(), free_at_start);
	audit_passes();
	host_stop();
	return 0;
}

/* ---- life ---- */

/* A configuration that makes no sense is refused. */
static void bad_configs(void **state)
{
	const struct space_config bad[] = {
	    {0,   7, 10, 10,         0,  0},
            {256, 7, 10, 10,         0,  0},
            {1,   7, 10, 10,         0,  0}, /* in use */
	    {2,   7, 11, 10,         0,  0},
            {2,   7, 10, 10,         11, 0},
            {2,   7, 0,  10,         0,  0},
	    {2,   7, 1,  UINT64_MAX, 0,  0},
	};
	struct space s;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(space_create(&s, &bad[i]), MM_INVAL);
	assert_null(space_find(2));
	assert_ptr_equal(space_find(1), &a);
	assert_null(space_find(999));
}

/* In steps: none takes more frames than it may, nobody finds the space before the last. Given up at
 * any step, it gives them back, again no more a step. */
static void create_in_steps(void **state)
{
	const struct space_config c = {2, 7, 4000, 4000, 100, 0};
	const uint64_t budget = 3, free = host_free_frames();
	unsigned all = 0, steps;
	enum mm_status st;
	struct space s;

	(void)state;
	for (unsigned most = 1; !all; most++) {
		assert_int_equal(space_create_begin(&s, &c), MM_OK);
		for (steps = 0, st = MM_MORE; st == MM_MORE && steps < most; steps++) {
			uint64_t before = host_free_frames();

			assert_null(space_find(2));
			st = space_create_step(&s, &c, budget);
			assert_true(before - host_free_frames() <= budget);
		}
		if (st == MM_OK) {
			all = steps;
			break;
		}
		space_create_cancel(&s);
		for (st = MM_MORE; st == MM_MORE;) {
			uint64_t before = host_free_frames();

			st = space_create_step(&s, &c, budget);
			assert_true(host_free_frames() - before <= budget);
		}
		assert_int_equal(st, MM_NOMEM);
		assert_int_equal(host_free_frames(), free);
		assert_null(space_find(2));
		audit_passes();
	}
	assert_true(all >= s.stats.table_frames / budget);
	assert_ptr_equal(space_find(2), &s);
	audit_passes();
	destroy_space(&s);
}

/* The k-th allocation of a create fails, for every k: nothing is left behind. */
static void create_fails_at_every_step(void **state)
{
	struct space_config c = {2, 7, 1000, 1200, 100, 0};
	struct space s;
	uint64_t free = host_free_frames(), k = 0;
	enum mm_status st;

	(void)state;
	do {
		host_fail_alloc(++k);
		st = space_create(&s, &c);
		if (st != MM_OK) {
			assert_int_equal(st, MM_NOMEM);
			assert_int_equal(host_free_frames(), free);
			assert_null(space_find(2));
		}
	} while (st != MM_OK);
	host_fail_alloc(0);
	assert_int_equal(k, s.stats.table_frames + 1);
	destroy_space(&s);
	assert_int_equal(host_free_frames(), free);
}

/* Destroying goes in small slices, and the audit passes between any two of them. */
static void destroy_in_slices(void **state)
{
	struct space s;
	mfn_t service = frame_alloc(0, FRAME_SERVICE, 2);
	unsigned slices = 0;
	void *page;

	(void)state;
	make_space_of(&s, 2, 1500, 50);
	for (unsigned i = 0; i < 300; i++)
		guest_puts(&s, PAGE(i), i);
	assert_int_equal(mm_populate_large(&s, GFN(512)), MM_OK);
	assert_int_equal(mm_map_service(&s, GFN(400), service), MM_OK);
	assert_int_equal(balloon_out(&s, &GFN(401), 1, 0), 1);
	assert_int_equal(mm_pin(&s, GFN(3), &page), MM_OK);
	guest_puts(&a, PAGE(9), 7);
	merge_pages(&a, GFN(9), &s, GFN(7));
	guest_leave_all();
	while (!space_destroy_step(&s, 10)) {
		slices++;
		audit_passes();
	}
	assert_true(slices > 20);
	assert_null(space_find(2));
	assert_int_equal(guest_sees(&a, PAGE(9)), 7);
	frame_free(service, 0);
}

/*
 * Whatever a space consists of, no slice does more than it was told: pages, tables in use, and
 * tables in a pool that was funded for far more memory than there is.
 */
static void destroy_slices_are_small(void **state)
{
	const struct space_config c = {.domid = 2,
	                               .share_group = 7,
	                               .memory_pages = 800,
	                               .max_pages = 800 + 700 * LARGE_PAGES};
	const uint64_t budget = 32;
	uint64_t before = host_free_frames(), free, most = 0;
	unsigned slices = 0;
	struct space s;
	bool gone;

	(void)state;
	assert_int_equal(space_create(&s, &c), MM_OK);
	for (unsigned i = 0; i < 800; i++)
		guest_puts(&s, PAGE(i), i);
	guest_leave_all();
	do {
		free = host_free_frames();
		gone = space_destroy_step(&s, budget);
		if (host_free_frames() - free > most)
			most = host_free_frames() - free;
		slices++;
		audit_passes();
	} while (!gone);
	assert_true(most <= 2 * budget); /* the last leaves and the first tables in one */
	assert_true(slices >= (800 + 700) / (2 * budget));
	assert_int_equal(host_free_frames(), before);
}

/* A dying space has no memory to offer any more. */
static void dying_space_gives_nothing(void **state)
{
	struct space s;
	uint64_t v;
	void *page;
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 2);

	(void)state;
	make_space(&s, 2, 100);
	for (unsigned i = 0; i < 50; i++)
		guest_puts(&s, PAGE(i), 1);
	guest_leave_all();
	assert_false(space_destroy_step(&s, 5));
	assert_int_equal(guest_read(0, &s, PAGE(99), &v), VERDICT_DEVICE);
	assert_int_equal(mm_write(&s, PAGE(60), &v, 8), MM_NORAM);
	assert_int_equal(mm_pin(&s, GFN(60), &page), MM_NORAM);
	assert_int_equal(mm_map_service(&s, GFN(60), m), MM_INVAL);
	assert_int_equal(balloon_out(&s, &GFN(49), 1, 0), 0);
	assert_int_equal(balloon_in(&s, &GFN(0), 1, 0), 0);
	destroy_space(&s);
	frame_free(m, 0);
}

/* Tables and root go before the space leaves the list: a scan that still knows it finds nothing. */
static void space_without_root(void **state)
{
	struct space s;
	struct p2m_slot found;
	uint64_t *over;
	bool gone = false;

	(void)state;
	make_space(&s, 2, 100);
	guest_puts(&s, PAGE(3), 1);
	guest_leave_all();
	memset(env_frame(MFN_NONE), 0xff, PAGE_SIZE); /* whatever a machine has in its frame 0 */
	lock_take(&mm.scan_lock, LOCK_SCAN);          /* so that it stays in the list */
	for (unsigned i = 0; i < 100 && mfn_valid(s.root); i++)
		gone = space_destroy_step(&s, 1);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	assert_false(gone || mfn_valid(s.root));
	p2m_lock(&s);
	found = p2m_find(&s, GFN(3));
	over = p2m_find_over(&s, GFN(3));
	p2m_unlock(&s);
	assert_null(found.entry);
	assert_null(over);
	assert_int_equal(p2m_lookup(&s, GFN(3)).mfn.n, 0);
	assert_true(p2m_next(&s, GFN(0)).n == GFN_LIMIT);
	destroy_space(&s);
}

/* The scan lock keeps a space in the list: the last slice waits for it. */
static void scan_lock_keeps_spaces(void **state)
{
	struct space s;

	(void)state;
	make_space(&s, 2, 10);
	lock_take(&mm.scan_lock, LOCK_SCAN);
	for (unsigned i = 0; i < 10; i++)
		assert_false(space_destroy_step(&s, 1000));
	assert_ptr_equal(space_find(2), &s);
	audit_passes();
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	assert_true(space_destroy_step(&s, 1000));
	assert_null(space_find(2));
}

/* Memory above 3 GiB lies at 4 GiB. */
static void high_memory(void **state)
{
	struct space_config c = {2, 7, (3u << 18) + 10, (3u << 18) + 10, 0, 0};
	struct space s;
	uint64_t v;

	(void)state;
	assert_int_equal(space_create(&s, &c), MM_OK);
	guest_puts(&s, PAGE((4u << 18) + 9), 5);
	guest_puts(&s, PAGE((3u << 18) - 1), 6);
	assert_int_equal(guest_sees(&s, PAGE((4u << 18) + 9)), 5);
	assert_int_equal(guest_read(0, &s, PAGE((4u << 18) + 10), &v), VERDICT_DEVICE);
	assert_int_equal(guest_read(0, &s, PAGE(3u << 18), &v), VERDICT_DEVICE);
	assert_true(p2m_table_promised(&s, GFN((3u << 18) - 1), 1));
	assert_false(p2m_table_promised(&s, GFN(3u << 18), 1));
	assert_true(p2m_table_promised(&s, GFN(4u << 18), 1));
	audit_passes();
	destroy_space(&s);
}

/* Tables are promised for all the RAM there is, and for no more. */
static void tables_for_ram(void **state)
{
	struct space_config c = {2, 7, (3u << 18) + 600, (3u << 18) + 600, 0, 0};
	struct space s;

	(void)state;
	assert_int_equal(a.table_promised, 2 + 1 + 1); /* 600 pages, by levels */
	assert_int_equal(space_create(&s, &c), MM_OK);
	/* The 4 GiB share one table of the third level. */
	assert_int_equal(s.table_promised, 3 * 512 + 2 + 3 + 1 + 1);
	destroy_space(&s);
}

/* ---- copies ---- */

/* A copy crosses page borders; a read of untouched pages is zero and changes nothing. */
static void copies_cross_pages(void **state)
{
	uint8_t in[10000], out[10000];
	struct space_stats before = space_stats(&a), after;

	(void)state;
	memset(out, 1, sizeof(out));
	assert_int_equal(mm_read(&a, 4000, out, sizeof(out)), MM_OK);
	for (unsigned i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], 0);
	after = space_stats(&a);
	assert_memory_equal(&before, &after, sizeof(before));
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7);
	assert_int_equal(mm_write(&a, 4000, in, sizeof(in)), MM_OK);
	assert_int_equal(mm_read(&a, 4000, out, sizeof(out)), MM_OK);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(a.stats.private_pages, 4);
}

/* Outside, wrapping, ballooned: MM_NORAM or MM_INVAL; what came before was copied. */
static void copies_that_fail(void **state)
{
	uint8_t buf[8192] = {9};

	(void)state;
	assert_int_equal(mm_write(&a, PAGE(599), buf, 8192), MM_NORAM);
	assert_int_equal(guest_sees(&a, PAGE(599)) & 255, 9);
	assert_int_equal(mm_read(&a, PAGE(599), buf, 8192), MM_NORAM);
	assert_int_equal(mm_read(&a, UINT64_MAX - 10, buf, 100), MM_INVAL);
	assert_int_equal(mm_write(&a, UINT64_MAX - 10, buf, 100), MM_INVAL);
	assert_int_equal(mm_read(&a, UINT64_MAX - 4095, buf, 4095), MM_NORAM);
	assert_int_equal(balloon_out(&a, &GFN(8), 1, 0), 1);
	assert_int_equal(mm_read(&a, PAGE(8), buf, 1), MM_NORAM);
	assert_int_equal(mm_write(&a, PAGE(8), buf, 1), MM_NORAM);
	host_fail_alloc(1);
	assert_int_equal(mm_write(&a, PAGE(9), buf, 1), MM_NOMEM);
	assert_int_equal(mm_read(&a, 0, buf, 0), MM_OK);
}

/* A write by the hypervisor breaks a share, makes the frame stale and takes its hint out. */
static void writes_break_and_mark(void **state)
{
	struct space b;
	mfn_t m;

	(void)state;
	make_space(&b, 2, 100);
	guest_puts(&a, PAGE(1), 5);
	guest_puts(&b, PAGE(1), 5);
	merge_pages(&a, GFN(1), &b, GFN(1));
	assert_int_equal(mm_write(&b, PAGE(1), &(uint64_t){6}, 8), MM_OK);
	assert_int_equal(guest_sees(&a, PAGE(1)), 5);
	assert_int_equal(guest_sees(&b, PAGE(1)), 6);
	m = p2m_lookup(&b, GFN(1)).mfn;
	frame_clear_flag(frame_at(m), FRAME_STALE);
	p2m_lock(&b);
	assert_true(index_insert_hint(m, 1, b.share_group));
	p2m_unlock(&b);
	assert_int_equal(mm_write(&b, PAGE(1), &(uint64_t){8}, 8), MM_OK);
	assert_true(frame_flag(frame_at(m), FRAME_STALE));
	assert_false(frame_flag(frame_at(m), FRAME_INDEXED));
	destroy_space(&b);
}

/* ---- pins ---- */

/* A pinned page is private, writable, at one place, and never merged or ballooned. */
static void pins_hold(void **state)
{
	void *page, *again;

	(void)state;
	assert_int_equal(mm_pin(&a, GFN(3), &page), MM_OK);
	assert_int_equal(mm_pin(&a, GFN(3), &again), MM_OK);
	assert_ptr_equal(page, again);
	assert_int_equal(a.stats.pinned, 1);
	*(uint64_t *)page = 4;
	assert_int_equal(guest_sees(&a, PAGE(3)), 4);
	p2m_lock(&a);
	assert_false(p2m_protect(&a, GFN(3)));
	p2m_unlock(&a);
	assert_int_equal(balloon_out(&a, &GFN(3), 1, 0), 0);
	mm_unpin(&a, GFN(3));
	assert_int_equal(balloon_out(&a, &GFN(3), 1, 0), 0);
	mm_unpin(&a, GFN(3));
	assert_int_equal(balloon_out(&a, &GFN(3), 1, 0), 1);
	assert_int_equal(mm_pin(&a, GFN(3), &page), MM_NORAM);
	assert_int_equal(mm_pin(&a, GFN(600), &page), MM_NORAM);
	assert_true(HOST_PANICS(mm_unpin(&a, GFN(5))));
	lock_order_init();
	memset(&a.lock, 0, sizeof(a.lock));
}

/* There are so many pins and no more; a pin that cannot be funded changes nothing. */
static void pins_end(void **state)
{
	void *page;

	(void)state;
	host_fail_alloc(1);
	assert_int_equal(mm_pin(&a, GFN(0), &page), MM_NOMEM);
	assert_int_equal(a.stats.pinned, 0);
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		assert_int_equal(mm_pin(&a, GFN(i), &page), MM_OK);
	assert_int_equal(mm_pin(&a, GFN(500), &page), MM_LIMIT);
	assert_int_equal(p2m_lookup(&a, GFN(500)).type, P2M_UNTOUCHED);
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		mm_unpin(&a, GFN(i));
}

/* Pins end with their space, at the first step. */
static void pins_die_with_the_space(void **state)
{
	struct space s;
	void *page;

	(void)state;
	make_space(&s, 2, 40);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(mm_pin(&s, GFN(i), &page), MM_OK);
	assert_false(space_destroy_step(&s, 1));
	assert_int_equal(space_stats(&s).pinned, 0);
	audit_passes();
	destroy_space(&s);
}

/* ---- service pages ---- */

/* Over a hole, over RAM, over nothing; both sides see the same bytes; the RAM is given up. */
static void service_pages(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1), other = frame_alloc(0, FRAME_SERVICE, 9);
	const uint64_t where[] = {3, 4, 5, 700};
	void *page;

	(void)state;
	*(uint64_t *)env_frame(m) = 0;
	guest_puts(&a, PAGE(3), 1);
	assert_int_equal(balloon_out(&a, &GFN(4), 1, 0), 1);
	for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
		gfn_t g = GFN(where[i]);

		assert_int_equal(mm_map_service(&a, g, m), MM_OK);
		guest_puts(&a, gfn_to_addr(g), i + 50);
		assert_int_equal(*(uint64_t *)env_frame(m), i + 50);
		assert_int_equal(p2m_lookup(&a, g).type, P2M_FOREIGN);
		assert_int_equal(balloon_out(&a, &g, 1, 0), 0);
		audit_passes();
		assert_int_equal(mm_map_service(&a, g, m), MM_OK); /* again: the same */
		assert_int_equal(mm_pin(&a, g, &page), MM_OK);
		assert_int_equal(mm_unmap_service(&a, g), MM_PINNED);
		assert_int_equal(mm_map_service(&a, g, m), MM_PINNED);
		mm_unpin(&a, g);
		assert_int_equal(mm_unmap_service(&a, g), MM_OK);
		assert_int_equal(p2m_lookup(&a, g).type, P2M_BALLOONED);
		audit_passes();
	}
	assert_int_equal(a.memory_pages, 600 - 3);
	assert_int_equal(mm_unmap_service(&a, GFN(3)), MM_NORAM);
	assert_int_equal(mm_map_service(&a, GFN(3), other), MM_INVAL);
	assert_int_equal(mm_map_service(&a, GFN(GFN_LIMIT), m), MM_INVAL);
	assert_int_equal(mm_map_service(&a, GFN(3), zero_frame()), MM_INVAL);
	frame_free(m, 0);
	frame_free(other, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(bad_configs),
	    T(create_in_steps),
	    T(create_fails_at_every_step),
	    T(destroy_in_slices),
	    T(destroy_slices_are_small),
	    T(dying_space_gives_nothing),
	    T(space_without_root),
	    T(scan_lock_keeps_spaces),
	    T(high_memory),
	    T(tables_for_ram),
	    T(copies_cross_pages),
	    T(copies_that_fail),
	    T(writes_break_and_mark),
	    T(pins_hold),
	    T(pins_end),
	    T(pins_die_with_the_space),
	    T(service_pages),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
