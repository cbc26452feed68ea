/* SPDX-License-Identifier: MIT */
/* machine_hwinfo: what a user can paste into a bug report. */
#ifndef ARCH_HWINFO_H
#define ARCH_HWINFO_H

#include "arch/x86_64/acpi.h"
#include "kernel/boot_info.h"

/* Remember where the facts are; both stay. */
void hwinfo_init(const struct boot_info *bi, const struct acpi *a);

#endif
