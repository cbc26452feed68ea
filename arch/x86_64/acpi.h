/* SPDX-License-Identifier: MIT */
/*
 * ACPI's static tables (ACPI 6.5, 5.2): found by RSDP, then XSDT or RSDT; each
 * checked for size and checksum before anyone looks inside. Physical memory is
 * reached through a function, so that all of it compiles natively too.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include "mm/leaf/types.h"

/* The bytes at a physical address, or NULL. They stay readable. */
typedef const void *(*acpi_peek_fn)(uint64_t phys, uint64_t bytes);

struct acpi {
	acpi_peek_fn peek;
	uint64_t root; /* XSDT or RSDT; 0: no ACPI */
	bool wide;     /* XSDT: 64-bit entries */
};

struct acpi_table {
	const uint8_t *data; /* with the 36-byte header; NULL if there is none */
	uint32_t bytes;
};

/* What soft-off (S5) and reset take. */
struct acpi_power {
	uint32_t pm1a, pm1b; /* control ports; 0 none */
	uint8_t s5_a, s5_b;  /* SLP_TYP values; valid if has_s5 */
	bool has_s5;
	uint32_t pm_timer; /* port; 0 none */
	bool pm_timer_32;
	uint8_t reset_value;
	uint32_t reset_port; /* 0 none */
};

/* The 16-byte aligned RSDP in an area (EBDA, BIOS), or NULL. */
const void *acpi_scan(const void *area, size_t bytes);
/* From an RSDP of `bytes` readable bytes. False: it is none, or damaged. */
bool acpi_init(struct acpi *a, const void *rsdp, size_t bytes, acpi_peek_fn peek);
struct acpi_table acpi_find(const struct acpi *a, const char *signature);
/* From FADT and DSDT. */
void acpi_power_find(const struct acpi *a, struct acpi_power *p);

#endif
