/* SPDX-License-Identifier: MIT */
/*
 * Reclaim as VMware's ESX taught it: C. Waldspurger, "Memory Resource Management in VMware ESX
 * Server", OSDI 2002. Sections 5.1 and 5.2 have the formula, section 6 the states.
 *
 * The formula. A domain with S shares and P pages, of which the fraction f is active, has
 *
 *	rho = S / (P * (f + k * (1 - f)))		k = 1 / (1 - tau)
 *
 * shares a page, where an idle page counts as k pages: that is the tax. Min-funding revocation
 * takes a page away from the domain with the least rho, again and again, until enough is free; no
 * domain is taken below its min. tau = 0 makes k = 1: idle or not, memory goes by shares alone.
 * With tau near 1 nobody keeps an idle page that somebody else could use.
 *
 * The targets. While pages are taken away one by one the active ones stay, as it is the others that
 * a guest gives up: A = f * P is what we are told. So with
 *
 *	w(P) = P * (f + k * (1 - f)) = P			P <= A, all of it is active
 *				       A + k * (P - A)		P > A
 *
 * rho = S / w(P), and it grows as P shrinks. Revocation ends where all whom it has touched have one
 * rho, 1 / L. Hence, without taking page by page: the target of domain i is
 *
 *	T_i(L) = S_i * L				if S_i * L <= A_i
 *		 A_i + (1 - tau) * (S_i * L - A_i)	else
 *		 and not less than min_i, nor more than want_i
 *
 * with the greatest L for which the sum of T_i(L) is at most the pool. T_i grows with L, so L is
 * found by halving. It has LEVEL_BITS bits behind the point; a target is right to a page or two.
 *
 * The pool is what those who follow hold now, and what is free beyond the goal (or less, if
 * the goal is not reached):
 *
 *	pool = sum of charged_i + free - goal
 *
 * When a guest follows, charged falls and free grows by the same; so the pool does not
 * change while guests are on their way, nor do the targets, however slow some of them are. That is
 * why nothing swings: there is no feedback from how far they got. What does feed back is bounded:
 * `next` is never further from charged than a quarter of what a domain wants (STEP), so a
 * wrong estimate of A costs one step. And what is given back in a round is at most what is free
 * above the soft level, so that giving does not bring the shortage that it answers.
 *
 * The states, from the free part of the machine (defaults 6, 4, 2, 1 %):
 *
 *	        free < soft          free < hard          free < low
 *	 HIGH ---------------> SOFT ---------------> HARD ---------------> LOW
 *	      <---------------      <---------------      <---------------
 *	        free > high          free > soft          free > hard, each by a quarter
 *	                                                  of the step between the levels
 *
 * A worse state is entered at its own level, and left only above the level of the next better
 * one: between them the state is what it was. The goal lies half a step above the high level, beyond
 * where HIGH is entered again. In HIGH nobody is asked for anything for the machine's sake; but
 * as long as a domain is limited, the pool is divided anew in each round, so that idle memory goes
 * on to move to who uses it, and comes back to its owner when there is enough.
 *
 * Who is skipped (it cannot be asked, or does not follow) has what it has, and the others
 * share the rest. What the balloon does not bring is to be compressed: in SOFT that of domains
 * that are skipped, in HARD and LOW that of all above their targets. This file says how
 * many pages of whom; kernel/reclaim.c has it done.
 */
#include "mm/policy/reclaim.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

#define LEVEL_BITS 32u /* of L, behind the point */
#define LEVEL_MOST 80u /* L < 2^48 pages a share: a want of 2^40 times k <= 100, for one share */
#define IDLE_MOST  (UINT64_C(1) << 57) /* beyond any want, at any tau, and 100 times it fits */
#define PART_BITS  20u
#define STEPS      4u   /* the way from anywhere to anywhere takes so many rounds */
#define STEP_LEAST 64u  /* pages: small ones do not crawl */
#define CLOSE      128u /* one part in so many of a target is no difference */

typedef unsigned __int128 u128;

