/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of a guest: RSDP, XSDT, MADT, FADT and DSDT in one page. Pure.
 *
 * They say: this machine is hardware-reduced (ACPI 6.5, 4.1), so nobody probes for an
 * 8259, an 8042 or a CMOS clock; it has these local APICs; and writing S5 to the
 * sleep control register turns it off.
 */
#ifndef ARCH_GUEST_ACPI_TABLES_H
#define ARCH_GUEST_ACPI_TABLES_H

#include "mm/leaf/types.h"

/* Ports of the sleep registers (ACPI 6.5, 4.8.3.7), and what S5 is called there. */
#define ACPI_PORT_SLEEP_CONTROL 0x600u
#define ACPI_PORT_SLEEP_STATUS  0x601u
#define ACPI_SLEEP_S5           5u
/* Bits 4..2 are the type, bit 5 says do it. */
#define ACPI_SLEEP_TYPE(value) ((value) >> 2 & 7u)
#define ACPI_SLEEP_ENABLE      0x20u

/* Fill the page that goes to gpa, whose first bytes are the RSDP. vCPU i has APIC id i;
 * at most ACPI_MAX_VCPUS of them. */
#define ACPI_MAX_VCPUS 128u
void acpi_tables_page(uint8_t page[4096], uint64_t gpa, unsigned vcpus);

#endif
