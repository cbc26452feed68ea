/* SPDX-License-Identifier: MIT */
/*
 * The guests of a replay: domains of mm/ that write what the trace says.
 *
 * A page's content is made from its number: equal numbers, equal bytes; 0 is all zeroes, 1 all
 * ones; any two others differ in their first word. So a compare of two that differ reads little,
 * as it would if real pages differed early.
 */
#ifndef TESTS_BENCH_REPLAY_GUESTS_H
#define TESTS_BENCH_REPLAY_GUESTS_H

#include "mm/space.h"
#include "tests/bench/trace_file.h"

/* Do it, in mm/ and for the oracle. */
void guests_do(const struct trace_op *op, uint64_t now_ns);
/* Whether mm/ has this page shared now. */
bool guests_shared(uint8_t domid, uint64_t gfn);
/* Pages that are not what the trace says. */
uint64_t guests_wrong(void);

/* Writes to pages that the domain does not have here. */
extern uint64_t guests_outside;

#endif
