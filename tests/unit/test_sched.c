/* SPDX-License-Identifier: MIT */
/*
 * The scheduler with a clock that the test turns: each CPU has its own time,
 * and the CPU that is behind takes the next turn of its loop.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/pace.h"
#include "kernel/sched.h"
#include "kernel/xen_abi.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define MS      UINT64_C(1000000)
#define SECONDS UINT64_C(1000000000)

/* What a guest does when it runs. */
struct behaviour {
	bool pauses; /* PAUSE again and again: it waits for another vCPU */
	bool yields; /* the same by hypercall */
	bool sleeps; /* runs for run_ns, then HLT until its timer rings after nap_ns */
	uint64_t run_ns, nap_ns;
};

/* Of each sleeper: when it wanted to run; and how late one did at worst. */
static uint64_t due_of[MAX_DOMAINS], late_ns;

static const struct behaviour busy = {.sleeps = false};

/* A busy guest runs until the CPU's timer interrupts it, be its interrupts on or off. */
static void run_busy(struct vmexit *x)
{
	unsigned cpu = machine_cpu();

	if (host_timer_ns[cpu] > host_now_ns[cpu])
		host_now_ns[cpu] = host_timer_ns[cpu];
	host_now_ns[cpu] += 1000; /* the exit's own time */
	*x = (struct vmexit){.kind = EXIT_INTERRUPT};
}

static void run(struct vcpu *v, struct vmexit *x)
{
	const struct behaviour *b = fake_of(&v->hv)->data;
	uint64_t *due_ns = &due_of[v->domain->id];

	if (b->pauses) {
		host_now_ns[machine_cpu()] += 1000;
		*x = (struct vmexit){.kind = EXIT_PAUSE, .length = 2};
		return;
	}
	if (b->yields) {
		host_now_ns[machine_cpu()] += 1000;
		v->hv.regs.gpr[RAX] = __HYPERVISOR_sched_op;
		v->hv.regs.gpr[RDI] = SCHEDOP_yield;
		*x = (struct vmexit){.kind = EXIT_HYPERCALL, .length = 3};
		return;
	}
	if (!b->sleeps) {
		run_busy(x);
		return;
	}
	if (*due_ns && machine_ns() > *due_ns && machine_ns() - *due_ns > late_ns)
		late_ns = machine_ns() - *due_ns;
	host_now_ns[machine_cpu()] += b->run_ns;
	*due_ns = machine_ns() + b->nap_ns;
	timer_set(v, machine_ns() + b->nap_ns);
	v->info[0] = 0; /* the guest has seen its events */
	v->domain->shared_info[2048] = 0;
	*x = (struct vmexit){.kind = EXIT_HLT, .length = 1};
}

static struct domain *guest(domid_t id, const struct behaviour *b)
{
	struct domain *d = fake_domain(id, 16, 1);
	struct vcpu *v = d->vcpus[0];

	fake_of(&v->hv)->data = (void *)(uintptr_t)b;
	v->hv.regs.rflags = 1u << 9;
	v->virq_port[0] = 1;
	d->evtchn[1] = (struct evtchn){.state = EVTCHN_VIRQ};
	v->initialised = true;
	vcpu_start(v);
	return d;
}

/* Always the CPU whose clock is behind takes a turn. */
static void simulate(uint64_t until_ns)
{
	for (;;) {
		unsigned behind = 0;

		for (unsigned i = 1; i < host_cpus; i++)
			if (host_now_ns[i] < host_now_ns[behind])
				behind = i;
		if (host_now_ns[behind] >= until_ns)
			return;
		host_set_cpu(behind);
		sched_turn();
	}
}

static void stop(struct domain **d, unsigned n)
{
	host_set_cpu(0);
	for (unsigned i = 0; i < n; i++)
		fake_domain_free(d[i]);
	fake_stop();
}

/*
 * Four equal busy guests on two CPUs beside one that spins with interrupts off:
 * over ten seconds each of the four is within 3 % of their mean, and the spinner
 * gets no more than they do.
 */
