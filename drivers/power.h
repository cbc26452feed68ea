/* SPDX-License-Identifier: MIT */
/* Turning the machine off, and starting it anew. */
#ifndef DRIVERS_POWER_H
#define DRIVERS_POWER_H

#include "arch/x86_64/acpi.h"

void power_init(const struct acpi_power *p);
/* Every way we know, one after the other; halts if none works. */
void power_off(void) noreturn_fn;
void power_reset(void) noreturn_fn;
/* Let the last console bytes out first. */
void power_flush(void);

#endif
