/* SPDX-License-Identifier: MIT */
/*
 * Rounds of reclaim (kernel/reclaim.c) on a machine of 64 MiB with guests that follow their
 * wishes, or do not: who is asked for what and when, who is skipped, what comes back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/cmdline.h"
#include "kernel/evtchn.h"
#include "kernel/exit.h"
#include "kernel/reclaim.h"
#include "kernel/waiters.h"
#include "mm/fund.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include "tests/host/machine.h"

#define GUESTS 3u
#define PAGES  6000u /* 23 MiB each: more together than there is */
#define MS     UINT64_C(1000000)
#define S      (1000 * MS)

static struct domain *d[GUESTS];
static uint64_t out[GUESTS]; /* pages [PAGES - out, PAGES) are with the hypervisor */

static void listen_to(struct domain *x)
{
	x->control_port = (uint16_t)evtchn_bind(x, EVTCHN_UNBOUND, 0, 0);
}

static int start(void **state)
{
	(void)state;
	fake_start(2);
	cmdline_set("");
	for (unsigned i = 0; i < GUESTS; i++) {
		d[i] = fake_domain((domid_t)(i + 1), PAGES, 1);
		d[i]->target_pages = d[i]->limit_pages = PAGES;
		d[i]->shares = 1000;
		assert_int_equal(fund_set_min(&d[i]->space, PAGES / 4), MM_OK);
		listen_to(d[i]);
		out[i] = 0;
	}
	reclaim_init();
	return 0;
}

static int stop(void **state)
{
	struct audit_report r;

	(void)state;
	guest_leave_all();
	r = mm_audit();
	assert_string_equal(r.first, "");
	for (unsigned i = 0; i < GUESTS; i++)
		if (d[i])
			fake_domain_free(d[i]);
	fake_stop();
	return 0;
}

/* The guest writes to its pages [from, to), as far as there is memory; how many it got. */
static uint64_t write_pages(unsigned i, uint64_t from, uint64_t to)
{
	uint64_t g = from;

	while (g < to && mm_fault(&d[i]->space, GFN(g), FAULT_WRITE) == VERDICT_RESUME)
		g++;
	return g - from;
}

/* It moves its balloon by at most `most` pages towards what it was asked for. */
static void follow(unsigned i, uint64_t most)
{
	while (most-- && d[i]->space.memory_pages > d[i]->target_pages) {
		gfn_t g = GFN(PAGES - ++out[i]);

		assert_int_equal(balloon_out(&d[i]->space, &g, 1, 0), 1);
	}
	while (most-- && d[i]->space.memory_pages < d[i]->target_pages && out[i]) {
		gfn_t g = GFN(PAGES - out[i]);

		if (!balloon_in(&d[i]->space, &g, 1, 0))
			return;
		out[i]--;
	}
}

static void seconds(unsigned n)
{
	while (n--) {
		host_now_ns[0] += S;
		reclaim_poll();
	}
}

static void rounds_with_all(unsigned n)
{
	while (n--) {
		seconds(1);
		for (unsigned i = 0; i < GUESTS; i++)
			follow(i, PAGES);
	}
}

static const char *follows(unsigned i)
{
	return reclaim_view(d[i]).follows;
}

/* Nearly all is used: some 700 pages could still be had, of 16000. */
static void use_up(void)
{
	for (uint64_t g = 0; reclaim_machine_view().free > 400; g++)
		assert_int_equal(write_pages(g % GUESTS, g / GUESTS, g / GUESTS + 1), 1);
}

static void quiet_while_there_is_enough(void **state)
{
	(void)state;
	write_pages(0, 0, PAGES / 2);
	seconds(3);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_HIGH);
	assert_int_equal(reclaim_machine_view().asked, 0);
	assert_int_equal(reclaim_machine_view().rounds, 0);
	assert_int_equal(d[0]->target_pages, PAGES);
	assert_string_equal(follows(0), "yes");
}

/* Three guests that follow: after five rounds enough is free, and nobody is asked for more. What
 * counts is what they cost: the first pages that they give were never touched. */
