/* SPDX-License-Identifier: MIT */
/*
 * The reclaim policy (mm/policy/reclaim.c) against the paper. The oracle does in floating point
 * what section 5.2 says, literally: everybody has what it wants, and page by page one is taken
 * from the domain with the fewest shares per (taxed) page, until what is left fits. Then guests
 * that follow at once, slowly, or not at all, for twenty rounds and more.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/leaf/bits.h"
#include "mm/policy/reclaim.h"

#define MOST    8u
#define FRAMES  UINT64_C(100000)
#define ROUNDS  20u
#define SETTLED 5u

static struct reclaim_knobs knobs;
static struct reclaim r;

static int fresh(void **state)
{
	(void)state;
	knobs = reclaim_defaults;
	memset(&r, 0, sizeof(r));
	srand(1);
	return 0;
}

/* ---- the oracle ---- */

static double rho(const struct reclaim_domain *d, double pages, unsigned tau)
{
	double k = 1 / (1 - tau / 100.0), f = pages > d->active ? d->active / pages : 1;

	return d->shares / (pages * (f + k * (1 - f)));
}

/* Leaves its result in `left`. */
static void revoke(const struct reclaim_domain *d, unsigned n, double pool, double *left)
{
	double sum = 0;

	for (unsigned i = 0; i < n; i++) {
		left[i] = d[i].skipped ? 0 : (double)d[i].want;
		sum += left[i];
	}
	while (sum > pool) {
		unsigned victim = n;

		for (unsigned i = 0; i < n; i++)
			if (!d[i].skipped && left[i] > d[i].min &&
			    (victim == n || rho(&d[i], left[i], knobs.tau) <
			                        rho(&d[victim], left[victim], knobs.tau)))
				victim = i;
		if (victim == n)
			return;
		left[victim]--;
		sum--;
	}
}

static double pool_for(const struct reclaim_domain *d, unsigned n, uint64_t free)
{
	double pool = (double)free - (double)reclaim_goal(&knobs, FRAMES);

	for (unsigned i = 0; i < n; i++)
		pool += d[i].skipped ? 0 : (double)d[i].charged;
	return pool;
}

static bool within(double a, double b, double part)
{
	double off = a > b ? a - b : b - a;

	return off <= b * part + 2; /* pages are whole, and so is the oracle's last one */
}

static uint64_t any(uint64_t least, uint64_t most)
{
	return least + (uint64_t)rand() % (most - least + 1);
}

static struct reclaim_domain anybody(void)
{
	uint64_t want = any(300, 4000), charged = any(want / 3, want);

	return (struct reclaim_domain){.min = any(0, charged / 2),
	                               .want = want,
	                               .charged = charged,
	                               .active = any(0, charged),
	                               .shares = (uint32_t)any(1, 3000),
	                               .limited = true,
	                               .skipped = any(0, 9) == 0};
}

/* Any machine: each target is the paper's, within 1 %. */
static void targets_are_the_papers(void **state)
{
	const unsigned taus[] = {0, 25, 50, 75, 90, 99};
	double left[MOST], worst = 0;

	(void)state;
	for (unsigned trial = 0; trial < 400; trial++) {
		unsigned n = (unsigned)any(1, MOST);
		struct reclaim_domain d[MOST];
		struct reclaim_machine m = {FRAMES, any(0, reclaim_goal(&knobs, FRAMES) + 3000)};

		knobs.tau = taus[trial % 6];
		for (unsigned i = 0; i < n; i++)
			d[i] = anybody();
		assert_true(reclaim_round(&r, &knobs, &m, d, n));
		revoke(d, n, pool_for(d, n, m.free), left);
		for (unsigned i = 0; i < n; i++) {
			if (d[i].skipped) {
				assert_int_equal(d[i].target, d[i].charged);
				continue;
			}
			if (!within((double)d[i].target, left[i], 0.01))
				print_error("trial %u, domain %u: target %lu, the paper's %.0f\n",
				            trial, i, d[i].target, left[i]);
			assert_true(within((double)d[i].target, left[i], 0.01));
			if (left[i] >= 100 && (double)d[i].target / left[i] - 1 > worst)
				worst = (double)d[i].target / left[i] - 1;
			assert_true(d[i].target >= d[i].min && d[i].target <= d[i].want);
		}
	}
	print_message("# the worst target of 100 pages or more is %.3f %% above the paper's\n",
	              worst * 100);
}

