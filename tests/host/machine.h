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

void host_machine_reset(unsigned cpus);

#endif