static void asked_until_there_is_enough(void **state)
{
	uint64_t asked;

	(void)state;
	use_up();
	seconds(1);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_SOFT);
	assert_true(d[0]->target_pages < PAGES);
	assert_true(d[0]->space.borrows); /* to be able to follow */
	rounds_with_all(12);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_HIGH);
	assert_true(reclaim_machine_view().free >= reclaim_machine_view().goal * 96 / 100);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_in_range(d[i]->space.held, reclaim_view(d[i]).target * 98 / 100,
		                reclaim_view(d[i]).target * 102 / 100);
	asked = reclaim_machine_view().asked;
	rounds_with_all(40); /* and a sampling period ends */
	assert_int_equal(reclaim_machine_view().asked, asked);
}

/* When memory is short a guest is to have what it has touched, less what it costs too much: else it
 * would give what costs nothing, round after round, and stand in line itself meanwhile. */
static void the_untouched_goes_at_once(void **state)
{
	uint64_t touched = 0;

	(void)state;
	for (; reclaim_machine_view().free > 100; touched++)
		for (unsigned i = 0; i < GUESTS; i++)
			assert_int_equal(write_pages(i, touched, touched + 1), 1);
	assert_true(touched < PAGES * 9 / 10);
	seconds(1);
	assert_true(reclaim_machine_view().state >= RECLAIM_HARD);
	for (unsigned i = 0; i < GUESTS; i++) {
		assert_true(d[i]->target_pages < touched);
		follow(i, PAGES);
	}
	assert_true(reclaim_machine_view().free > 100);
}

/* When others have gone, all is given back, and then it is quiet again. */
static void given_back(void **state)
{
	uint64_t rounds;

	(void)state;
	use_up();
	rounds_with_all(8);
	assert_true(out[0] && out[1]);
	fake_domain_free(d[2]);
	d[2] = NULL;
	for (unsigned n = 0; n < 8; n++) {
		seconds(1);
		follow(0, PAGES);
		follow(1, PAGES);
	}
	assert_int_equal(d[0]->target_pages, PAGES);
	assert_int_equal(d[1]->space.memory_pages, PAGES);
	rounds = reclaim_machine_view().rounds;
	seconds(3);
	assert_int_equal(reclaim_machine_view().rounds, rounds);
}

/* One that does not move is skipped after five rounds, and its wish stays; the others give more.
 * When it moves it is one of them again. */
static void one_does_not_follow(void **state)
{
	uint64_t wish;

	(void)state;
	use_up();
	for (unsigned n = 0; n < 6; n++) {
		seconds(1);
		follow(0, PAGES);
		follow(1, PAGES);
	}
	assert_string_equal(follows(2), "does not follow");
	assert_string_equal(follows(0), "yes");
	wish = d[2]->target_pages;
	assert_true(wish < PAGES);
	for (unsigned n = 0; n < 8; n++) {
		seconds(1);
		follow(0, PAGES);
		follow(1, PAGES);
	}
	assert_int_equal(d[2]->target_pages, wish);
	assert_int_equal(d[2]->space.memory_pages, PAGES);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_HIGH);
	assert_int_equal(reclaim_view(d[2]).target, reclaim_view(d[2]).charged);
	follow(2, 10);
	seconds(1);
	assert_string_equal(follows(2), "yes");
}

/* Who hears nothing is asked nothing; nor who is paused or has ended. */
static void who_is_skipped(void **state)
{
	(void)state;
	d[0]->control_port = 0;
	d[1]->paused = true;
	use_up();
	seconds(1);
	assert_int_equal(d[0]->target_pages, PAGES);
	assert_int_equal(d[1]->target_pages, PAGES);
	assert_true(d[2]->target_pages < PAGES);
	assert_string_equal(follows(0), "listens to nobody");
	assert_string_equal(follows(1), "is paused");
	d[1]->shutdown = SHUTDOWN_POWEROFF_;
	assert_string_equal(follows(1), "has ended");
	d[1]->paused = false;
	d[1]->shutdown = SHUTDOWN_NONE;
}

/* Free memory crosses a level, or somebody waits for a frame: no second is waited for. */
static void at_once(void **state)
{
	(void)state;
	use_up();
	seconds(1);
	rounds_with_all(8);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_HIGH);
	host_now_ns[0] += 200 * MS;
	reclaim_poll();
	assert_int_equal(reclaim_machine_view().state, RECLAIM_HIGH);
	fund_set_reserve(700); /* a burst of breaks, say: so many more are spoken for */
	host_now_ns[0] += 200 * MS;
	reclaim_poll();
	assert_int_equal(reclaim_machine_view().state, RECLAIM_SOFT);
}