static struct reclaim_domain guest(uint64_t pages, uint64_t active, uint32_t shares)
{
	return (struct reclaim_domain){
	    .min = pages / 4, .want = pages, .charged = pages, .active = active, .shares = shares};
}

static const struct reclaim_machine nothing_free = {FRAMES, 0};

/* Without the tax, shares alone count; with it, an idle page costs k = 1 / (1 - tau) pages. */
static void the_tax(void **state)
{
	struct reclaim_domain d[2];
	uint64_t goal = reclaim_goal(&knobs, FRAMES);

	(void)state;
	for (unsigned tau = 0; tau <= 75; tau += 75) {
		d[0] = guest(40000, 40000, 1000); /* busy */
		d[1] = guest(40000, 0, 1000);     /* idle, otherwise equal */
		d[0].min = d[1].min = 0;
		knobs.tau = tau;
		assert_true(reclaim_round(&r, &knobs, &nothing_free, d, 2));
		assert_in_range(d[0].target + d[1].target, 80000 - goal - 2, 80000 - goal);
		if (tau == 0) {
			assert_in_range(d[0].target, d[1].target - 1, d[1].target + 1);
		} else { /* S / P = S / (4 * P'), but the busy one is bounded by what it wants */
			assert_int_equal(d[0].target, 40000);
			assert_in_range(d[1].target, 40000 - goal - 2, 40000 - goal);
		}
	}
	d[0] = guest(80000, 80000, 1000);
	d[1] = guest(80000, 0, 1000);
	d[0].min = d[1].min = 0;
	d[0].charged = d[1].charged = 40000;
	d[0].active = 40000;
	d[0].limited = true;
	assert_true(reclaim_round(&r, &knobs, &nothing_free, d, 2));
	/* One rho for both: 40000 + 4 * 11500 = 4 * 21500 pages as the tax counts. */
	assert_in_range(d[0].target, 51498, 51500);
	assert_in_range(d[1].target, 21498, 21500);
}

/* ---- states ---- */

static enum reclaim_state after(enum reclaim_state before, unsigned tenths)
{
	struct reclaim_machine m = {FRAMES, FRAMES * tenths / 1000};

	return reclaim_state_after(before, &knobs, &m);
}

/* Down at a level, up only above the next one and a quarter of the step. */
static void states_have_hysteresis(void **state)
{
	(void)state;
	assert_int_equal(after(RECLAIM_HIGH, 40), RECLAIM_HIGH);
	assert_int_equal(after(RECLAIM_HIGH, 39), RECLAIM_SOFT);
	assert_int_equal(after(RECLAIM_HIGH, 19), RECLAIM_HARD);
	assert_int_equal(after(RECLAIM_HIGH, 9), RECLAIM_LOW);
	assert_int_equal(after(RECLAIM_SOFT, 20), RECLAIM_SOFT);
	assert_int_equal(after(RECLAIM_SOFT, 65), RECLAIM_SOFT);
	assert_int_equal(after(RECLAIM_SOFT, 66), RECLAIM_HIGH);
	assert_int_equal(after(RECLAIM_HARD, 45), RECLAIM_HARD);
	assert_int_equal(after(RECLAIM_HARD, 46), RECLAIM_SOFT);
	assert_int_equal(after(RECLAIM_LOW, 22), RECLAIM_LOW);
	assert_int_equal(after(RECLAIM_LOW, 23), RECLAIM_HARD);
	assert_int_equal(after(RECLAIM_LOW, 500), RECLAIM_HIGH);
	/* What is driven at is a state of plenty. */
	assert_int_equal(after(RECLAIM_LOW, 70), RECLAIM_HIGH);
	assert_int_equal(reclaim_goal(&knobs, FRAMES), FRAMES * 7 / 100);
	for (unsigned s = 0; s < RECLAIM_STATES; s++)
		assert_true(strlen(reclaim_state_name((enum reclaim_state)s)) >= 3);
}

/* Enough is free, and nobody was ever asked: nothing is done. */
static void quiet_when_high(void **state)
{
	struct reclaim_domain d[2] = {guest(1000, 10, 1), guest(2000, 0, 1)};
	struct reclaim_machine m = {FRAMES, FRAMES / 25};

	(void)state;
	assert_false(reclaim_round(&r, &knobs, &m, d, 2));
	assert_int_equal(r.state, RECLAIM_HIGH);
	assert_int_equal(d[0].target, 1000);
	assert_int_equal(d[1].next, 2000);
	m.free--;
	assert_true(reclaim_round(&r, &knobs, &m, d, 2));
	assert_int_equal(r.state, RECLAIM_SOFT);
	assert_true(d[1].target < 2000);
}

