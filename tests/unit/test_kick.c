/* SPDX-License-Identifier: MIT */
/*
 * The moment of a kick. A CPU that is kicked is still in guest mode and has all of its
 * TLB: whatever it can reach through it must still be there, unchanged, and nobody may be able to
 * write what it cannot see. Each test is one reason to flush; the checks are made in the kick.
 */
#include "mm/large.h"
#include "tests/unit/mm_test.h"

static struct space a, b;
static unsigned kicks;
static void (*check)(void);
static uint64_t free_before, pool_before;
static mfn_t frame;

static void on_kick(unsigned cpu)
{
	kicks++;
	check();
	guest_kicked(cpu);
}

static int setup(void **state)
{
	(void)state;
	host_start_small();
	make_space(&a, 1, 1024);
	make_space(&b, 2, 1024);
	kicks = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_true(kicks > 0);
	host_on_kick = guest_kicked;
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
	host_stop();
	return 0;
}

static void from_now_on(void (*f)(void))
{
	check = f;
	free_before = host_free_frames();
	pool_before = a.table_pool_pages;
	host_on_kick = on_kick;
}

static void cpu_1_reads(struct space *s, uint64_t gpa, uint64_t want)
{
	uint64_t v = ~want;

	assert_int_equal(guest_read(1, s, gpa, &v), VERDICT_RESUME);
	assert_int_equal(v, want);
}

static void still_sees(struct space *s, uint64_t gpa, uint64_t want)
{
	uint64_t v = ~want;

	if (guest_read_cached(1, s, gpa, &v))
		assert_int_equal(v, want);
}

static bool writable(struct space *s, uint64_t gfn)
{
	return p2m_lookup_locked(s, GFN(gfn)).access & PTE_W;
}

/* ---- merges: CPU 1 reads a page that is losing its frame ---- */

static void old_frames_are_there(void)
{
	assert_int_equal(host_free_frames(), free_before);
	still_sees(&b, PAGE(9), 77);
	still_sees(&a, PAGE(5), 77);
}

static void merge_for_reader(struct space *s, uint64_t gfn)
{
	guest_puts(&a, PAGE(5), 77);
	guest_puts(&b, PAGE(9), 77);
	scan_slice(8192);
	guest_leave_all();
	cpu_1_reads(s, PAGE(gfn), 77);
	from_now_on(old_frames_are_there);
	scan_slice(8192);
	host_on_kick = guest_kicked;
	/* In this slice, or the hint came first. */
	for (unsigned i = 0; i < 4 && !mm_stats().pages_saved; i++) {
		guest_leave_all();
		cpu_1_reads(s, PAGE(gfn), 77);
		from_now_on(old_frames_are_there);
		scan_slice(8192);
	}
	assert_int_equal(mm_stats().pages_saved, 1);
	cpu_1_reads(s, PAGE(gfn), 77);
}

static void merge_loses_a_frame(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 9; seed++) {
		host_on_kick = guest_kicked;
		host_seed(seed * UINT64_C(0x9e3779b97f4a7c15));
		merge_for_reader(seed % 2 ? &b : &a, seed % 2 ? 9 : 5);
	}
}

/* The second flush comes after the switch; between the two CPU 1 is back, with the old frame. */
static void reader_comes_back(enum env_point p)
{
	if (p == POINT_MERGE_COMPARED) {
		still_sees(&b, PAGE(9), 77);
	} else if (p == POINT_MERGE_SWITCHED) {
		still_sees(&b, PAGE(9), 77);
		still_sees(&a, PAGE(5), 77);
	} else if (p == POINT_MERGE_FLUSHED) {
		cpu_1_reads(&b, PAGE(9), 77);
	}
}

static void merge_between_its_flushes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 17; seed++) {
		uint64_t before = mm_stats().merges;

		host_on_kick = guest_kicked;
		host_on_point = NULL;
		host_seed(seed * UINT64_C(0x9e3779b97f4a7c15));
		guest_puts(&a, PAGE(5), 77);
		guest_puts(&b, PAGE(9), 77);
		host_on_point = reader_comes_back;
		for (unsigned i = 0; i < 6 && mm_stats().merges == before; i++) {
			guest_leave_all();
			from_now_on(old_frames_are_there);
			scan_slice(8192);
		}
		host_on_point = NULL;
		assert_true(mm_stats().merges > before);
	}
}

/* ---- breaks and populates ---- */

static void old_frame_is_counted(void)
{
	assert_int_equal(frame_slot(frame_at(frame)), 2);
	assert_false(writable(&b, 9));
	still_sees(&b, PAGE(9), 77);
}

static void break_of_a_shared_page(void **state)
{
	(void)state;
	guest_puts(&a, PAGE(5), 77);
	guest_puts(&b, PAGE(9), 77);
	merge_pages(&a, GFN(5), &b, GFN(9));
	frame = p2m_lookup(&b, GFN(9)).mfn;
	cpu_1_reads(&b, PAGE(9), 77);
	from_now_on(old_frame_is_counted);
	guest_puts(&b, PAGE(9), 78);
	assert_int_equal(frame_slot(frame_at(frame)), 1);
	cpu_1_reads(&b, PAGE(9), 78);
}

static void new_page_is_read_only(void)
{
	assert_false(writable(&a, 5));
	still_sees(&a, PAGE(5), 0);
}

