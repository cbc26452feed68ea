/* SPDX-License-Identifier: MIT */
/* The trace on its way out of the machine: kernel/tracer.c has the design. */
#ifndef KERNEL_TRACER_H
#define KERNEL_TRACER_H

#include "mm/leaf/types.h"

#define TRACER_DEFAULT_MS 500u

/* Begin to trace, a tick every `ms` milliseconds. NULL, or why not, and what to do. */
const char *tracer_start(uint64_t ms);
/* No more records; what is in the rings still goes out. */
void tracer_stop(void);

/* On CPU 0, often: some of a pass, and some of what waits. Never long. True: there is more. */
bool tracer_poll_slow(void);

extern bool tracer_active; /* on, or something still waits; changed on CPU 0 only */

static inline bool tracer_poll(void)
{
	return __builtin_expect(tracer_active, 0) && tracer_poll_slow();
}

struct tracer_view {
	bool on, active;
	uint64_t ms, ticks, records, lost, bytes, waiting;
	const char *port;
};
struct tracer_view tracer_look(void);

#endif