ASSERT_STATIC(RECLAIM_PAGES_MOST <= UINT64_C(1) << (63 - PART_BITS));
ASSERT_STATIC(RECLAIM_PAGES_MOST * 100 < UINT64_C(1) << (LEVEL_MOST - LEVEL_BITS));
ASSERT_STATIC(IDLE_MOST / 100 > RECLAIM_PAGES_MOST);

const struct reclaim_knobs reclaim_defaults = {
    .tau = 75, .level = {6, 4, 2, 1}
};

const char *reclaim_state_name(enum reclaim_state state)
{
	static const char *const name[RECLAIM_STATES] = {"high", "soft", "hard", "low"};

	ASSERT(state < RECLAIM_STATES);
	return name[state];
}

const char *reclaim_knobs_trouble(const struct reclaim_knobs *k)
{
	if (k->tau > RECLAIM_TAU_MOST)
		return "tau is 0 to 99 (per cent)";
	if (k->level[RECLAIM_HIGH] > RECLAIM_LEVEL_MOST)
		return "the high level is 50 (per cent) at the most";
	for (unsigned s = RECLAIM_HIGH; s < RECLAIM_LOW; s++)
		if (k->level[s] <= k->level[s + 1])
			return "the levels fall from high over soft and hard to low, as 6,4,2,1";
	return k->level[RECLAIM_LOW] ? NULL : "the low level is 1 (per cent) at the least";
}

/* ---- the states ---- */

static uint64_t level_pages(const struct reclaim_knobs *k, uint64_t frames, unsigned state)
{
	return frames * k->level[state] / 100;
}

/* The part of the step from state to the next worse one. */
static uint64_t level_margin(const struct reclaim_knobs *k, uint64_t frames, unsigned state,
                             unsigned part)
{
	return frames * (k->level[state] - k->level[state + 1]) / 100 / part;
}

uint64_t reclaim_goal(const struct reclaim_knobs *k, uint64_t frames)
{
	return level_pages(k, frames, RECLAIM_HIGH) + level_margin(k, frames, RECLAIM_HIGH, 2);
}

enum reclaim_state reclaim_state_after(enum reclaim_state before, const struct reclaim_knobs *k,
                                       const struct reclaim_machine *m)
{
	enum reclaim_state s = before;

	ASSERT(before < RECLAIM_STATES);
	while (s < RECLAIM_LOW && m->free < level_pages(k, m->frames, s + 1))
		s++;
	if (s != before)
		return s;
	while (s > RECLAIM_HIGH &&
	       m->free > level_pages(k, m->frames, s - 1) + level_margin(k, m->frames, s - 1, 4))
		s--;
	return s;
}

/* ---- the formula ---- */

/* T_i(L); L has LEVEL_BITS bits behind the point. */
static uint64_t target_at(const struct reclaim_domain *d, u128 level, unsigned tau)
{
	uint64_t active = min_u64(d->active, d->want);
	u128 w = level * d->shares >> LEVEL_BITS;
	uint64_t idle, pages;

	if (w <= active)
		return max_u64(d->min, (uint64_t)w);
	idle = w - active < IDLE_MOST ? (uint64_t)(w - active) : IDLE_MOST;
	pages = active + idle * (100 - tau) / 100;
	return max_u64(d->min, min_u64(pages, d->want));
}

/* Of those who follow, or of all. */
static bool takes_part(const struct reclaim_domain *d, bool all)
{
	return all || !d->skipped;
}

static bool fits(const struct reclaim_domain *d, unsigned n, bool all, u128 level, unsigned tau,
                 uint64_t pool)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += takes_part(&d[i], all) ? target_at(&d[i], level, tau) : 0;
	return sum <= pool;
}

/* The greatest L at which the pool is enough; 0 if it is not even for every min. */
static u128 find_level(const struct reclaim_domain *d, unsigned n, bool all, unsigned tau,
                       uint64_t pool)
{
	u128 level = 0;

	for (unsigned bit = LEVEL_MOST; bit-- > 0;)
		if (fits(d, n, all, level | (u128)1 << bit, tau, pool))
			level |= (u128)1 << bit;
	return level;
}

