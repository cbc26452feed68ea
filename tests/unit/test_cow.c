/* SPDX-License-Identifier: MIT */
/* Faults, populating and copy on write (mm/fault.c, populate.c, cow.c). */
#include "tests/unit/mm_test.h"

static struct space a, b;
static uint64_t free_at_start;

static int setup(void **state)
{
	(void)state;
	host_start_small();
	free_at_start = host_free_frames();
	make_space(&a, 1, 600);
	make_space(&b, 2, 600);
	return 0;
}

/* Every test ends with a passing audit, and with both spaces gone no frame is missing. */
static int teardown(void **state)
{
	(void)state;
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(host_free_frames(), free_at_start);
	audit_passes();
	host_stop();
	return 0;
}

/* A page of a with content v and one of b, merged. */
static mfn_t shared_page(gfn_t ga, gfn_t gb, uint64_t v)
{
	guest_puts(&a, gfn_to_addr(ga), v);
	guest_puts(&b, gfn_to_addr(gb), v);
	merge_pages(&a, ga, &b, gb);
	assert_int_equal(p2m_lookup(&b, gb).type, P2M_SHARED);
	audit_passes();
	return p2m_lookup(&a, ga).mfn;
}

/* A read of a page that was never written sees zeroes and takes no frame. */
static void read_of_untouched_maps_zero(void **state)
{
	uint64_t before = host_free_frames();

	(void)state;
	assert_int_equal(guest_sees(&a, PAGE(5) + 8), 0);
	assert_int_equal(host_free_frames(), before);
	assert_int_equal(p2m_lookup(&a, GFN(5)).type, P2M_UNTOUCHED);
	assert_int_equal(a.stats.untouched, 600);
	assert_int_equal(a.stats.untouched_mapped, 1);
	assert_int_equal(mm_stats().pages_saved, 0);
}

/* A write after that read gives a zeroed page of its own, seen by a CPU that
 * still had the zero frame in its TLB. */
static void write_after_read_populates(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(guest_read(1, &a, PAGE(5), &v), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &a, PAGE(5), 42), VERDICT_RESUME);
	assert_int_equal(guest_read(1, &a, PAGE(5), &v), VERDICT_RESUME);
	assert_int_equal(v, 42);
	assert_int_equal(guest_sees(&a, PAGE(5) + 16), 0);
	assert_int_equal(*(uint64_t *)env_frame(zero_frame()), 0);
	assert_int_equal(a.stats.untouched, 599);
	assert_int_equal(a.stats.untouched_mapped, 0);
	assert_int_equal(a.stats.populates, 1);
}

/* Outside of what was promised there is nothing: a device, or no memory at all. */
static void outside_is_device(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(guest_read(0, &a, PAGE(600), &v), VERDICT_DEVICE);
	assert_int_equal(guest_write(0, &a, PAGE(600), 1), VERDICT_DEVICE);
	assert_int_equal(mm_fault(&a, GFN(GFN_LIMIT), FAULT_WRITE), VERDICT_DEVICE);
	assert_int_equal(mm_fault(&a, GFN(UINT64_MAX >> 12), FAULT_READ), VERDICT_DEVICE);
}

/* Both reach the same frame, neither may write it, a write of one is not seen by the other. */
static void break_keeps_the_other(void **state)
{
	mfn_t frame = shared_page(GFN(3), GFN(9), 1234);
	uint64_t v;

	(void)state;
	assert_int_equal(p2m_lookup(&b, GFN(9)).mfn.n, frame.n);
	assert_int_equal(guest_read(1, &b, PAGE(9), &v), VERDICT_RESUME);
	guest_puts(&b, PAGE(9), 99);
	assert_int_equal(guest_read(1, &b, PAGE(9), &v), VERDICT_RESUME);
	assert_int_equal(v, 99);
	assert_int_equal(guest_sees(&a, PAGE(3)), 1234);
	assert_int_equal(b.stats.breaks, 1);
	assert_int_equal(frame_slot(frame_at(frame)), 1);
}

/* The last mapping is taken over in place: no copy, no frame, out of the index. */
static void last_reference_is_taken_over(void **state)
{
	mfn_t frame = shared_page(GFN(3), GFN(9), 1234);
	uint64_t before;

	(void)state;
	guest_puts(&b, PAGE(9), 99);
	before = host_free_frames();
	guest_puts(&a, PAGE(3), 55);
	assert_int_equal(host_free_frames(), before);
	assert_int_equal(p2m_lookup(&a, GFN(3)).mfn.n, frame.n);
	assert_int_equal(p2m_lookup(&a, GFN(3)).type, P2M_PRIVATE);
	assert_int_equal(frame_kind(frame_at(frame)), FRAME_PRIVATE);
	assert_false(frame_flag(frame_at(frame), FRAME_INDEXED));
	assert_int_equal(a.stats.take_overs, 1);
	assert_int_equal(guest_sees(&b, PAGE(9)), 99);
}

