/* SPDX-License-Identifier: MIT */
/*
 * The writes of a guest, as its CPU makes them: a walk with an empty TLB that sets the
 * accessed flag in each table and the dirty flag in the leaf, and a fault where the
 * leaf does not allow it. Every write walks, so flags are never older than the write. If there is a
 * modification log, it is read at once.
 */
#ifndef TESTS_BENCH_WRITER_H
#define TESTS_BENCH_WRITER_H

#include "mm/space.h"

/* Write bytes (within one page); data NULL: what is there, again. Ends the program if it cannot. */
void writer_put(struct space *s, gfn_t gfn, unsigned at, const void *data, unsigned bytes);

/* Since the last call: faults, and ticks of the TSC spent in mm_fault. */
struct writer_faults {
	uint64_t n, ticks;
};
struct writer_faults writer_faults(void);

#endif
