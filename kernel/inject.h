/* SPDX-License-Identifier: MIT */
/*
 * Refusals on request: the allocator of a machine that runs is made to say no, to see that
 * nobody minds. For the operator who debugs (`refuse`); off unless it is asked for.
 */
#ifndef KERNEL_INJECT_H
#define KERNEL_INJECT_H

#include "mm/leaf/types.h"

/* One of every k requests for a frame from now on; 0: none. */
void inject_every(uint64_t k);
/* All requests until then (machine_ns). */
void inject_all_until(uint64_t ns);

/* How many requests were refused so, since the start. */
uint64_t inject_refused(void);

/* The next request is due to be refused. Any CPU, any lock. */
bool inject_refuses_now(void);

/* What the allocator asks each time; nearly always the answer is no. */
extern bool inject_on;
static inline bool inject_refuses(void)
{
	return __builtin_expect(__atomic_load_n(&inject_on, __ATOMIC_RELAXED), 0) &&
	       inject_refuses_now();
}

#endif
