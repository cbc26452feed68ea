/* SPDX-License-Identifier: MIT */
/*
 * The model test. Random operations on several spaces of two share groups, on
 * three CPUs, against an oracle that is a flat array of bytes a space. Guests
 * reach memory through modelled TLBs only; the scanner merges meanwhile, with guests
 * striking between its steps; allocations fail now and then. After every step the audit passes
 * (after every eighth, where the step was compared with one that was audited), each read
 * is what was last written (invariant 9), and at the end no frame is missing.
 *
 * One seed is one stream of operations, made in several worlds:
 *
 *	lock-step	on every format of page tables with dirty flags, one after the other,
 *			then on those without, where pages are write-protected, and then with
 *			a modification log: each answer, each counter, each mapping of a step
 *			must be that of the first format (log.c)
 *	roomy		a world in which memory does not end and nobody strikes: then all
 *			dirty sources answer alike, although they are scanned differently,
 *			and in the end as many pages are saved
 *	weak hash	all contents of a group have one fingerprint: slow, and still right
 *
 * By another source the scanner merges at another time, and so runs out of
 * memory at other moments: only in a roomy world can the answers be compared.
 *
 * Four seeds are fixed, one is new in each run and printed: `model SEED` repeats it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "mm/scan.h"
#include "tests/host/oracle.h"
#include "tests/model/model.h"

#define FRAMES       1700u /* less than all spaces could ask for */
#define FRAMES_ROOMY 7400u /* more */
#define STEPS        600u
#define STEPS_WEAK   100u /* where every page is compared with eight others */

struct run run;
struct worth worth;

static const struct pte_format *const with_dirty[] = {&toy_format, &ept_format, &npt_format};
static const struct pte_format *const without_dirty[] = {&toy_format_no_dirty, &ept_format_no_ad};
static const struct pte_format *const one_of_each[] = {&npt_format, &ept_format_no_ad};

void model_failed(const char *what)
{
	fail_msg("seed %llu, %s%s%s%s%s, step %llu (%s): %s; `model %llu` repeats it",
	         (unsigned long long)run.world.seed, run.world.format->name,
	         run.world.roomy ? ", roomy"
	         : run.world.log ? ", log"
	                         : "",
	         run.world.hash_mask == ~0u ? "" : ", weak hash",
	         run.world.policy ? ", policy " : "", run.world.policy ? run.world.policy : "",
	         (unsigned long long)run.step, run.doing, what, (unsigned long long)run.world.seed);
	abort();
}

static void audit(void)
{
	static uint64_t saved_before;
	struct audit_report r = mm_audit();

	if (r.failures)
		model_failed(r.first);
	worth.audits++;
	worth.saved_changed += r.saved != saved_before;
	saved_before = r.saved;
}

/* Small, so that something happens. */
static void set_knob(const char *name, uint64_t value)
{
	const struct scan_knob *k = scan_find_knob(scan_policy(), name);

	MUST(k && scan_set_knob(k, value));
}

static void add_worth(void)
{
	struct mm_stats st = mm_stats();

	worth.merges += st.merges;
	worth.given_up += st.merges_given_up;
	worth.breaks += st.breaks;
	worth.take_overs += st.take_overs;
	worth.passed += st.pages_passed;
}

/* Run one world to its end; returns how many pages are saved then, nobody writing any more. */
static uint64_t run_world(const struct world *w, enum log_role role)
{
	uint64_t free_at_start, saved, steps = w->hash_mask == ~0u ? STEPS : STEPS_WEAK;

	run = (struct run){.world = *w, .random = w->seed, .doing = "start"};
	host_seed(w->seed);
	host_start(&(struct host_config){.frames = w->roomy ? FRAMES_ROOMY : FRAMES,
	                                 .cpus = CPUS,
	                                 .reserve = 20,
	                                 .format = w->format,
	                                 .log = w->log});
	hash_weaken(w->hash_mask);
	mm_set_large_nx(w->seed % 2);
	if (w->policy)
		MUST(scan_set_policy(w->policy));
	set_knob("large.gain", 1 + w->seed % 3);
	set_knob("large.patience", 1 + w->seed % 2);
	set_knob("large.rest", 1 + w->seed % 4);
	log_start(role);
	free_at_start = host_free_frames();
	twins_start();
	host_on_point = w->roomy ? NULL : twins_strike;
	host_on_kick = w->roomy ? guest_kicked : twins_kick;
	for (; run.step < steps; run.step++) {
		twin_step();
		if (run.step % 8 == 0)
			guest_empty_logs(); /* for the audit no vCPU runs, so no log is full */
		if (run.step % 8 == 0 || (role != LOG_COMPARE && !w->log))
			audit();
		log_step();
	}
	host_on_point = NULL;
	host_on_kick = guest_kicked;
	add_worth();
	guest_empty_logs();
	scan_settle();
	audit();
	saved = mm_stats().pages_saved;
	if (w->roomy)
		MUST(saved == oracle_saved());
	twins_finish();
	MUST(host_free_frames() == free_at_start);
	hash_weaken(~0u);
	host_stop();
	return saved;
}

