/* SPDX-License-Identifier: MIT */
/* The flush protocol (mm/flush.c), first with a hand on every CPU, then with threads. */
#include <pthread.h>
#include "tests/unit/mm_test.h"

static struct space a, b;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 4096, .cpus = 3});
	make_space(&a, 1, 100);
	make_space(&b, 2, 100);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	destroy_space(&a);
	destroy_space(&b);
	host_stop();
	return 0;
}

static bool enter(unsigned cpu, struct space *s)
{
	bool flush;

	host_set_cpu(cpu);
	flush = flush_enter(s, cpu);
	host_set_cpu(3);
	return flush;
}

static void leave(unsigned cpu)
{
	host_set_cpu(cpu);
	flush_leave(cpu);
	host_set_cpu(3);
}

/* A CPU flushes a space that it enters for the first time, and then only after a change. */
static void flush_once_a_change(void **state)
{
	(void)state;
	assert_true(enter(0, &a));
	leave(0);
	assert_false(enter(0, &a));
	leave(0);
	assert_true(enter(1, &a));
	leave(1);
	flush_space(&a);
	assert_true(enter(0, &a));
	leave(0);
	assert_true(enter(1, &a));
	leave(1);
	assert_false(enter(0, &a));
	leave(0);
	assert_true(enter(0, &b)); /* spaces are apart */
	leave(0);
}

static unsigned kicked_cpu;

static void note_kick(unsigned cpu)
{
	kicked_cpu = cpu;
	leave(cpu);
}

/* Only CPUs that are in guest mode in this very space are kicked. */
static void kick_who_must(void **state)
{
	uint64_t before;

	(void)state;
	host_on_kick = note_kick;
	(void)enter(0, &a);
	(void)enter(1, &b);
	before = host_kicks();
	flush_space(&a);
	assert_int_equal(host_kicks(), before + 1);
	assert_int_equal(kicked_cpu, 0);
	/* Entered after the bump: it has flushed, nobody waits for it. */
	{
		uint64_t gen = flush_begin(&a);

		assert_true(enter(2, &a));
		flush_wait(&a, gen);
	}
	assert_int_equal(host_kicks(), before + 1);
	leave(1);
	leave(2);
}

/* ---- threads: two readers inside, one breaking; no reader ever sees an old value after
 * the writer has been told that the break is done ---- */

#define ROUNDS 300

static _Atomic uint64_t told; /* the value that the writer has published last */
static _Atomic bool stop;
static _Atomic uint64_t stale_reads, reads;

static void *reader(void *arg)
{
	unsigned cpu = (unsigned)(uintptr_t)arg;

	host_set_cpu(cpu);
	while (!atomic_load(&stop)) {
		uint64_t floor = atomic_load(&told), v = 0;

		if (guest_read(cpu, &a, PAGE(5), &v) != VERDICT_RESUME || v < floor)
			atomic_fetch_add(&stale_reads, 1);
		atomic_fetch_add(&reads, 1);
	}
	guest_leave(cpu);
	return NULL;
}

static void wait_for_reads(uint64_t n)
{
	uint64_t until = atomic_load(&reads) + n;

	while (atomic_load(&reads) < until)
		env_relax();
}

static void no_stale_reads(void **state)
{
	pthread_t t[2];

	(void)state;
	host_on_kick = guest_kicked_flag;
	host_set_cpu(2);
	assert_int_equal(mm_write(&a, PAGE(5), &(uint64_t){1}, 8), MM_OK);
	atomic_store(&told, 1);
	for (uintptr_t cpu = 0; cpu < 2; cpu++)
		pthread_create(&t[cpu], NULL, reader, (void *)cpu);
	for (uint64_t v = 2; v < ROUNDS; v++) {
		uint64_t old = v - 1;

		assert_int_equal(mm_write(&b, PAGE(6), &old, 8), MM_OK);
		merge_pages(&a, GFN(5), &b, GFN(6));
		wait_for_reads(3); /* they cache the shared frame */
		assert_int_equal(mm_write(&a, PAGE(5), &v, 8), MM_OK); /* a break */
		atomic_store(&told, v);
		wait_for_reads(3);
		assert_int_equal(mm_write(&b, PAGE(6), &v, 8), MM_OK); /* a take-over */
	}
	atomic_store(&stop, true);
	for (unsigned cpu = 0; cpu < 2; cpu++)
		pthread_join(t[cpu], NULL);
	host_set_cpu(3);
	assert_int_equal(atomic_load(&stale_reads), 0);
	assert_int_equal(a.stats.breaks, ROUNDS - 2);
	audit_passes();
}

/* ---- the lock order is asserted ---- */

static void lock_order_is_asserted(void **state)
{
	(void)state;
	p2m_lock(&a);
	p2m_lock(&b);
	assert_true(lock_held(LOCK_P2M + 1));
	p2m_unlock(&a);
	assert_true(HOST_PANICS(p2m_lock(&a)));
	assert_true(HOST_PANICS(p2m_lock(&b)));
	assert_true(HOST_PANICS(lock_assert_none()));
	p2m_unlock(&b);
	lock_assert_none();
	assert_true(HOST_PANICS(p2m_unlock(&b)));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(flush_once_a_change),
	    T(kick_who_must),
	    T(no_stale_reads),
	    T(lock_order_is_asserted),
	};

	return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
