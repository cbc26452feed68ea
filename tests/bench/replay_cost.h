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
 *	flush						  500
 *	slice	begun					  300
 *
 * Two ordinary pages merged: 2 * 2900 + 8192 / 5 + 3000 = 10438, where 10590 were counted.
 * Bytes that are read to be compared are counted by whoever reads them, so a policy that walks
 * trees of pages pays for what it reads there.
 */
#ifndef TESTS_BENCH_REPLAY_COST_H
#define TESTS_BENCH_REPLAY_COST_H

#include "mm/core.h"

#define COST_REGION      30u
#define COST_LEAF        10u
#define COST_FINGERPRINT 2900u
#define COST_BYTES       5u /* compared, for one instruction */
#define COST_MERGE       3000u
#define COST_GIVEN_UP    1500u
#define COST_FLUSH       500u
#define COST_SLICE       300u

struct cost {
	uint64_t leaves, passed, fingerprinted, bytes_read, merges, given_up, flushes;
};

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
	};
}

static inline struct cost cost_less(struct cost a, struct cost b)
{
	return (struct cost){
	    a.leaves - b.leaves,         a.passed - b.passed, a.fingerprinted - b.fingerprinted,
	    a.bytes_read - b.bytes_read, a.merges - b.merges, a.given_up - b.given_up,
	    a.flushes - b.flushes,
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
	       c->merges * COST_MERGE + c->given_up * COST_GIVEN_UP + c->flushes * COST_FLUSH;
}

#endif