/* ---- guests that follow, in their fashion ---- */

struct world {
	struct reclaim_domain d[MOST];
	uint64_t working[MOST]; /* what each really uses */
	unsigned part[MOST];    /* of the way it goes in a round, per cent */
	unsigned n;
	uint64_t free, least_free;
	double formula[MOST];
};

/* The sampler's part: what is used of what it has. */
static void estimate(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct reclaim_domain *d = &w->d[i];

		d->active = min_u64(w->working[i], d->charged);
		d->limited = d->charged < d->want;
	}
}

static void follow(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct reclaim_domain *d = &w->d[i];
		int64_t way = ((int64_t)d->next - (int64_t)d->charged) * w->part[i] / 100;

		way = way < (int64_t)w->free ? way : (int64_t)w->free;
		d->charged = (uint64_t)((int64_t)d->charged + way);
		w->free = (uint64_t)((int64_t)w->free - way);
		w->least_free = min_u64(w->least_free, w->free);
	}
}

static void one_round(struct world *w)
{
	struct reclaim_machine m = {FRAMES, w->free};

	estimate(w);
	(void)reclaim_round(&r, &knobs, &m, w->d, w->n);
	follow(w);
}

/* What the paper's page-by-page revocation would end at, from here. */
static void set_formula(struct world *w)
{
	estimate(w);
	for (unsigned i = 0; i < w->n; i++)
		w->d[i].active = w->working[i]; /* each may use as much once it has it */
	revoke(w->d, w->n, pool_for(w->d, w->n, w->free), w->formula);
}

/* After five rounds all are there, and for twenty more nobody moves by more than 2 %. */
static void settles(struct world *w)
{
	double least[MOST], most[MOST];

	set_formula(w);
	for (unsigned round = 0; round < SETTLED; round++)
		one_round(w);
	for (unsigned i = 0; i < w->n; i++)
		least[i] = most[i] = (double)w->d[i].charged;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < w->n; i++) {
			if (w->d[i].skipped)
				continue;
			if (!within((double)w->d[i].charged, w->formula[i], 0.02))
				print_error("round %u, domain %u: has %lu, the paper's %.0f\n",
				            round + SETTLED, i, w->d[i].charged, w->formula[i]);
			assert_true(within((double)w->d[i].charged, w->formula[i], 0.02));
			least[i] = least[i] < w->d[i].charged ? least[i] : (double)w->d[i].charged;
			most[i] = most[i] > w->d[i].charged ? most[i] : (double)w->d[i].charged;
		}
		one_round(w);
	}
	for (unsigned i = 0; i < w->n; i++)
		assert_true(most[i] - least[i] <= most[i] * 0.02 + 2);
}

static void add(struct world *w, uint64_t pages, uint64_t working, uint32_t shares, unsigned part)
{
	w->d[w->n] = guest(pages, 0, shares);
	w->working[w->n] = working;
	w->part[w->n++] = part;
}

static void used_up(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->least_free = FRAMES;
}

/* All memory is used up; five guests of all kinds give what they owe. */
static void settles_in_five_rounds(void **state)
{
	struct world w;

	(void)state;
	used_up(&w);
	add(&w, 20000, 19000, 1000, 100);
	add(&w, 20000, 500, 1000, 100);
	add(&w, 30000, 15000, 500, 100);
	add(&w, 20000, 2000, 4000, 100);
	add(&w, 10000, 10000, 100, 100);
	settles(&w);
	assert_int_equal(r.state, RECLAIM_HIGH);
	assert_true(w.free >= reclaim_goal(&knobs, FRAMES) * 98 / 100);
}

/* Then who was idle begins to work, and who worked rests: memory moves, and settles again. */
static void settles_after_a_change(void **state)
{
	struct world w;

	(void)state;
	used_up(&w);
	add(&w, 45000, 44000, 1000, 100);
	add(&w, 45000, 2000, 1000, 100);
	add(&w, 10000, 5000, 1000, 100);
	settles(&w);
	assert_true(w.d[0].charged > w.d[1].charged);
	w.working[0] = 2000;
	w.working[1] = 44000;
	w.least_free = w.free;
	settles(&w);
	assert_true(w.d[1].charged > w.d[0].charged);
	/* What the one got was not taken from what is kept free for all. */
	assert_true(w.least_free >= FRAMES * 4 / 100);
}