static void who_waits_is_heard_at_once(void **state)
{
	const struct vmexit x = {
	    .kind = EXIT_MEMORY,
	    .memory = {.gpa = (PAGES - 1) << PAGE_SHIFT, .access = FAULT_WRITE}
        };
	struct vcpu *v = d[2]->vcpus[0];
	uint64_t wish;

	(void)state;
	v->initialised = true;
	vcpu_start(v);
	for (unsigned i = 0; i < GUESTS; i++)
		write_pages(i, 0, PAGES);
	seconds(1);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_LOW);
	wish = d[1]->target_pages;
	assert_true(wish < PAGES);
	follow(1, 200);
	write_pages(2, 0, PAGES);
	exit_dispatch(v, &x);
	assert_int_equal(v->state, VCPU_MEMORY);
	host_now_ns[0] += 20 * MS;
	reclaim_poll();
	assert_int_equal(d[1]->target_pages, wish);
	host_now_ns[0] += 100 * MS;
	reclaim_poll();
	assert_true(d[1]->target_pages < wish);
}

/* The operator's word is the most; the guarantee is the least. */
static void between_min_and_limit(void **state)
{
	(void)state;
	use_up();
	domain_set_limit(d[0], PAGES / 2);
	follow(0, PAGES);
	for (unsigned n = 0; n < 10; n++) {
		rounds_with_all(1);
		assert_true(d[0]->target_pages <= PAGES / 2);
		for (unsigned i = 0; i < GUESTS; i++)
			assert_true(d[i]->target_pages >= PAGES / 4);
	}
	assert_int_equal(reclaim_view(d[0]).max, PAGES / 2);
}

/* ---- the tax ---- */

static void work(unsigned i, uint64_t pages)
{
	for (uint64_t g = 0; g < pages; g++) {
		uint64_t v;

		assert_int_equal(guest_read(1, &d[i]->space, g << PAGE_SHIFT, &v), VERDICT_RESUME);
	}
	guest_leave_all();
}

/* Guest 0 reads all that it has, guest 1 nothing. Returns the difference of what they have. */
static int64_t busy_against_idle(const char *tau)
{
	struct reclaim_settings s = reclaim_settings();

	assert_null(reclaim_set_knob(&s, "tau", tau));
	assert_null(reclaim_set_knob(&s, "period", "1000"));
	assert_null(reclaim_use(&s));
	for (unsigned n = 0; n < 60; n++) {
		seconds(1);
		host_now_ns[0] += 20 * MS;
		reclaim_poll(); /* one more sampling period ends */
		host_now_ns[0] += 20 * MS;
		reclaim_poll();
		for (unsigned i = 0; i < GUESTS; i++)
			follow(i, PAGES);
		for (unsigned i = 0; i < 2; i++) /* each has a use for all of it */
			write_pages(i, 0, PAGES - out[i]);
		work(0, PAGES - out[0]);
	}
	return (int64_t)(d[0]->space.held - d[1]->space.held);
}

static void the_tax_moves_idle_memory(void **state)
{
	int64_t without, with;

	(void)state;
	d[2]->control_port = 0; /* keeps what it has; what is left for two is not enough */
	write_pages(2, 0, PAGES);
	for (uint64_t g = 0; g < PAGES; g++)
		for (unsigned i = 0; i < 2; i++)
			write_pages(i, g, g + 1);
	without = busy_against_idle("0");
	assert_in_range(without + 200, 0, 400);
	with = busy_against_idle("75");
	print_message("# the busy one has %ld pages more than the idle one; without the tax %ld\n",
	              with, without);
	assert_true(with > PAGES / 8);
	assert_true(reclaim_view(d[0]).active > reclaim_view(d[1]).active + PAGES / 2);
}

/* ---- turned off, and knobs ---- */

static void turned_off(void **state)
{
	struct reclaim_settings s = reclaim_settings();

	(void)state;
	use_up();
	rounds_with_all(3);
	assert_true(d[0]->target_pages < PAGES);
	s.on = false;
	assert_null(reclaim_use(&s));
	for (unsigned i = 0; i < GUESTS; i++)
		assert_int_equal(d[i]->target_pages, PAGES);
	seconds(5);
	assert_int_equal(d[0]->target_pages, PAGES);
}

