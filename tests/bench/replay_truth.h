/* SPDX-License-Identifier: MIT */
/*
 * What each page of a trace holds, and so what could be saved: the oracle beside a replay, kept
 * up write by write, and knowing nothing of mm/.
 *
 * Savable: each page of a constant content; and of any other content and share
 * group all pages but one.
 *
 * Equal: a page is, while it is of a constant content or another page of its group holds the
 * same. From the moment it becomes so, or is written once more, to the moment in which it is
 * shared is its *wait*. One that ends before, because the page or its last twin was
 * written or given back, was in vain, and counted by its length.
 */
#ifndef TESTS_BENCH_REPLAY_TRUTH_H
#define TESTS_BENCH_REPLAY_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#define TRUTH_NOTHING UINT32_MAX /* no content: never written, or given back */

struct truth_waits {
	uint64_t *ns; /* of pages that were shared */
	uint64_t n, room;
	uint64_t cold; /* of pages that were equal from the first tick on: not among these */
	uint64_t vain_short, vain_long; /* in vain: shorter than truth_patience_ns, or not */
};

extern uint64_t truth_savable;
extern uint64_t truth_patience_ns;
extern struct truth_waits truth_waits;

/* Whether mm/ has a page shared now; asked when a page becomes equal by another's doing. */
extern bool (*truth_is_shared)(uint8_t domid, uint64_t gfn);

void truth_create(uint8_t domid, uint16_t group, uint64_t pages);
/* A page holds this from now on. */
void truth_set(uint8_t domid, uint64_t gfn, uint32_t content, uint64_t now_ns);
uint32_t truth_get(uint8_t domid, uint64_t gfn);
/* Pages of a domain for which there is a place: guest frames below this. */
uint64_t truth_pages(uint8_t domid);
void truth_destroy(uint8_t domid, uint64_t now_ns);
/* mm/ has shared the page. */
void truth_shared(uint8_t domid, uint64_t gfn, uint64_t now_ns);
/* The part `q` (0 to 1) of the waits is no longer than this; 0 if there are none. Sorts. */
uint64_t truth_quantile(double q);
/* Ends all waits, in vain. */
void truth_end(uint64_t now_ns);

#endif