/* A target does not depend on how far guests got, so slow ones swing nothing: they get there. */
static void slow_ones_swing_nothing(void **state)
{
	struct world w;
	uint64_t first[MOST];

	(void)state;
	used_up(&w);
	add(&w, 40000, 35000, 1000, 100);
	add(&w, 40000, 4000, 1000, 35);
	add(&w, 20000, 9000, 1000, 10);
	set_formula(&w);
	for (unsigned round = 0; round < 60; round++) {
		one_round(&w);
		for (unsigned i = 0; i < w.n; i++) {
			if (!round)
				first[i] = w.d[i].target;
			assert_true(within((double)w.d[i].target, (double)first[i], 0.02));
			assert_true(within((double)w.d[i].target, w.formula[i], 0.02));
		}
	}
	for (unsigned i = 0; i < w.n; i++)
		assert_true(within((double)w.d[i].charged, w.formula[i], 0.02));
}

/* One never moves. Once it is skipped the others give what it does not, and nobody swings. */
static void one_that_does_not_follow(void **state)
{
	struct world w;

	(void)state;
	used_up(&w);
	add(&w, 40000, 30000, 1000, 100);
	add(&w, 40000, 4000, 1000, 0);
	add(&w, 20000, 9000, 1000, 100);
	for (unsigned round = 0; round < 5; round++)
		one_round(&w);
	assert_int_equal(w.d[1].charged, 40000);
	assert_true(w.free < reclaim_goal(&knobs, FRAMES));
	w.d[1].skipped = true;
	settles(&w);
	assert_int_equal(w.d[1].charged, 40000);
	assert_true(w.free >= reclaim_goal(&knobs, FRAMES) * 98 / 100);
	w.d[1].skipped = false;
	w.part[1] = 100;
	settles(&w);
	assert_true(w.d[1].charged < 40000 && w.d[0].charged == 40000);
}

/* What comes back when others have gone goes to those that were limited, up to what they want. */
static void memory_comes_back(void **state)
{
	struct world w;

	(void)state;
	used_up(&w);
	add(&w, 40000, 30000, 1000, 100);
	add(&w, 40000, 10000, 1000, 100);
	add(&w, 20000, 9000, 1000, 100);
	settles(&w);
	w.n--;
	w.free += w.d[2].charged;
	settles(&w);
	assert_int_equal(w.d[0].charged, 40000);
	assert_int_equal(w.d[1].charged, 40000);
	one_round(&w);
	assert_false(reclaim_round(&r, &knobs, &(struct reclaim_machine){FRAMES, w.free}, w.d, 2));
}

/* A round goes a quarter of the way at the most, and gives back no more than is there to give. */
static void steps_are_bounded(void **state)
{
	struct reclaim_domain d[3];
	struct reclaim_machine m = {FRAMES, FRAMES * 6 / 100};
	uint64_t grown = 0;

	(void)state;
	d[0] = guest(40000, 0, 1); /* to its min */
	d[1] = d[2] = guest(60000, 60000, 1000);
	d[1].charged = d[2].charged = 20000;
	d[1].limited = d[2].limited = true;
	assert_true(reclaim_round(&r, &knobs, &m, d, 3));
	assert_int_equal(d[0].target, 10000);
	assert_int_equal(d[0].next, 40000 - 40000 / 4 - 1);
	for (unsigned i = 1; i < 3; i++) {
		assert_true(d[i].next > d[i].charged);
		grown += d[i].next - d[i].charged;
	}
	assert_in_range(grown, FRAMES * 2 / 100 - 4, FRAMES * 2 / 100);
}

/* ---- compression ---- */

