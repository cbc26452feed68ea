/* SPDX-License-Identifier: MIT */
/*
 * Time gives credit, at the rate of the share; work spends it. A piece begins only if the credit covers
 * the longest piece of late, so the account does not go below zero unless a piece is longer than any
 * before it; then it stays there until time has paid for that, too. What is saved up is
 * bounded: who had nothing to do for an hour may not work for half a minute at a stretch.
 */
#include "kernel/pace.h"
#include "mm/leaf/bits.h"

#define PACE_SAVED_NS UINT64_C(2000000) /* of work at most, or four pieces */

void pace_init(struct pace *p, uint32_t share, uint64_t now_ns)
{
	*p = (struct pace){.share = share, .last_ns = now_ns};
}

void pace_set(struct pace *p, uint32_t share, uint64_t now_ns)
{
	p->share = share;
	p->last_ns = now_ns;
	p->credit = 0;
}

bool pace_may(struct pace *p, uint64_t now_ns)
{
	uint64_t most = max_u64(PACE_SAVED_NS, 4 * p->longest_ns) * PACE_WHOLE, passed;

	passed = now_ns > p->last_ns ? now_ns - p->last_ns : 0;
	p->last_ns += passed;
	/* Beyond this it is more than can be saved up, whatever the share. */
	passed = p->share ? min_u64(passed, most / p->share + 1) : 0;
	p->credit = min_u64(p->credit + passed * p->share, most);
	return p->share && p->credit >= max_u64(p->longest_ns, 1) * PACE_WHOLE;
}

void pace_spent(struct pace *p, uint64_t ns)
{
	uint64_t cost = ns * PACE_WHOLE, debt = cost > p->credit ? cost - p->credit : 0;

	p->credit -= min_u64(p->credit, cost);
	/* A debt is time that gives no credit. */
	if (debt && p->share)
		p->last_ns += debt / p->share + 1;
	p->longest_ns = max_u64(ns, p->longest_ns - p->longest_ns / 64);
}
