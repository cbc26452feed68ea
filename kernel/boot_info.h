/* SPDX-License-Identifier: MIT */
/* What the boot loader told us, whichever way we were started (multiboot2 or PVH). */
#ifndef KERNEL_BOOT_INFO_H
#define KERNEL_BOOT_INFO_H

#include "mm/leaf/types.h"

#define BOOT_MAX_RANGES  128
#define BOOT_MAX_MODULES 64

struct boot_range {
	uint64_t base, bytes;
	uint32_t type; /* as in ACPI: 1 RAM, 2 reserved, 3 ACPI, 4 NVS, 5 bad */
};

struct boot_module {
	const void *data; /* mapped, read-only, stays for good */
	uint64_t bytes;
	const char *cmdline; /* "" if none */
};

struct boot_info {
	const char *loader; /* "multiboot2 (GRUB 2.06)", "PVH" */
	const char *cmdline;
	unsigned nr_ranges, nr_modules;
	struct boot_range ranges[BOOT_MAX_RANGES];
	struct boot_module modules[BOOT_MAX_MODULES];
};

/* kernel/main.c; called on the boot CPU once arch/x86_64 has the machine in hand
 * (paging, traps, console, ACPI, frame table and mm_init, all CPUs up and waiting). */
void kernel_main(const struct boot_info *bi) noreturn_fn;
/* Each other CPU comes here after kernel_main has released it. */
void kernel_main_ap(void) noreturn_fn;
/* Called by kernel_main when the others may go on into kernel_main_ap. */
void machine_release_cpus(void);

#endif
