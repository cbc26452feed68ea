/* SPDX-License-Identifier: MIT */
/*
 * When cold pages are compressed (kernel/squeeze.c). The machine is full: `full` holds every frame
 * that it may, and half of its pages would pack. Somebody waits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/cmdline.h"
#include "kernel/exit.h"
#include "kernel/squeeze.h"
#include "kernel/waiters.h"
#include "mm/fund.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include "tests/host/machine.h"

#define MS    UINT64_C(1000000)
#define PAGES 20000u /* more than there is */

static struct domain *d, *full;

static void write_to(unsigned page)
{
	const struct vmexit x = {
	    .kind = EXIT_MEMORY,
	    .memory = {.gpa = (uint64_t)(10 + page) << PAGE_SHIFT, .access = FAULT_WRITE}
        };

	exit_dispatch(d->vcpus[0], &x);
}

static bool waits(void)
{
	return d->vcpus[0]->state == VCPU_MEMORY;
}

static int start(void **state)
{
	uint64_t n = 0, word;

	(void)state;
	fake_start(1);
	d = fake_domain(1, 1000, 1);
	d->vcpus[0]->initialised = true;
	vcpu_start(d->vcpus[0]);
	full = fake_domain(2, PAGES, 1);
	for (word = 1; mm_write(&full->space, n << PAGE_SHIFT, &word, 8) == MM_OK; word++)
		n++;
	assert_true(n < PAGES && fund_look().free == 0);
	cmdline_set("");
	squeeze_init();
	return 0;
}

static int stop(void **state)
{
	struct audit_report r = mm_audit();

	(void)state;
	assert_string_equal(r.first, "");
	fake_domain_free(d);
	fake_domain_free(full);
	fake_stop();
	return 0;
}

static uint64_t compressed(void)
{
	return full->space.stats.compressed;
}

/* Not before the balloon has had its time; then the one that waits has its frame, and some more are
 * free. */
static void who_waits_is_served(void **state)
{
	(void)state;
	write_to(0);
	assert_true(waits());
	squeeze_poll();
	host_now_ns[0] += 20 * MS;
	squeeze_poll();
	assert_int_equal(compressed(), 0);
	assert_true(waits());
	host_now_ns[0] += 40 * MS;
	squeeze_poll();
	assert_in_range(compressed(), 65, 200); /* a few, not all that is cold */
	assert_false(waits());
	write_to(0);
	assert_false(waits());
	assert_int_equal(d->vcpus[0]->wait_ticket, 0);
}

/* Not while somebody takes down what is where (dump-core), neither for the line nor for reclaim. */
static void held_does_nothing(void **state)
{
	(void)state;
	write_to(0);
	squeeze_poll();
	host_now_ns[0] += 60 * MS;
	squeeze_hold(true);
	squeeze_poll();
	assert_int_equal(squeeze_ask(full, 100), 0);
	assert_int_equal(compressed(), 0);
	squeeze_hold(false);
	squeeze_poll();
	assert_int_not_equal(compressed(), 0);
}

/* Once it has begun, the next one does not wait for so long. */
static void it_goes_on(void **state)
{
	(void)state;
	write_to(0);
	host_now_ns[0] += 60 * MS;
	squeeze_poll();
	for (unsigned n = 0; !waits(); n++)
		write_to(n);
	host_now_ns[0] += 10 * MS;
	assert_true(waits());
	squeeze_poll(); /* it begins with `d`, whose own pages are as cold as the others' */
	assert_false(waits());
}

/* A frame comes free, as by a merge: whoever waits has it, and soon waits again. */
static void is_served(uint64_t gfn)
{
	const gfn_t g = GFN(gfn);

	write_to(0);
	assert_int_equal(balloon_out(&full->space, &g, 1, 0), 1);
	vcpu_wake_memory_waiters();
	for (unsigned n = 0; !waits(); n++)
		write_to(n);
	host_now_ns[0] += 60 * MS;
}

/* Merges get the line on: the time is the scanner's. Either alone does not do. */
static void not_while_sharing_delivers(void **state)
{
	(void)state;
	write_to(0);
	squeeze_poll();
	for (unsigned i = 0; i < 5; i++) {
		is_served(i);
		full->space.stats.merges += 1;
		squeeze_poll();
		assert_int_equal(compressed(), 0);
	}
	is_served(5); /* by something else */
	squeeze_poll();
	assert_true(compressed() > 0);
}