/* The same world on each of these formats. */
static void lock_step(struct world w, const struct pte_format *const *formats, unsigned n)
{
	uint64_t saved = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t now;

		w.format = formats[i];
		now = run_world(&w, i ? LOG_COMPARE : LOG_KEEP);
		MUST(!i || now == saved);
		saved = now;
	}
}

/*
 * Every other policy of the scanner, in a world that is short of memory or in a roomy one: a policy cannot
 * make anything wrong, and what it leaves out the settling at the end finds.
 */
static void each_policy(struct world w)
{
	for (unsigned i = 1; scan_policies[i]; i++) {
		w.policy = scan_policies[i]->name;
		w.roomy = (w.seed / 2 + i) % 2;
		lock_step(w, one_of_each + (w.seed + i) % 2, 1);
	}
}

static void run_seed(uint64_t seed)
{
	struct world w = {.seed = seed, .hash_mask = ~0u};

	lock_step(w, with_dirty, ARRAY_SIZE(with_dirty));
	lock_step(w, without_dirty, ARRAY_SIZE(without_dirty));
	w.log = true;
	lock_step(w, with_dirty, ARRAY_SIZE(with_dirty));
	w.log = false;
	w.roomy = true;
	lock_step(w, one_of_each, ARRAY_SIZE(one_of_each));
	w.roomy = false;
	each_policy(w);
	w.hash_mask = 0;
	lock_step(w, one_of_each + seed % 2, 1);
}

static void print_worth(void)
{
	printf("# %llu merges, %llu given up, %llu breaks, %llu taken over, %llu waits, "
	       "%llu strikes, %llu of pages remembered elsewhere, %llu large by zero, %llu joined, "
	       "%llu moved, %llu split, "
	       "%llu passed over, %llu frames by compression, %llu expanded; by the scanner: %llu "
	       "split for sharing, %llu as they were written, %llu made whole, %llu merged "
	       "whole\n",
	       (unsigned long long)worth.merges, (unsigned long long)worth.given_up,
	       (unsigned long long)worth.breaks, (unsigned long long)worth.take_overs,
	       (unsigned long long)worth.waits, (unsigned long long)worth.strikes,
	       (unsigned long long)worth.of_two, (unsigned long long)worth.larges,
	       (unsigned long long)worth.joined, (unsigned long long)worth.moved,
	       (unsigned long long)worth.splits, (unsigned long long)worth.passed,
	       (unsigned long long)worth.compressed, (unsigned long long)worth.expansions,
	       (unsigned long long)worth.worth_it, (unsigned long long)worth.busy,
	       (unsigned long long)(worth.whole - worth.joined - worth.moved),
	       (unsigned long long)worth.alike);
	printf("# invariant 10 held at %llu audits; at %llu of them another number of pages was "
	       "saved than "
	       "at the one before\n",
	       (unsigned long long)worth.audits, (unsigned long long)worth.saved_changed);
}

static void fixed_seeds(void **state)
{
	(void)state;
	memset(&worth, 0, sizeof(worth));
	for (uint64_t seed = 1; seed <= 4; seed++)
		run_seed(seed);
	print_worth();
	/* The runs were worth something: all of this did happen, many times. */
	assert_true(worth.merges > 1000 && worth.given_up > 100 && worth.breaks > 1000);
	assert_true(worth.take_overs > 100 && worth.waits > 20 && worth.strikes > 1000);
	assert_true(worth.larges > 10 && worth.joined > 10 && worth.moved > 10);
	assert_true(worth.splits > 10 && worth.passed > 1000);
	assert_true(worth.compressed > 1000 && worth.expansions > 1000);
	assert_true(worth.worth_it > 10 && worth.busy > 10);
	assert_true(worth.whole > worth.joined + worth.moved + 10);
	assert_true(worth.audits >= 10000 && worth.saved_changed >= 3000);
	assert_true(worth.alike > 10 && worth.of_two > 100);
}

static uint64_t fresh;

static void fresh_seed(void **state)
{
	(void)state;
	printf("# seed %llu\n", (unsigned long long)fresh);
	fflush(stdout); /* known even if the program does not survive it */
	run_seed(fresh);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fixed_seeds),
	    cmocka_unit_test(fresh_seed),
	};
	const struct CMUnitTest one[] = {cmocka_unit_test(fresh_seed)};

	fresh = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	if (argc > 1)
		return cmocka_run_group_tests_name("model", one, NULL, NULL);
	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