/* What there is to divide among those who take part. */
static uint64_t pool_of(const struct reclaim_domain *d, unsigned n, bool all, uint64_t goal,
                        uint64_t free)
{
	uint64_t pool = free;

	for (unsigned i = 0; i < n; i++)
		pool += takes_part(&d[i], all) ? d[i].charged : 0;
	return pool - min_u64(pool, goal);
}

/* ---- the steps ---- */

static uint64_t step_of(const struct reclaim_domain *d)
{
	return max_u64(d->want / STEPS + 1, STEP_LEAST);
}

/* From charged towards the target; what is so close that it makes no difference is there. */
static uint64_t step_from(const struct reclaim_domain *d)
{
	uint64_t far = max_u64(d->target, d->charged) - min_u64(d->target, d->charged);
	uint64_t step = min_u64(far, step_of(d));

	if (far <= d->target / CLOSE)
		return d->charged;
	return d->target > d->charged ? d->charged + step : d->charged - step;
}

/* What all together get back in this round is at most `give`: to each the same part. */
static void bound_growth(struct reclaim_domain *d, unsigned n, uint64_t give)
{
	uint64_t grow = 0, part;

	for (unsigned i = 0; i < n; i++)
		grow += d[i].next - min_u64(d[i].next, d[i].charged);
	if (grow <= give)
		return;
	part = (give << PART_BITS) / grow;
	for (unsigned i = 0; i < n; i++)
		if (d[i].next > d[i].charged)
			d[i].next = d[i].charged + ((d[i].next - d[i].charged) * part >> PART_BITS);
}

static void set_targets(struct reclaim_domain *d, unsigned n, const struct reclaim_knobs *k,
                        const struct reclaim_machine *m)
{
	uint64_t goal = reclaim_goal(k, m->frames), soft = level_pages(k, m->frames, RECLAIM_SOFT);
	u128 level = find_level(d, n, false, k->tau, pool_of(d, n, false, goal, m->free));

	for (unsigned i = 0; i < n; i++) {
		if (d[i].skipped)
			continue;
		d[i].target = target_at(&d[i], level, k->tau);
		d[i].next = step_from(&d[i]);
	}
	bound_growth(d, n, m->free - min_u64(m->free, soft));
}

/* What the balloon does not bring, or not fast enough: a step at a time, down to the targets that
 * all would have if all followed. */
static void set_compress(struct reclaim_domain *d, unsigned n, const struct reclaim_knobs *k,
                         const struct reclaim_machine *m, enum reclaim_state state)
{
	uint64_t goal = reclaim_goal(k, m->frames);
	u128 level = find_level(d, n, true, k->tau, pool_of(d, n, true, goal, m->free));

	for (unsigned i = 0; i < n; i++) {
		uint64_t target = target_at(&d[i], level, k->tau);

		if (d[i].skipped || state >= RECLAIM_HARD)
			d[i].compress =
			    min_u64(d[i].charged - min_u64(d[i].charged, target), step_of(&d[i]));
	}
}

static bool anybody_limited(const struct reclaim_domain *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (d[i].limited)
			return true;
	return false;
}

bool reclaim_round(struct reclaim *r, const struct reclaim_knobs *k,
                   const struct reclaim_machine *m, struct reclaim_domain *d, unsigned n)
{
	ASSERT(!reclaim_knobs_trouble(k));
	for (unsigned i = 0; i < n; i++) {
		ASSERT(d[i].shares && d[i].shares <= RECLAIM_SHARES_MOST);
		ASSERT(d[i].min <= d[i].charged && d[i].charged <= d[i].want &&
		       d[i].want < RECLAIM_PAGES_MOST);
		d[i].target = d[i].next = d[i].charged;
		d[i].compress = 0;
	}
	r->state = reclaim_state_after(r->state, k, m);
	if (r->state == RECLAIM_HIGH && !anybody_limited(d, n))
		return false;
	set_targets(d, n, k, m);
	if (r->state > RECLAIM_HIGH)
		set_compress(d, n, k, m, r->state);
	return true;
}
