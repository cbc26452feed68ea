/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a physical memory with ACPI tables, RSDP at 0. A checksum is no defence
 * against firmware that lies, so each table is given the right one when it is looked at.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/madt.h"
#include "tests/fuzz/fuzz.h"

static uint8_t *memory;
static size_t memory_bytes;

static void repair(uint8_t *p, size_t bytes, unsigned field)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + p[i]);
	p[field] = (uint8_t)(p[field] - sum);
}

static const void *peek(uint64_t phys, uint64_t bytes)
{
	if (phys > memory_bytes || bytes > memory_bytes - phys)
		return NULL;
	if (bytes >= 36)
		repair(memory + phys, bytes, 9);
	return memory + phys;
}

static void check_madt(const struct acpi *a)
{
	static struct madt m;
	struct acpi_table t = acpi_find(a, "APIC");
	const char *why;

	if (!t.data)
		return;
	MUST(t.data >= memory && t.bytes <= memory_bytes - (size_t)(t.data - memory));
	why = madt_parse(&m, t.data, t.bytes);
	MUST(!why || *why);
	MUST(m.nr_cpus <= MADT_MAX_CPUS && m.nr_ioapics <= MADT_MAX_IOAPICS);
	for (unsigned i = 0; i < m.nr_cpus; i++)
		for (unsigned k = 0; k < i; k++)
			MUST(m.apic_id[i] != m.apic_id[k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct acpi_power power;
	struct acpi a;

	memory = malloc(n + !n);
	memory_bytes = n;
	if (n)
		memcpy(memory, bytes, n);
	if (n >= 20)
		repair(memory, 20, 8);
	if (n >= 36)
		repair(memory, 36, 32);
	(void)acpi_scan(memory, n);
	if (n && acpi_init(&a, memory, n, peek)) {
		check_madt(&a);
		acpi_power_find(&a, &power);
	}
	free(memory);
	return 0;
}