static void not_for_merges_that_move_no_line(void **state)
{
	(void)state;
	write_to(0);
	squeeze_poll();
	host_now_ns[0] += 60 * MS;
	full->space.stats.merges += 1000;
	squeeze_poll();
	assert_true(compressed() > 0);
	assert_false(waits());
}

static void without_a_line_nothing_is_done(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		host_now_ns[0] += 100 * MS;
		squeeze_poll();
	}
	assert_int_equal(compressed(), 0);
}

/* Reclaim asks before anybody waits: of that domain, and no more than it asks for and a few. */
static void on_request(void **state)
{
	uint64_t freed;

	(void)state;
	freed = squeeze_ask(full, 20);
	assert_in_range(freed, 20, 60);
	assert_int_equal(fund_look().free, freed);
	assert_int_equal(d->space.stats.compressed, 0);
	cmdline_set("compress=off");
	squeeze_init();
	assert_int_equal(squeeze_ask(full, 20), 0);
}

static void it_can_be_off(void **state)
{
	(void)state;
	cmdline_set("compress=off");
	squeeze_init();
	write_to(0);
	for (unsigned i = 0; i < 50; i++) {
		host_now_ns[0] += 100 * MS;
		squeeze_poll();
	}
	assert_int_equal(compressed(), 0);
	assert_true(waits());
}

/* A round of a domain's clock is not begun anew at once: what is cold was not used for that long. */
static void a_round_takes_its_time(void **state)
{
	uint64_t rounds;

	(void)state;
	for (uint64_t g = 0; g < 20000; g++) { /* all of it was just used */
		struct p2m_view v = p2m_lookup(&full->space, GFN(g));

		if (mfn_valid(v.mfn))
			assert_int_equal(mm_fault(&full->space, GFN(g), FAULT_WRITE),
			                 VERDICT_RESUME);
	}
	full->space.min_pages = full->space.held; /* nothing above it: the hand stands still */
	write_to(0);
	host_now_ns[0] += 60 * MS;
	squeeze_poll();
	assert_int_equal(compressed(), 0);
	full->space.min_pages = 0;
	full->space.compress_next = PAGES - 10; /* at its end: round in this look */
	rounds = full->space.compress_round;
	squeeze_poll();
	assert_int_equal(full->space.compress_round, rounds + 1);
	for (unsigned i = 0; i < 10; i++) {
		host_now_ns[0] += 15 * MS;
		squeeze_poll();
		assert_int_equal(compressed(), 0);
	}
	host_now_ns[0] += 60 * MS;
	squeeze_poll();
	assert_true(compressed() > 0);
}

/* Few pages that go round and round: longer and longer pauses, until something is gained. */
static void pauses(void **state)
{
	uint64_t p;

	(void)state;
	assert_int_equal(squeeze_pause(0, 0, 0, 3), 0);
	assert_int_equal(squeeze_pause(0, 100, 50, 3), 0);           /* most stay away */
	assert_int_equal(squeeze_pause(8000 * MS, 1000, 900, 3), 0); /* slow, but they get on */
	p = squeeze_pause(0, 60, 60, 3);
	assert_int_equal(p, 500 * MS);
	assert_int_equal(squeeze_pause(p, 60, 60, 3), 1000 * MS);
	for (unsigned i = 0; i < 20; i++)
		p = squeeze_pause(p, 60, 60, 3);
	assert_int_equal(p, 32000 * MS);
	assert_int_equal(squeeze_pause(p, 0, 0, 3), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(who_waits_is_served),
	    T(held_does_nothing),
	    T(it_goes_on),
	    T(not_while_sharing_delivers),
	    T(not_for_merges_that_move_no_line),
	    T(without_a_line_nothing_is_done),
	    T(on_request),
	    T(it_can_be_off),
	    T(a_round_takes_its_time),
	    cmocka_unit_test(pauses),
	};

	return cmocka_run_group_tests_name("squeeze", tests, NULL, NULL);
}
