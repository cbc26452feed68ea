/* SPDX-License-Identifier: MIT */
/* The ACPI MADT: which CPUs and I/O APICs there are (ACPI 6.5, 5.2.12). Pure. */
#ifndef ARCH_MADT_H
#define ARCH_MADT_H

#include "mm/leaf/types.h"

#define MADT_MAX_CPUS    256u
#define MADT_MAX_IOAPICS 16u

struct madt {
	unsigned nr_cpus, nr_ioapics;
	unsigned dropped; /* enabled CPUs past the limit */
	uint32_t apic_id[MADT_MAX_CPUS];
	uint64_t ioapic[MADT_MAX_IOAPICS];
};

/* `table` is readable for `bytes`, header and checksum already checked (acpi.c). NULL or a
 * sentence. */
const char *madt_parse(struct madt *m, const void *table, size_t bytes);

#endif