static struct space *seen_space;
static uint64_t seen_value;
static mfn_t seen_frame;

static void reader_at_switch(enum env_point p)
{
	if (p != POINT_BREAK_SWITCHED)
		return;
	/* CPU 1 still has the old frame in its TLB: it must be alive, with its old bytes. */
	assert_true(guest_inside(1, seen_space));
	assert_int_equal(guest_read(1, seen_space, PAGE(9), &seen_value), VERDICT_RESUME);
	assert_true(frame_slot(frame_at(seen_frame)) >= 2);
	/* And nobody may write to the new one yet: CPU 1 would miss that write. */
	assert_false(mm.format->access(p2m_entry_get(p2m_find(seen_space, GFN(9)).entry)) & PTE_W);
}

/* Between switch and flush another CPU of this guest reads the old frame: it has not lost
 * its count, so nobody could have taken it over and written to it; and the new one, which
 * this CPU does not see, is still read-only. */
static void old_frame_keeps_its_count_until_flushed(void **state)
{
	uint64_t v;

	(void)state;
	seen_frame = shared_page(GFN(3), GFN(9), 1234);
	seen_space = &b;
	assert_int_equal(guest_read(1, &b, PAGE(9), &v), VERDICT_RESUME);
	host_on_point = reader_at_switch;
	guest_puts(&b, PAGE(9), 99);
	host_on_point = NULL;
	assert_int_equal(seen_value, 1234);
	assert_false(guest_inside(1, &b)); /* it was kicked */
	assert_int_equal(guest_read(1, &b, PAGE(9), &v), VERDICT_RESUME);
	assert_int_equal(v, 99);
	assert_int_equal(frame_slot(frame_at(seen_frame)), 1);
}

/* A write to a page that is only protected, by a merge under way, just goes on. */
static void unprotect(void **state)
{
	mfn_t mfn;

	(void)state;
	guest_puts(&a, PAGE(3), 7);
	mfn = p2m_lookup(&a, GFN(3)).mfn;
	p2m_lock(&a);
	assert_true(p2m_protect(&a, GFN(3)));
	flush_space(&a);
	assert_true(p2m_protected(&a, GFN(3), mfn));
	p2m_unlock(&a);
	guest_puts(&a, PAGE(3), 8);
	assert_int_equal(p2m_lookup(&a, GFN(3)).mfn.n, mfn.n);
	assert_int_equal(a.stats.unprotects, 1);
	assert_false(p2m_protected(&a, GFN(3), mfn));
	assert_true(frame_flag(frame_at(mfn), FRAME_STALE));
}

/* A break from the ones frame copies ones; one from the zero frame gives zeroes. */
static void break_of_constants(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PAGE_SIZE; i += 8)
		guest_puts(&a, PAGE(3) + i, UINT64_MAX);
	guest_puts(&a, PAGE(4), 0);
	merge_constant(&a, GFN(3), ones_frame());
	merge_constant(&a, GFN(4), zero_frame());
	audit_passes();
	assert_int_equal(p2m_lookup(&a, GFN(3)).type, P2M_ONES);
	assert_int_equal(p2m_lookup(&a, GFN(4)).type, P2M_ZERO);
	assert_int_equal(mm_stats().pages_saved, 2);
	guest_puts(&a, PAGE(3) + 8, 1);
	guest_puts(&a, PAGE(4) + 8, 2);
	assert_int_equal(guest_sees(&a, PAGE(3)), UINT64_MAX);
	assert_int_equal(guest_sees(&a, PAGE(4)), 0);
	assert_int_equal(mm_stats().pages_saved, 0);
	assert_int_equal(*(uint64_t *)env_frame(ones_frame()), UINT64_MAX);
}

/* A break by a walk of guest page tables keeps the page out of merging, longer each time. */
static void guest_tables_back_off(void **state)
{
	mfn_t mfn;

	(void)state;
	shared_page(GFN(3), GFN(9), 1234);
	assert_int_equal(guest_walk_write(0, &b, PAGE(9), 1), VERDICT_RESUME);
	mfn = p2m_lookup(&b, GFN(9)).mfn;
	assert_true(p2m_lookup(&b, GFN(9)).guest_table);
	assert_int_equal(frame_age(frame_at(mfn)), 1);
	assert_int_equal(b.stats.table_breaks, 1);
	p2m_lock(&b);
	assert_false(p2m_protect(&b, GFN(9)));
	frame_clear_flag(frame_at(mfn), FRAME_GUEST_TABLE);
	assert_true(p2m_protect(&b, GFN(9)));
	flush_space(&b);
	p2m_unlock(&b);
	assert_int_equal(guest_walk_write(0, &b, PAGE(9), 2), VERDICT_RESUME);
	assert_int_equal(frame_age(frame_at(mfn)), 2);
}

