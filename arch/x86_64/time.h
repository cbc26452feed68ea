/* SPDX-License-Identifier: MIT */
/* The time stamp counter as the clock, the local APIC's timer as the alarm. */
#ifndef ARCH_TIME_H
#define ARCH_TIME_H

#include "mm/leaf/types.h"

/* Measure TSC and APIC timer against the ACPI PM timer (its port; 0: none) or the PIT. */
void time_init(uint32_t pm_timer_port, bool pm_timer_32);
/* Choose TSC-deadline mode if it works here. With interrupts allowed for a moment. */
void time_cpu_init(void);
/* Line this CPU's TSC up with the boot CPU's, which calls time_sync_serve meanwhile. */
void time_sync(void);
void time_sync_serve(const bool *done);
void time_delay_us(uint64_t us);
const char *time_source(void);
uint64_t time_apic_hz(void);
bool time_uses_deadline(void);

/* drivers: the battery clock, in seconds since 1970. */
uint64_t rtc_read(void);

#endif