static void knobs(void **state)
{
	const struct {
		const char *name, *value, *sentence;
	} bad[] = {
	    {"tau",    "100",                         "tau is 0 to 99"  },
	    {"tau",    "many",                        "must be a number"},
	    {"tau",    "",	                    "must be a number"},
	    {"tau",    "5x",	                  "must be a number"},
	    {"levels", "6,4,2",                       "four numbers"    },
	    {"levels", "6,4,2,1,",                    "four numbers"    },
	    {"levels", "6,4,4,1",                     "fall from high"  },
	    {"levels", "6,4,2,0",                     "low level"       },
	    {"levels", "60,4,2,1",                    "high level"      },
	    {"levels", "999999999999999999999,4,2,1", "four numbers"    },
	    {"round",  "9",	                   "round is 10"     },
	    {"period", "99",                          "period is 100"   },
	    {"period", "4294967297",                  "must be a number"},
	    {"sample", "0",                           "sample is 1"     },
	    {"sample", "129",                         "sample is 1"     },
	    {"speed",  "3",	                   "the knobs are"   },
	};
	struct reclaim_settings s;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *said;

		s = reclaim_settings();
		said = reclaim_set_knob(&s, bad[i].name, bad[i].value);
		assert_non_null(said);
		assert_non_null(strstr(said, bad[i].sentence));
	}
	s = reclaim_settings();
	assert_null(reclaim_set_knob(&s, "levels", "12,8,4,2"));
	assert_null(reclaim_set_knob(&s, "sample", "50"));
	assert_null(reclaim_use(&s));
	assert_int_equal(reclaim_settings().knobs.level[RECLAIM_SOFT], 8);
	s.round_ms = 0;
	assert_non_null(reclaim_use(&s));
	assert_int_equal(reclaim_settings().sample_pages, 50);
}

static void from_the_command_line(void **state)
{
	(void)state;
	cmdline_set("reclaim.on=0 reclaim.tau=50 reclaim.levels=9,5,3,1 reclaim.sample=500 "
	            "reclaim.period=2000");
	reclaim_init();
	assert_false(reclaim_settings().on);
	assert_int_equal(reclaim_settings().knobs.tau, 50);
	assert_int_equal(reclaim_settings().knobs.level[RECLAIM_HARD], 3);
	assert_int_equal(reclaim_settings().sample_pages, 100);
	assert_int_equal(reclaim_settings().period_ms, 2000);
	assert_non_null(strstr(host_console, "reclaim.sample is \"500\": sample is 1 to 128 "
	                                     "(pages); it stays as it was"));
}

/* ---- compression ---- */

static uint64_t compressed[GUESTS + 1];

static uint64_t compressor(struct domain *x, uint64_t pages)
{
	compressed[x->id - 1] += pages;
	return 0;
}

/* In state hard and low whoever is above its target is named, with how much; with plenty nobody. */
static void who_is_to_be_compressed(void **state)
{
	(void)state;
	memset(compressed, 0, sizeof(compressed));
	reclaim_set_compressor(compressor);
	write_pages(0, 0, PAGES / 2);
	seconds(1);
	assert_int_equal(compressed[0], 0);
	for (unsigned i = 0; i < GUESTS; i++)
		write_pages(i, 0, PAGES);
	seconds(1);
	assert_int_equal(reclaim_machine_view().state, RECLAIM_LOW);
	assert_true(compressed[0] + compressed[1] + compressed[2] > 500);
	assert_int_equal(compressed[0], reclaim_view(d[0]).compress);
	reclaim_set_compressor(NULL);
	seconds(1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(quiet_while_there_is_enough),
	    T(asked_until_there_is_enough),
	    T(the_untouched_goes_at_once),
	    T(given_back),
	    T(one_does_not_follow),
	    T(who_is_skipped),
	    T(at_once),
	    T(who_waits_is_heard_at_once),
	    T(between_min_and_limit),
	    T(the_tax_moves_idle_memory),
	    T(turned_off),
	    T(knobs),
	    T(from_the_command_line),
	    T(who_is_to_be_compressed),
	};

	return cmocka_run_group_tests_name("reclaim_rounds", tests, NULL, NULL);
}