static void what_is_to_be_compressed(void **state)
{
	struct reclaim_domain d[2] = {guest(40000, 1000, 1000), guest(40000, 1000, 1000)};
	struct reclaim_machine m = {FRAMES, FRAMES * 3 / 100};
	struct reclaim_machine high = {FRAMES, FRAMES / 2};

	(void)state;
	assert_true(reclaim_round(&r, &knobs, &m, d, 2)); /* SOFT: the balloons do */
	assert_int_equal(d[0].compress + d[1].compress, 0);
	d[1].skipped = true;
	assert_true(reclaim_round(&r, &knobs, &m, d, 2)); /* but not where there is none */
	assert_int_equal(d[0].compress, 0);
	assert_in_range(d[1].compress, 1900, 2000); /* its half of the 4 % that are missing */
	m.free = FRAMES / 100;
	d[1].skipped = false;
	assert_true(reclaim_round(&r, &knobs, &m, d, 2));
	assert_int_equal(r.state, RECLAIM_HARD);
	assert_in_range(d[0].compress, 2900, 3000);
	assert_in_range(d[1].compress, 2900, 3000);
	assert_false(reclaim_round(&r, &knobs, &high, d, 2));
	assert_int_equal(d[0].compress, 0);
}

/* ---- the ends of the ranges ---- */

static void extremes(void **state)
{
	struct reclaim_domain d[MOST];
	struct reclaim_machine m = {0, 0};

	(void)state;
	(void)reclaim_round(&r, &knobs, &m, d, 0);
	m = nothing_free;
	assert_true(reclaim_round(&r, &knobs, &m, d, 0));
	d[0] = guest(0, 0, 1);
	assert_true(reclaim_round(&r, &knobs, &m, d, 1));
	assert_int_equal(d[0].target, 0);
	/* Everybody's min is more than there is: everybody keeps it. */
	d[0] = d[1] = guest(100, 0, 1);
	d[0].min = d[1].min = 100;
	assert_true(reclaim_round(&r, &knobs, &m, d, 2));
	assert_int_equal(d[0].target + d[1].target, 200);
	/* As much as can be, with the most and the fewest shares. */
	knobs.tau = 99;
	m.frames = RECLAIM_PAGES_MOST;
	for (unsigned i = 0; i < 2; i++) {
		d[i] = guest(RECLAIM_PAGES_MOST - 1, i ? 0 : RECLAIM_PAGES_MOST / 2,
		             i ? RECLAIM_SHARES_MOST : 1);
		d[i].min = 0;
	}
	assert_true(reclaim_round(&r, &knobs, &m, d, 2));
	assert_true(d[0].target + d[1].target <=
	            2 * RECLAIM_PAGES_MOST - reclaim_goal(&knobs, m.frames));
	assert_true(d[1].target == RECLAIM_PAGES_MOST - 1 && d[0].target > RECLAIM_PAGES_MOST / 2);
}

static void knobs_that_make_no_sense(void **state)
{
	(void)state;
	assert_null(reclaim_knobs_trouble(&knobs));
	knobs.tau = 100;
	assert_non_null(strstr(reclaim_knobs_trouble(&knobs), "tau is 0 to 99"));
	knobs = reclaim_defaults;
	knobs.level[RECLAIM_HARD] = knobs.level[RECLAIM_SOFT];
	assert_non_null(strstr(reclaim_knobs_trouble(&knobs), "6,4,2,1"));
	knobs = reclaim_defaults;
	knobs.level[RECLAIM_LOW] = 0;
	assert_non_null(strstr(reclaim_knobs_trouble(&knobs), "at the least"));
	knobs = reclaim_defaults;
	knobs.level[RECLAIM_HIGH] = 51;
	assert_non_null(strstr(reclaim_knobs_trouble(&knobs), "50"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(targets_are_the_papers, fresh),
	    cmocka_unit_test_setup(the_tax, fresh),
	    cmocka_unit_test_setup(states_have_hysteresis, fresh),
	    cmocka_unit_test_setup(quiet_when_high, fresh),
	    cmocka_unit_test_setup(settles_in_five_rounds, fresh),
	    cmocka_unit_test_setup(settles_after_a_change, fresh),
	    cmocka_unit_test_setup(slow_ones_swing_nothing, fresh),
	    cmocka_unit_test_setup(one_that_does_not_follow, fresh),
	    cmocka_unit_test_setup(memory_comes_back, fresh),
	    cmocka_unit_test_setup(steps_are_bounded, fresh),
	    cmocka_unit_test_setup(what_is_to_be_compressed, fresh),
	    cmocka_unit_test_setup(extremes, fresh),
	    cmocka_unit_test_setup(knobs_that_make_no_sense, fresh),
	};

	return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}
