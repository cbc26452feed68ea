/* SPDX-License-Identifier: MIT */
/* Samples of one operation: ticks of the TSC, less what reading it twice costs. */
#ifndef GUEST_BENCH_SAMPLES_H
#define GUEST_BENCH_SAMPLES_H

#include <stdint.h>

#define SAMPLES 256u

void sample_init(void); /* measures what two readings with nothing between cost */
void sample_take(unsigned i, uint64_t ticks);
/* Print the line of the first n samples, each of which was `each` operations; and TAP. */
void sample_report(const char *name, unsigned n, uint64_t each);

#endif