static void populate_of_a_page_that_was_read(void **state)
{
	(void)state;
	cpu_1_reads(&a, PAGE(5), 0);
	from_now_on(new_page_is_read_only);
	guest_puts(&a, PAGE(5), 78);
	cpu_1_reads(&a, PAGE(5), 78);
}

/* ---- tables ---- */

static void table_is_not_free(void)
{
	assert_int_equal(a.table_pool_pages, pool_before);
	assert_false(writable(&a, 5));
	still_sees(&a, PAGE(5), 0);
}

static void populate_of_a_large_page(void **state)
{
	(void)state;
	cpu_1_reads(&a, PAGE(5), 0);
	from_now_on(table_is_not_free);
	assert_int_equal(mm_populate_large(&a, GFN(0)), MM_OK);
	assert_int_equal(a.table_pool_pages, pool_before + 1);
	assert_true(p2m_lookup(&a, GFN(5)).access & PTE_W);
	guest_puts(&a, PAGE(5), 78);
	cpu_1_reads(&a, PAGE(5), 78);
}

/* Frames that are copied from, and the table over them, until the second flush. */
static void nothing_is_free(void)
{
	assert_int_equal(a.table_pool_pages, pool_before);
	assert_true(host_free_frames() + LARGE_PAGES == free_before);
	assert_false(writable(&a, 5));
	still_sees(&a, PAGE(5), 0x105);
}

static void coalesce_by_copy(void **state)
{
	(void)state;
	for (uint64_t g = LARGE_PAGES; g--;)
		guest_puts(&a, PAGE(g), 0x100 + g);
	guest_leave_all();
	cpu_1_reads(&a, PAGE(5), 0x105);
	from_now_on(nothing_is_free);
	assert_int_equal(mm_coalesce(&a, GFN(0)), MM_OK);
	assert_int_equal(host_free_frames(), free_before);
	assert_int_equal(a.table_pool_pages, pool_before + 1);
	cpu_1_reads(&a, PAGE(5), 0x105);
	guest_puts(&a, PAGE(5), 78);
	cpu_1_reads(&a, PAGE(5), 78);
}

/* ---- pages that go ---- */

static void page_is_not_free(void)
{
	assert_int_equal(host_free_frames(), free_before);
	assert_int_equal(p2m_lookup_locked(&a, GFN(5)).type, P2M_BALLOONED);
	still_sees(&a, PAGE(5), 77);
}

static void balloon(void **state)
{
	(void)state;
	guest_puts(&a, PAGE(5), 77);
	guest_puts(&a, PAGE(6), 77);
	cpu_1_reads(&a, PAGE(5), 77);
	from_now_on(page_is_not_free);
	assert_int_equal(balloon_out(&a, (gfn_t[]){GFN(5), GFN(6)}, 2, 0), 2);
	assert_int_equal(host_free_frames(), free_before + 2);
}

static void balloon_of_a_large_page(void **state)
{
	(void)state;
	assert_int_equal(mm_populate_large(&a, GFN(0)), MM_OK);
	guest_puts(&a, PAGE(5), 77);
	cpu_1_reads(&a, PAGE(5), 77);
	from_now_on(page_is_not_free);
	assert_int_equal(balloon_out(&a, &GFN(0), 1, LARGE_ORDER), 1);
	assert_int_equal(host_free_frames(), free_before + LARGE_PAGES);
}

static void service_page_is_gone(void)
{
	assert_int_not_equal(p2m_lookup_locked(&a, GFN(5)).mfn.n, frame.n);
}

static void service_page_is_there(void)
{
	assert_int_equal(p2m_lookup_locked(&a, GFN(5)).mfn.n, frame.n);
	assert_int_equal(host_free_frames(), free_before);
	still_sees(&a, PAGE(5), 77);
}

/* A service page in the place of a guest's page, in the place of another one, and out again. */
static void service_pages(void **state)
{
	mfn_t one = frame_alloc(0, FRAME_SERVICE, 1), two = frame_alloc(0, FRAME_SERVICE, 1);

	(void)state;
	*(uint64_t *)env_frame(one) = 77;
	*(uint64_t *)env_frame(two) = 88;
	guest_puts(&a, PAGE(5), 77);
	guest_leave(0);
	cpu_1_reads(&a, PAGE(5), 77);
	frame = one;
	from_now_on(service_page_is_there);
	assert_int_equal(mm_map_service(&a, GFN(5), one), MM_OK);
	assert_int_equal(kicks, 1);
	cpu_1_reads(&a, PAGE(5), 77);
	frame = two;
	from_now_on(service_page_is_there);
	assert_int_equal(mm_map_service(&a, GFN(5), two), MM_OK);
	assert_int_equal(kicks, 2);
	cpu_1_reads(&a, PAGE(5), 88);
	from_now_on(service_page_is_gone);
	assert_int_equal(mm_unmap_service(&a, GFN(5)), MM_OK);
	assert_int_equal(kicks, 3);
	assert_int_equal(mm_fault(&a, GFN(5), FAULT_READ), VERDICT_DEVICE);
	frame_free(one, 0);
	frame_free(two, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(merge_loses_a_frame),
	    T(merge_between_its_flushes),
	    T(break_of_a_shared_page),
	    T(populate_of_a_page_that_was_read),
	    T(populate_of_a_large_page),
	    T(coalesce_by_copy),
	    T(balloon),
	    T(balloon_of_a_large_page),
	    T(service_pages),
	};

	return cmocka_run_group_tests_name("kick", tests, NULL, NULL);
}
