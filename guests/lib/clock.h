/* SPDX-License-Identifier: MIT */
/*
 * Time: the paravirtual clock (no exit to read it) and one-shot timers on
 * VIRQ_TIMER. On a plain machine clock_ns() is the TSC and sleeping spins.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>

#define CLOCK_MS UINT64_C(1000000)
#define CLOCK_S  UINT64_C(1000000000)

void clock_init(void);                  /* on each vCPU; calls event_init on the first */
uint64_t clock_ns(void);                /* nanoseconds, the hypervisor's system time */
uint64_t clock_hz(void);                /* ticks of the TSC a second, from the same page */
void clock_timer(uint64_t deadline_ns); /* one shot, absolute; counts at clock_port() */
unsigned clock_port(void);
void clock_sleep_ms(uint64_t ms);

#endif