/* If the frame for a populate or break is refused, the vCPU waits and nothing has changed. */
static void refused_allocation_changes_nothing(void **state)
{
	struct space_stats before_a, before_b;
	uint64_t free_before;

	(void)state;
	shared_page(GFN(3), GFN(9), 1234);
	before_a = space_stats(&a);
	before_b = space_stats(&b);
	free_before = host_free_frames();
	host_fail_alloc(1);
	assert_int_equal(guest_write(0, &a, PAGE(3), 5), VERDICT_WAIT);
	host_fail_alloc(1);
	assert_int_equal(guest_write(0, &b, PAGE(100), 5), VERDICT_WAIT);
	before_a.waits++;
	before_b.waits++;
	assert_memory_equal(&a.stats, &before_a, sizeof(before_a));
	assert_memory_equal(&b.stats, &before_b, sizeof(before_b));
	assert_int_equal(host_free_frames(), free_before);
	assert_int_equal(p2m_lookup(&b, GFN(100)).type, P2M_UNTOUCHED);
	audit_passes();
	guest_puts(&a, PAGE(3), 5);
	guest_puts(&b, PAGE(100), 5);
}

/* A read-only foreign page refuses a write; a fetch from a page without X is refused. */
static void refuse(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);

	(void)state;
	assert_int_equal(mm_map_service(&a, GFN(7), m), MM_OK);
	assert_int_equal(mm_fault(&a, GFN(7), FAULT_EXEC), VERDICT_REFUSE);
	assert_int_equal(mm_fault(&a, GFN(7), FAULT_WRITE), VERDICT_RESUME);
	assert_int_equal(mm_unmap_service(&a, GFN(7)), MM_OK);
	frame_free(m, 0);
}

/* The write that a break serves takes from the reserve; a populate does not. */
static void reserve_is_for_breaks(void **state)
{
	uint64_t held = 0;
	mfn_t m;

	(void)state;
	shared_page(GFN(3), GFN(9), 1234);
	fund_init(10);
	while (mfn_valid(m = frame_alloc(0, FRAME_HYPERVISOR, 0))) {
		frame_at(m)->link = (uint32_t)held;
		held = m.n;
	}
	assert_int_equal(host_free_frames(), 10);
	assert_int_equal(guest_write(0, &a, PAGE(30), 1), VERDICT_WAIT);
	assert_int_equal(guest_write(0, &b, PAGE(9), 1), VERDICT_RESUME);
	assert_int_equal(fund_look().free, 9);
	assert_int_equal(fund_look().reserve, 9);
	while (held) {
		m = MFN(held);
		held = frame_at(m)->link;
		frame_free(m, 0);
	}
}

/* Where large leaves must not be executable a fetch splits one, and only its page may execute;
 * the right goes with the page into a merge. A service page never has it. */
static void fetch_splits_a_large_leaf(void **state)
{
	mfn_t f = frame_alloc(0, FRAME_SERVICE, 1);

	(void)state;
	mm_set_large_nx(true);
	assert_int_equal(balloon_out(&a, &GFN(0), 1, LARGE_ORDER), 1);
	assert_int_equal(balloon_in(&a, &GFN(0), 1, LARGE_ORDER), 1);
	assert_int_equal(a.stats.large_leaves, 1);
	assert_int_equal(mm_fault(&a, GFN(7), FAULT_READ), VERDICT_RESUME);
	assert_false(p2m_lookup(&a, GFN(7)).access & PTE_X);
	assert_int_equal(mm_fault(&a, GFN(7), FAULT_EXEC), VERDICT_RESUME);
	assert_int_equal(a.stats.large_leaves, 0);
	assert_true(p2m_lookup(&a, GFN(7)).access & PTE_X);
	assert_false(p2m_lookup(&a, GFN(8)).access & PTE_X);
	audit_passes();
	shared_page(GFN(8), GFN(9), 0x1234);
	assert_int_equal(mm_fault(&a, GFN(8), FAULT_EXEC), VERDICT_RESUME);
	assert_true(p2m_lookup(&a, GFN(8)).access & PTE_X);
	assert_int_equal(p2m_lookup(&a, GFN(8)).type, P2M_SHARED);
	assert_int_equal(mm_map_service(&a, GFN(0x700), f), MM_OK);
	assert_int_equal(mm_fault(&a, GFN(0x700), FAULT_EXEC), VERDICT_REFUSE);
	assert_int_equal(mm_unmap_service(&a, GFN(0x700)), MM_OK);
	frame_free(f, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(read_of_untouched_maps_zero),
	    T(write_after_read_populates),
	    T(outside_is_device),
	    T(break_keeps_the_other),
	    T(last_reference_is_taken_over),
	    T(old_frame_keeps_its_count_until_flushed),
	    T(unprotect),
	    T(break_of_constants),
	    T(guest_tables_back_off),
	    T(refused_allocation_changes_nothing),
	    T(refuse),
	    T(reserve_is_for_breaks),
	    T(fetch_splits_a_large_leaf),
	};

	return cmocka_run_group_tests_name("cow", tests, NULL, NULL);
}
