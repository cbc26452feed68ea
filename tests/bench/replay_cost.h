/* SPDX-License-Identifier: MIT */
/*
 * What the scanner's work costs in a replay: instructions, from mm/'s own counters, so that they
 * are the same on every machine, and the same rule for every policy.
 *
 * The prices are those that were counted on the emulators (docs/costs.md), put together from
 * their parts:
 *
 *	region	passed over as a whole, 512 pages	   30
 *	leaf	looked at				   10
 *	page	fingerprinted, looked up, put away	 2900
 *	byte	compared				  1/5
 *	merge	protect, switch, scrub, free		 3000
 *	merge	given up				 1500
 *	level	of a tree of pages gone down		  600
 *	flush						  500
 *	slice	begun					  300
 *
 * Two ordinary pages merged: 2 * 2900 + 8192 / 5 + 3000 = 10438, where 10590 were counted.
 * A policy that has trees of pages, as KSM, says how many levels it would have gone down
 * (scan_count_modelled); ksmd took 14,054 instructions for a page that it had seen, and 4755 for
 * one that it had not: 9300 for a tree of 16384 pages, 14 or 15 levels.
 */
#ifndef TESTS_BENCH_REPLAY_COST_H
#define TESTS_BENCH_REPLAY_COST_H

#include "mm/scan.h"

#define COST_REGION      30u
#define COST_LEAF        10u
#define COST_FINGERPRINT 2900u
#define COST_BYTES       5u /* compared, for one instruction */
#define COST_MERGE       3000u
#define COST_GIVEN_UP    1500u
#define COST_LEVEL       600u
#define COST_FLUSH       500u
#define COST_SLICE       300u

struct cost {
	uint64_t leaves, passed, fingerprinted, bytes_read, merges, given_up, flushes, levels;
};

/* The policy in use: asking mm/ for it takes a lock that a slice holds. */
extern const struct scan_policy *cost_policy;

static inline struct cost cost_now(void)
{
	return (struct cost){
	    .leaves = counter_read(&mm.count.pages_scanned),
	    .passed = counter_read(&mm.count.pages_passed),
	    .fingerprinted = counter_read(&mm.count.pages_fingerprinted),
	    .bytes_read = counter_read(&mm.count.bytes_read),
	    .merges = counter_read(&mm.count.merges),
	    .given_up = counter_read(&mm.count.merges_given_up),
	    .flushes = counter_read(&mm.count.flushes),
	    .levels = scan_counts(cost_policy).modelled,
	};
}

static inline struct cost cost_less(struct cost a, struct cost b)
{
	return (struct cost){
	    a.leaves - b.leaves,         a.passed - b.passed, a.fingerprinted - b.fingerprinted,
	    a.bytes_read - b.bytes_read, a.merges - b.merges, a.given_up - b.given_up,
	    a.flushes - b.flushes,       a.levels - b.levels,
	};
}

static inline uint64_t cost_compared(const struct cost *c)
{
	return c->bytes_read - c->fingerprinted * PAGE_SIZE;
}

static inline uint64_t cost_instructions(const struct cost *c)
{
	return c->passed / LARGE_PAGES * COST_REGION + c->leaves * COST_LEAF +
	       c->fingerprinted * COST_FINGERPRINT + cost_compared(c) / COST_BYTES +
	       c->merges * COST_MERGE + c->given_up * COST_GIVEN_UP + c->flushes * COST_FLUSH +
	       c->levels * COST_LEVEL;
}

#endif
