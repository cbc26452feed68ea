/* SPDX-License-Identifier: MIT */
/*
 * Waiting for memory.
 *
 * Problem: a guest's write needs a frame and there is none. Its vCPU waits, and executes
 * the same instruction again when there is one. With many that wait, and others that run and
 * take every frame the moment it is free, somebody could wait for ever.
 *
 * Order. A vCPU draws a ticket when it begins to wait and keeps it until it has what it
 * needs, however often it must try. Served are
 *
 *	first	whoever is within its domain's min: a frame is set aside for it. (It never
 *		gets here but by an injected refusal: mm/fund.c serves it at once.)
 *		And whoever was asked to give memory back, for a few frames: everyone's
 *		waiting may hang on it.
 *	then	the others by ticket. One that wants a copy may have a frame of the reserve;
 *		one that wants a new page only what is beyond the reserve, until it has
 *		waited for PATIENCE_NS: then it may have one of the reserve, too.
 *
 * Why nobody is overtaken. Being served is being given a credit: fund_grant sets
 * a frame aside, which nobody else can take before the woken one has run. And while there
 * is a line, nobody above its min takes a frame without a credit: who asks, stands in line.
 *
 * Why nobody starves. Each frame that comes back goes to the lowest ticket that may have
 * it; after PATIENCE_NS any ticket may have any frame that is not debt. So whoever waits
 * is served after at most as many frames as there were tickets before its own. (An instruction
 * that needs several frames keeps its ticket meanwhile, for TURNS_MOST turns: more than any needs. A guest
 * can have one call begun anew with other arguments at each turn, and would stand in front for ever.)
 *
 * A vCPU of a paused domain keeps its place but is passed over: a frame set aside for
 * it would lie idle. Nor does anything else happen for its sake: it is not counted. One whose domain has
 * ended leaves the line.
 */
#include "kernel/waiters.h"
#include "kernel/sched.h"
#include "mm/fund.h"

#define PATIENCE_NS UINT64_C(1000000000)
#define TURNS_MOST  32u

static struct {
	struct vcpu *first;
	uint64_t next_ticket; /* less one: tickets begin with 1 */
	uint64_t served, served_ns, longest_ns;
	uint64_t beyond_ns; /* when one got a frame from beyond the reserve */
	bool closed;        /* what fund_set_line was told */
} line;

bool waiters_any(void)
{
	return __atomic_load_n(&line.first, __ATOMIC_RELAXED);
}

bool waiters_press(void)
{
	return __atomic_load_n(&line.closed, __ATOMIC_RELAXED);
}

/* While somebody waits whose turn may come, others take frames in turn only. */
static void waiters_close(bool closed)
{
	if (line.closed == closed)
		return;
	__atomic_store_n(&line.closed, closed, __ATOMIC_RELAXED);
	fund_set_line(closed);
}

/* ---- coming and going ---- */

/* What was set aside for it and not used is free again. */
static void waiters_return_grant(struct vcpu *v)
{
	if (v->granted)
		fund_ungrant(&v->domain->space);
	v->granted = false;
}

void waiters_add(struct vcpu *v, uint64_t now)
{
	struct vcpu **at = &line.first;

	waiters_return_grant(v); /* a sibling was faster, or it needs one more */
	if (v->turns >= TURNS_MOST)
		waiters_done(v, now);
	if (!line.first)
		line.served_ns = now;
	if (!v->wait_ticket) {
		v->wait_ticket = ++line.next_ticket;
		v->wait_began_ns = now;
		v->waits++;
	}
	while (*at && (*at)->wait_ticket < v->wait_ticket)
		at = &(*at)->next_waiter;
	v->next_waiter = *at;
	*at = v;
	waiters_close(true);
}

/* The one that *at leads to leaves the line. */
static struct vcpu *waiters_take(struct vcpu **at)
{
	struct vcpu *v = *at;

	*at = v->next_waiter;
	v->next_waiter = NULL;
	return v;
}