static void test_fair(void **state)
{
	struct domain *d[5];
	uint64_t mean = 0;

	(void)state;
	fake_start(2);
	fake_run = run;
	for (unsigned i = 0; i < 5; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	simulate(10 * SECONDS);
	for (unsigned i = 0; i < 4; i++)
		mean += d[i]->vcpus[0]->ran_ns / 4;
	assert_true(mean > 39 * SECONDS / 10);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t ran = d[i]->vcpus[0]->ran_ns;

		assert_true(ran > mean - mean * 3 / 100);
		assert_true(ran < mean + mean * 3 / 100);
	}
	stop(d, 5);
}

/* A CPU that runs no guests: it is neither given one nor woken for one, and the others have them
 * all. */
static void test_first_cpu(void **state)
{
	struct domain *d[3];

	(void)state;
	fake_start(3);
	assert_false(sched_set_first_cpu(3));
	assert_true(sched_set_first_cpu(1));
	fake_run = run;
	for (unsigned i = 0; i < 3; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	simulate(SECONDS);
	assert_int_equal(sched_cpu_stats(0).guest_ns, 0);
	assert_int_equal(sched_cpu_stats(0).switches, 0);
	for (unsigned cpu = 1; cpu < 3; cpu++)
		assert_true(sched_cpu_stats(cpu).guest_ns > SECONDS * 9 / 10);
	for (unsigned i = 0; i < 3; i++)
		assert_true(d[i]->vcpus[0]->ran_ns > SECONDS * 6 / 10);
	stop(d, 3);
}

/*
 * What a guest is told of its own time is true to the nanosecond: three that work and one that
 * naps share one CPU. "Running" is what it ran, "runnable" is what others took from it (its
 * kernel calls that stolen), "blocked" is when it slept; together they are all the time there was.
 */
static void test_runstate_is_true(void **state)
{
	static const struct behaviour naps = {.sleeps = true, .run_ns = 100000, .nap_ns = 7 * MS};
	struct domain *d[4];

	(void)state;
	fake_start(1);
	fake_run = run;
	memset(due_of, 0, sizeof(due_of));
	for (unsigned i = 0; i < 4; i++)
		d[i] = guest((domid_t)(i + 1), i < 3 ? &busy : &naps);
	simulate(3 * SECONDS);
	for (unsigned i = 0; i < 4; i++) {
		struct vcpu *v = d[i]->vcpus[0];
		const uint64_t *ns = v->runstate_ns;

		sched_lock();
		runstate_change(v, v->runstate); /* up to now */
		sched_unlock();
		assert_int_equal(ns[RUNSTATE_running], v->ran_ns);
		assert_int_equal(ns[RUNSTATE_running] + ns[RUNSTATE_runnable] +
		                     ns[RUNSTATE_blocked] + ns[RUNSTATE_offline],
		                 machine_ns());
		assert_int_equal(ns[RUNSTATE_offline], 0);
		assert_true((ns[RUNSTATE_blocked] > SECONDS) == (i == 3));
		assert_true((ns[RUNSTATE_runnable] > 19 * SECONDS / 10) == (i < 3));
	}
	stop(d, 4);
}

/* A guest that wakes from a sleep gets a CPU within two slices, though all are taken. */
static void test_wakes_soon(void **state)
{
	static const struct behaviour naps = {.sleeps = true, .run_ns = 100000, .nap_ns = 7 * MS};
	struct domain *d[6];

	(void)state;
	fake_start(2);
	fake_run = run;
	memset(due_of, 0, sizeof(due_of));
	for (unsigned i = 0; i < 5; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	d[5] = guest(6, &naps);
	simulate(SECONDS); /* at the start all are equally new: first come, first served */
	late_ns = 0;
	simulate(5 * SECONDS);
	assert_true(d[5]->vcpus[0]->exits[EXIT_HLT] > 200);
	assert_true(late_ns <= 2 * SCHED_SLICE_NS);
	stop(d, 6);
}

/*
 * On one CPU that many keep busy, several that wake at the same time, or that are new, hardly wait
 * for it: each wants little, and those who have had more stand back at once.
 */
static void test_many_wake_soon(void **state)
{
	static const struct behaviour naps = {.sleeps = true, .run_ns = 300000, .nap_ns = 20 * MS};
	struct domain *d[10];

	(void)state;
	fake_start(1);
	fake_run = run;
	memset(due_of, 0, sizeof(due_of));
	for (unsigned i = 0; i < 7; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	for (unsigned i = 7; i < 9; i++)
		d[i] = guest((domid_t)(i + 1), &naps);
	simulate(SECONDS);
	late_ns = 0;
	simulate(3 * SECONDS);
	d[9] = guest(10, &busy); /* one that has never run */
	simulate(5 * SECONDS);
	for (unsigned i = 7; i < 9; i++)
		assert_true(d[i]->vcpus[0]->exits[EXIT_HLT] > 190);
	assert_true(late_ns <= SCHED_SLICE_NS);
	stop(d, 10);
}

/* A guest cannot have more by having itself pushed off its CPU shortly before its slice ends, nor
 * has one less that is pushed off again and again. */
static void test_pushed_off(void **state)
{
	static const struct behaviour naps = {.sleeps = true, .run_ns = 20000, .nap_ns = 8 * MS};
	struct domain *d[5];
	uint64_t mean = 0;

	(void)state;
	fake_start(1);
	fake_run = run;
	for (unsigned i = 0; i < 4; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	d[4] = guest(5, &naps);
	simulate(20 * SECONDS);
	for (unsigned i = 0; i < 4; i++)
		mean += d[i]->vcpus[0]->ran_ns / 4;
	assert_true(mean > 48 * SECONDS / 10);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(d[i]->vcpus[0]->ran_ns > mean - mean * 3 / 100);
		assert_true(d[i]->vcpus[0]->ran_ns < mean + mean * 3 / 100);
	}
	stop(d, 5);
}

/* Sleeping earns no credit: after a second's sleep a busy guest does not starve the others. */
static void test_no_credit(void **state)
{
	static const struct behaviour long_nap = {
	    .sleeps = true, .run_ns = 1000, .nap_ns = SECONDS};
	struct domain *d[2];
	uint64_t before[2];

	(void)state;
	fake_start(1);
	fake_run = run;
	d[0] = guest(1, &busy);
	d[1] = guest(2, &long_nap);
	simulate(3 * SECONDS);
	fake_of(&d[1]->vcpus[0]->hv)->data = (void *)(uintptr_t)&busy;
	before[0] = d[0]->vcpus[0]->ran_ns;
	simulate(6 * SECONDS);
	assert_true(d[0]->vcpus[0]->ran_ns - before[0] > SECONDS);
	stop(d, 2);
}

/* One that spins with PAUSE, or says so, lets the others go first: they get all but a little. */
static void lets_others_go(const struct behaviour *polite)
{
	struct domain *d[2];

	fake_start(1);
	fake_run = run;
	d[0] = guest(1, polite);
	d[1] = guest(2, &busy);
	simulate(SECONDS);
	assert_true(d[1]->vcpus[0]->ran_ns > SECONDS * 95 / 100);
	assert_true(d[0]->vcpus[0]->ran_ns > 0);
	stop(d, 2);
}

static void test_yield(void **state)
{
	static const struct behaviour spins = {.pauses = true}, yields = {.yields = true};

	(void)state;
	lets_others_go(&spins);
	lets_others_go(&yields);
}

/* With nothing to run a CPU sleeps; a vCPU that becomes runnable takes it. */
static void test_idle(void **state)
{
	struct domain *d[1];

	(void)state;
	fake_start(2);
	fake_run = run;
	simulate(100 * MS);
	d[0] = guest(1, &busy);
	simulate(200 * MS);
	assert_true(d[0]->vcpus[0]->ran_ns > 60 * MS);
	assert_true(sched_cpu_stats(0).idle_ns > 60 * MS);
	stop(d, 1);
}

static bool stopped_flag(const struct domain *d)
{
	const struct vcpu_time_info *t = (const void *)(d->vcpus[0]->info + VCPU_INFO_TIME);

	return t->flags & XEN_PVCLOCK_GUEST_STOPPED;
}

/* A paused domain does not run; unpaused, it goes on. */
static void test_pause(void **state)
{
	struct domain *d[1];
	uint64_t ran;

	(void)state;
	fake_start(1);
	fake_run = run;
	d[0] = guest(1, &busy);
	simulate(100 * MS);
	ran = d[0]->vcpus[0]->ran_ns;
	assert_true(ran > 0);
	domain_pause(d[0]);
	simulate(200 * MS);
	assert_int_equal(d[0]->vcpus[0]->ran_ns, ran);
	assert_false(stopped_flag(d[0]));
	domain_unpause(d[0]);
	simulate(300 * MS);
	assert_true(d[0]->vcpus[0]->ran_ns > ran);
	assert_true(stopped_flag(d[0])); /* or its watchdog would take the pause for a lockup */
	stop(d, 1);
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

/* With one CPU, the world is stopped at once. */
static void test_stopped(void **state)
{
	unsigned calls = 0;

	(void)state;
	fake_start(1);
	sched_stopped(count, &calls);
	assert_int_equal(calls, 1);
	fake_stop();
}

/* ---- the scanner's share ---- */

#define READ_NS UINT64_C(100000) /* to read a page */

static void reading_takes_time(enum env_point p)
{
	if (p == POINT_SCAN_READ)
		host_now_ns[machine_cpu()] += READ_NS;
}

/* A busy guest whose pages are others each time that it is interrupted. */
static void run_writing(struct vcpu *v, struct vmexit *x)
{
	static uint64_t word;

	run_busy(x);
	for (uint64_t i = 0; i < 12; i++) {
		word++;
		assert_int_equal(mm_write(&v->domain->space, i * PAGE_SIZE, &word, 8), MM_OK);
	}
}

/*
 * Guests want all CPUs, and always write: over any two seconds the scanner has as much as its share
 * of one CPU, nearly, and no more but for one piece of work. Nothing of it is idle time.
 */
static void test_scan_share(void **state)
{
	static const unsigned percent[] = {1, 5, 0, 1};
	struct domain *d[3];
	uint64_t end = 100 * MS, taken = 0;

	(void)state;
	fake_start(2);
	fake_run = run_writing;
	for (unsigned i = 0; i < 3; i++)
		d[i] = guest((domid_t)(i + 1), &busy);
	assert_int_equal(sched_scan_stats().share, PACE_WHOLE / 100); /* if nobody says */
	host_on_point = reading_takes_time;
	simulate(end);
	sched_set_scan(true);
	for (unsigned i = 0; i < ARRAY_SIZE(percent); i++) {
		struct sched_scan_stats t;
		uint64_t due;

		host_set_cpu(0);
		taken = sched_cpu_stats(0).scan_ns + sched_cpu_stats(1).scan_ns;
		sched_set_scan_share(percent[i] * (PACE_WHOLE / 100));
		end += 2 * SECONDS;
		simulate(end);
		host_set_cpu(0);
		t = sched_scan_stats();
		due = t.since_ns / 100 * percent[i];
		assert_true(t.since_ns >= 199 * SECONDS / 100);
		assert_in_range(t.busy_ns, due / 2, due + t.longest_ns);
		assert_int_equal(t.idle_ns, 0);
		assert_int_equal(sched_cpu_stats(0).scan_ns + sched_cpu_stats(1).scan_ns - taken,
		                 t.busy_ns);
	}
	host_on_point = NULL;
	sched_set_scan_share(PACE_WHOLE / 100);
	stop(d, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fair),       cmocka_unit_test(test_wakes_soon),
	    cmocka_unit_test(test_no_credit),  cmocka_unit_test(test_yield),
	    cmocka_unit_test(test_idle),       cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_stopped),    cmocka_unit_test(test_many_wake_soon),
	    cmocka_unit_test(test_pushed_off), cmocka_unit_test(test_scan_share),
	    cmocka_unit_test(test_first_cpu),  cmocka_unit_test(test_runstate_is_true),
	};

	return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
