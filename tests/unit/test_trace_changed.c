/* SPDX-License-Identifier: MIT */
/*
 * The trace (mm/trace.c), where what it tells of changes: memory and domains that come after it began, or for
 * which there is no map, and those that go in the middle of a pass.
 */
#include <pthread.h>
#include <unistd.h>
#include "mm/balloon.h"
#include "tests/unit/trace_test.h"

/* ---- what a map does not cover ---- */

/* RAM that came after the map was made: a write to it is counted, and told of no other page. */
static void test_beyond_the_map(void **state)
{
	gfn_t more = GFN(PAGES);

	(void)state;
	make(1);
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	guest[1].max_pages++;
	assert_int_equal(balloon_in(&guest[1], &more, 1, 0), 1);
	assert_int_equal(trace_look().untold, 1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(PAGES), 5), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &guest[1], PAGE(3), 5), VERDICT_RESUME);
	guest_leave_all();
	pass();
	assert_int_equal(trace_look().untold, 2);
	assert_int_equal(events[TRACE_WRITE], 1);
	assert_true(told[1][3].known);
	audit_passes();
}

/* A page of ours that the guest may see is none that a trace tells of. */
static void test_service_page(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);
	uint64_t word = 5;

	(void)state;
	make(1);
	assert_int_equal(mm_map_service(&guest[1], GFN(7), m), MM_OK);
	for (uint64_t g = 0; g < PAGES; g++)
		if (g != 7)
			assert_int_equal(guest_write(0, &guest[1], PAGE(g), 5), VERDICT_RESUME);
	guest_leave_all();
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_equal(events[TRACE_WRITE], PAGES - 1);
	assert_int_equal(mm_write(&guest[1], PAGE(7), &word, sizeof(word)), MM_OK);
	pass();
	assert_int_equal(events[TRACE_WRITE], PAGES - 1); /* of none */
	assert_int_equal(trace_look().untold, 0);
	assert_int_equal(mm_unmap_service(&guest[1], GFN(7)), MM_OK);
	frame_free(m, 0);
}

/* No frame for the map of a domain that comes later: it comes all the same, and is passed by; others are told. */
static void test_no_memory_for_one(void **state)
{
	uint64_t allocs;

	(void)state;
	make(1);
	make(3);
	assert_int_equal(trace_start(&sink), MM_OK);
	allocs = host_allocs();
	make(2);
	allocs = host_allocs() - allocs;
	assert_int_equal(events[TRACE_CREATE], 3);
	destroy_space(&guest[2]);
	assert_int_equal(events[TRACE_DESTROY], 1);
	host_fail_alloc(allocs);
	make(2); /* the map is the last that it takes */
	host_fail_alloc(0);
	assert_int_equal(events[TRACE_CREATE], 3);
	for (domid_t d = 1; d <= 3; d++)
		assert_int_equal(guest_write(d, &guest[d], PAGE(4), 5), VERDICT_RESUME);
	assert_true(trace_look().untold > 0);
	guest_leave_all();
	pass();
	assert_true(told[1][4].known && told[3][4].known);
	assert_false(told[2][4].known);
	destroy_space(&guest[2]);
	assert_int_equal(events[TRACE_DESTROY], 1);
	audit_passes();
}

/* ---- what goes while a pass is under way ---- */

/* The domain of which it is telling: it goes on with the next. */
static void test_end_in_the_middle(void **state)
{
	(void)state;
	make(1);
	make(2);
	for (uint64_t g = 0; g < PAGES; g++)
		for (domid_t d = 1; d <= 2; d++)
			assert_int_equal(guest_write(d, &guest[d], PAGE(g), 5 + g), VERDICT_RESUME);
	guest_leave_all();
	assert_int_equal(trace_start(&sink), MM_OK);
	while (!events[TRACE_WRITE])
		assert_false(trace_step(PAGES));
	assert_in_range(events[TRACE_WRITE], 1, PAGES - 1);
	assert_int_equal(last.domid, 1);
	destroy_space(&guest[1]);
	there[1] = false;
	pass();
	assert_int_equal(trace_look().passes, 1);
	check_told();
	assert_true(told[2][0].known && told[2][PAGES - 1].known);
}

static pthread_t holder, striker;

static void wait_for_line(unsigned n)
{
	struct spinlock *l = &guest[1].lock;

	while (atomic_load(&l->next) < atomic_load(&l->owner) + n)
		usleep(100);
}

static void *give_page_9(void *arg)
{
	(void)arg;
	host_set_cpu(1);
	assert_int_equal(balloon_out(&guest[1], &(gfn_t){9}, 1, 0), 1);
	return NULL;
}

static _Atomic bool held;

/* So that who gives the page back is the next behind the tracer, which waits for this lock to gather. */
static void *hold_the_lock(void *arg)
{
	(void)arg;
	host_set_cpu(0);
	p2m_lock(&guest[1]);
	atomic_store(&held, true);
	wait_for_line(2);
	assert_int_equal(pthread_create(&striker, NULL, give_page_9, NULL), 0);
	wait_for_line(3);
	p2m_unlock(&guest[1]);
	return NULL;
}

static bool room_to_strike(void)
{
	if (!atomic_load(&held)) {
		assert_int_equal(pthread_create(&holder, NULL, hold_the_lock, NULL), 0);
		while (!atomic_load(&held))
			usleep(100);
	}
	return true;
}

/* A page that goes between the reading and the telling: what it held is not told any more. */
static void test_page_goes_while_it_is_read(void **state)
{
	static const struct trace_sink strikes = {sink_put, room_to_strike};
	gfn_t page = GFN(9);

	(void)state;
	make(1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &guest[1], PAGE(10), 6), VERDICT_RESUME);
	guest_leave_all();
	atomic_store(&held, false);
	assert_int_equal(trace_start(&strikes), MM_OK);
	pass();
	pthread_join(holder, NULL);
	pthread_join(striker, NULL);
	assert_int_equal(events[TRACE_OUT], 1);
	assert_int_equal(events[TRACE_WRITE], 1);
	assert_int_equal(trace_look().writes, 1);
	assert_true(told[1][10].known);
	assert_false(told[1][9].known);
	assert_int_equal(balloon_in(&guest[1], &page, 1, 0), 1);
	pass();
	check_told();
	audit_passes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_beyond_the_map, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_service_page, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory_for_one, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_end_in_the_middle, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_page_goes_while_it_is_read, setup, teardown),
	};

	return cmocka_run_group_tests_name("trace_changed", tests, NULL, NULL);
}