void waiters_remove(struct vcpu *v)
{
	for (struct vcpu **at = &line.first; *at; at = &(*at)->next_waiter)
		if (*at == v) {
			waiters_take(at);
			break;
		}
	waiters_close(line.first);
}

void waiters_done(struct vcpu *v, uint64_t now)
{
	uint64_t waited;

	waiters_return_grant(v);
	if (!v->wait_ticket)
		return;
	waited = now - v->wait_began_ns;
	v->wait_ticket = 0;
	v->turns = 0;
	v->waited_ns += waited;
	v->longest_memory_ns = max_u64(v->longest_memory_ns, waited);
	line.longest_ns = max_u64(line.longest_ns, waited);
}

/* ---- whose turn it is ---- */

static bool waiters_may_run(const struct vcpu *v)
{
	const struct domain *d = v->domain;

	return !d->paused && !d->dying && d->shutdown == SHUTDOWN_NONE;
}

static bool waiters_within_min(const struct vcpu *v)
{
	const struct space *s = &v->domain->space;

	return s->held < s->min_pages;
}

static bool waiters_goes_first(const struct vcpu *v)
{
	return waiters_within_min(v) || fund_can_borrow(&v->domain->space);
}

/* Waits for a page that was never its own to write to; else for a copy, which the reserve is for. */
static bool waiters_wants_new(const struct vcpu *v)
{
	return !v->wants_copy;
}

/*
 * Try to give v its turn, of the reserve only if nothing else is left; *plain, *reserve: whether a frame
 * from beyond the reserve, or of it, may still be there.
 */
static bool waiters_grant(struct vcpu *v, uint64_t now, bool *plain, bool *reserve)
{
	struct space *s = &v->domain->space;
	bool first = waiters_goes_first(v);
	bool patient = waiters_wants_new(v) && now - v->wait_began_ns < PATIENCE_NS;

	if (first || *plain) {
		v->granted = fund_grant(s, false);
		if (!first)
			*plain = v->granted;
		if (!first && v->granted)
			line.beyond_ns = now;
	}
	if (!v->granted && !patient && (first || *reserve)) {
		v->granted = fund_grant(s, true);
		if (!first)
			*reserve = v->granted;
	}
	return v->granted;
}

/* One walk of the line. Returns whether somebody is left whose turn may come. */
static bool waiters_walk(uint64_t now, bool first, void (*ready)(struct vcpu *v))
{
	bool plain = true, reserve = true, left = false;

	for (struct vcpu **at = &line.first; *at;) {
		struct vcpu *v = *at;
		bool turn = waiters_may_run(v) && waiters_goes_first(v) == first;

		if (!turn || !waiters_grant(v, now, &plain, &reserve)) {
			left |= waiters_may_run(v);
			at = &v->next_waiter;
			continue;
		}
		line.served++;
		line.served_ns = v->turn_ns = now;
		v->turns++;
		ready(waiters_take(at));
	}
	return left;
}

void waiters_serve(uint64_t now, void (*ready)(struct vcpu *v))
{
	if (!line.first)
		return;
	waiters_walk(now, true, ready);
	waiters_close(waiters_walk(now, false, ready));
}

struct waiters_view waiters_view(void)
{
	struct waiters_view view;
	uint64_t now = machine_ns();

	sched_lock();
	view = (struct waiters_view){.served = line.served,
	                             .served_ns = line.served_ns,
	                             .beyond_ns = line.beyond_ns,
	                             .longest_ns = line.longest_ns};
	for (const struct vcpu *v = line.first; v; v = v->next_waiter) {
		if (!waiters_may_run(v))
			continue;
		view.waiting++;
		view.within_min += waiters_within_min(v);
		view.for_new += waiters_wants_new(v);
		view.oldest_ns = max_u64(view.oldest_ns, now - v->wait_began_ns);
	}
	view.longest_ns = max_u64(view.longest_ns, view.oldest_ns);
	sched_unlock();
	return view;
}
