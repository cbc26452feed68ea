/* SPDX-License-Identifier: MIT */
/*
 * Two races that chance rarely meets (tests/tsan/threads.c), made to happen in every round: a
 * thread that is inside a step of the core says so and sleeps there, while two others, CPUs in
 * guest mode that never stop, do the very thing that the step forbids.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

#define FRAMES 220u
#define PAGES  64u
#define CPUS   4u
#define ROUNDS 40u
#define SLEEP  2000u /* us in the middle of a step; a thread is ready to run all the while */

/* CPUs 0 to 2 are in guest 0, as is each of these; the scanner is CPU 3. */
enum { READER, WRITER, TOUCHER, SCANNER };

#define SHARED PAGE(5)         /* word 0: a number; word 8: nothing, but it is written */
#define BELL   (PAGE(9) + 128) /* the number, once it is written: its page equals no other */

static struct space guest[2];
static _Atomic uint64_t round_now, wrong, heard, bell;
static _Atomic bool stop, in_step, go;
static enum env_point step_point;
static __thread bool makes_the_step;

static void on_point(enum env_point p)
{
	if (!makes_the_step || p != step_point)
		return;
	atomic_store(&in_step, true);
	usleep(SLEEP);
}

static uint64_t read_word(unsigned cpu, uint64_t gpa)
{
	uint64_t v = 0;

	if (guest_read(cpu, &guest[0], gpa, &v) != VERDICT_RESUME)
		atomic_fetch_add(&wrong, 1);
	return v;
}

static void write_word(unsigned cpu, uint64_t gpa, uint64_t v)
{
	if (guest_write(cpu, &guest[0], gpa, v) != VERDICT_RESUME)
		atomic_fetch_add(&wrong, 1);
}

static void start(const struct pte_format *format, enum env_point p)
{
	host_start(
	    &(struct host_config){.frames = FRAMES, .cpus = CPUS, .reserve = 8, .format = format});
	host_on_kick = guest_kicked_flag;
	host_on_point = on_point;
	step_point = p;
	make_space(&guest[0], 1, PAGES);
	make_space(&guest[1], 2, PAGES);
	atomic_store(&stop, false);
	atomic_store(&in_step, false);
	atomic_store(&go, false);
	atomic_store(&wrong, 0);
	atomic_store(&heard, 0);
	atomic_store(&round_now, 0);
	atomic_store(&bell, 0);
}

static void finish(void)
{
	host_on_point = NULL;
	audit_passes();
	destroy_space(&guest[0]);
	destroy_space(&guest[1]);
	assert_int_equal(host_free_frames(), FRAMES - 3);
	host_stop();
	assert_int_equal(atomic_load(&wrong), 0);
	printf("# %llu rounds in which the others were there in time\n",
	       (unsigned long long)atomic_load(&heard));
	assert_true(atomic_load(&heard) >= ROUNDS / 4);
}

/* ---- a break: nobody may write the new frame while somebody may read the old one ---- */

/* Who hears the bell must find the number. It never leaves guest mode by itself. */
static void *run_reader(void *arg)
{
	(void)arg;
	host_set_cpu(READER);
	while (!atomic_load(&stop)) {
		uint64_t rung = read_word(READER, BELL), number = read_word(READER, SHARED);

		if (number < rung)
			atomic_fetch_add(&wrong, 1);
	}
	guest_leave(READER);
	return NULL;
}

/* In the middle of the toucher's break: the number, then the bell. */
static void *run_writer(void *arg)
{
	uint64_t told = 0;

	(void)arg;
	host_set_cpu(WRITER);
	while (!atomic_load(&stop)) {
		uint64_t number = atomic_load(&round_now);

		if (number == told || !(atomic_load(&in_step) || atomic_load(&go))) {
			guest_leave(WRITER); /* idle: nobody waits for it */
			continue;
		}
		atomic_fetch_add(&heard, atomic_load(&in_step));
		write_word(WRITER, SHARED, number);
		write_word(WRITER, BELL, number);
		told = number;
		atomic_store(&bell, number);
	}
	guest_leave(WRITER);
	return NULL;
}

/* Share the page, then break it by a write of a zero over a zero. */
static void break_once(uint64_t number)
{
	uint64_t before = number - 1;

	assert_int_equal(mm_write(&guest[1], SHARED, &before, sizeof(before)), MM_OK);
	for (unsigned i = 0; i < 8; i++)
		scan_slice(1000000);
	atomic_store(&go, false);
	atomic_store(&round_now, number);
	host_set_cpu(TOUCHER);
	makes_the_step = true;
	write_word(TOUCHER, SHARED + 64, 0);
	makes_the_step = false;
	guest_leave(TOUCHER);
	host_set_cpu(SCANNER);
}

static void a_break_keeps_the_order_of_writes(void **state)
{
	pthread_t reader, writer;

	(void)state;
	start(&toy_format, POINT_BREAK_SWITCHED);
	host_set_cpu(SCANNER);
	write_word(TOUCHER, BELL, 0);
	guest_leave(TOUCHER);
	assert_int_equal(pthread_create(&reader, NULL, run_reader, NULL), 0);
	assert_int_equal(pthread_create(&writer, NULL, run_writer, NULL), 0);
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		break_once(n);
		atomic_store(&in_step, false);
		atomic_store(&go, true); /* if it was not shared, the writer still waits */
		while (atomic_load(&bell) != n)
			usleep(100);
	}
	atomic_store(&stop, true);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	finish();
}

/* ---- a merge: what is written after the compare must not be lost ---- */

/*
 * Reads the number again and again, so that its TLB knows the page, and leaves it quiet; writes
 * the next one as soon as a merge has switched its leaf.
 */
static void *run_rewriter(void *arg)
{
	uint64_t number = 1, seen;

	(void)arg;
	host_set_cpu(WRITER);
	write_word(WRITER, SHARED, number);
	while (!atomic_load(&stop)) {
		bool step = atomic_exchange(&in_step, false);

		number += step;
		if (step)
			write_word(WRITER, SHARED, number);
		seen = read_word(WRITER, SHARED);
		if (seen != number)
			atomic_fetch_add(&wrong, 1);
		atomic_store(&round_now, number);
		atomic_fetch_add(&heard, step);
	}
	guest_leave(WRITER);
	return NULL;
}

static void a_merge_loses_no_write(void **state)
{
	pthread_t writer;

	(void)state;
	start(&toy_format_no_dirty, POINT_MERGE_SWITCHED);
	host_set_cpu(SCANNER);
	makes_the_step = true;
	assert_int_equal(pthread_create(&writer, NULL, run_rewriter, NULL), 0);
	for (unsigned i = 0; i < 4 * ROUNDS; i++) {
		uint64_t number = atomic_load(&round_now);

		/* An equal page in the other guest, so that there is something to merge. */
		assert_int_equal(mm_write(&guest[1], SHARED, &number, sizeof(number)), MM_OK);
		for (unsigned k = 0; k < 8; k++)
			scan_slice(1000000);
	}
	makes_the_step = false;
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_break_keeps_the_order_of_writes),
	    cmocka_unit_test(a_merge_loses_no_write),
	};

	alarm(120); /* a deadlock ends here */
	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
