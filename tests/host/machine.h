/* SPDX-License-Identifier: MIT */
/*
 * kernel/machine.h on Linux: CPUs that are numbers to set (tests/host/env.h),
 * a clock of its own for each of them that the test turns, timers that are
 * only remembered, a console that is a buffer.
 */
#ifndef TESTS_HOST_MACHINE_H
#define TESTS_HOST_MACHINE_H

#include "kernel/machine.h"

#define HOST_MAX_CPUS 8u
#define HOST_TSC_HZ   UINT64_C(2000000000)

extern uint64_t host_now_ns[HOST_MAX_CPUS];   /* of each CPU */
extern uint64_t host_timer_ns[HOST_MAX_CPUS]; /* what machine_timer was told */
extern unsigned host_cpus;
extern char host_console[65536]; /* what was printed, NUL at the end */

extern size_t host_output_room;
extern uint8_t host_trace[1u << 20]; /* what left by the trace's port */
extern size_t host_trace_bytes;      /* set to 0 to begin anew */
extern size_t host_trace_takes;      /* the port takes no more than so much at a time */

void host_machine_reset(unsigned cpus);

#endif
