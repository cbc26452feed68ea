/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of a guest are read by the parser that reads a machine's, by
 * offsets of ACPI 6.5 written down once more here, and by iasl where it is installed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/guest/acpi_tables.h"
#include "arch/x86_64/guest/vlapic.h"
#include "arch/x86_64/madt.h"

#define GPA UINT64_C(0xfeff8000)

static uint8_t page[4096];
static struct acpi tables;

static const void *peek(uint64_t phys, uint64_t bytes)
{
	if (phys < GPA || phys - GPA > sizeof(page) || bytes > sizeof(page) - (phys - GPA))
		return NULL;
	return page + (phys - GPA);
}

static void make(unsigned vcpus)
{
	memset(page, 0xaa, sizeof(page));
	acpi_tables_page(page, GPA, vcpus);
	assert_true(acpi_init(&tables, page, sizeof(page), peek));
	assert_true(tables.wide);
}

/* A local APIC for each vCPU, id and uid its number, all enabled; no I/O APIC. */
static void a_local_apic_for_each_vcpu(void **state)
{
	(void)state;
	for (unsigned vcpus = 1; vcpus <= ACPI_MAX_VCPUS; vcpus++) {
		struct acpi_table t;
		struct madt m;

		make(vcpus);
		t = acpi_find(&tables, "APIC");
		assert_non_null(t.data);
		assert_null(madt_parse(&m, t.data, t.bytes));
		assert_int_equal(m.nr_cpus + m.dropped, vcpus);
		assert_int_equal(m.nr_ioapics, 0);
		for (unsigned i = 0; i < m.nr_cpus; i++) {
			assert_int_equal(m.apic_id[i], vlapic_id_of(i));
			assert_int_equal(t.data[44 + 8 * i + 2], i);
		}
		assert_memory_equal(t.data + 36, "\0\0\xe0\xfe\0\0\0\0", 8);
	}
}

/* 5.2.9, table 5.9: hardware-reduced, sleep registers as byte ports, no legacy device. */
static void the_fadt(void **state)
{
	static const uint8_t control[12] = {1, 8, 0, 1, 0x00, 0x06};
	static const uint8_t status[12] = {1, 8, 0, 1, 0x01, 0x06};
	struct acpi_table t;
	uint32_t flags;

	(void)state;
	make(1);
	t = acpi_find(&tables, "FACP");
	assert_int_equal(t.bytes, 276);
	assert_int_equal(t.data[8], 6);
	memcpy(&flags, t.data + 112, 4);
	assert_int_equal(flags, 1u << 20 | 1u << 5 | 1u << 4 | 1u);
	assert_int_equal(t.data[109] | t.data[110] << 8, 1u << 2 | 1u << 3 | 1u << 5);
	assert_memory_equal(t.data + 244, control, 12);
	assert_memory_equal(t.data + 256, status, 12);
	assert_memory_equal(t.data + 40, t.data + 140, 4); /* DSDT and X_DSDT */
	for (unsigned i = 46; i < 109; i++)
		assert_int_equal(t.data[i], 0);
}

/* Soft-off has the type that the port's handler waits for. */
static void soft_off(void **state)
{
	struct acpi_power p;

	(void)state;
	make(3);
	acpi_power_find(&tables, &p);
	assert_true(p.has_s5);
	assert_int_equal(p.s5_a, ACPI_SLEEP_S5);
	assert_int_equal(ACPI_SLEEP_TYPE(p.s5_a << 2 | ACPI_SLEEP_ENABLE), ACPI_SLEEP_S5);
	assert_int_equal(p.pm1a | p.pm1b | p.pm_timer | p.reset_port, 0);
}

/* ACPICA's disassembler has nothing to complain about. */
static void iasl_takes_them(void **state)
{
	static const char *const names[] = {"APIC", "FACP"};
	char folder[] = "/tmp/acpi-XXXXXX", command[200];

	(void)state;
	if (system("command -v iasl >/dev/null 2>&1"))
		skip();
	make(8);
	assert_non_null(mkdtemp(folder));
	for (unsigned i = 0; i < 3; i++) {
		struct acpi_table t = {0};
		char path[64];
		uint32_t bytes;
		FILE *f;

		if (i < 2) {
			t = acpi_find(&tables, names[i]);
		} else {
			memcpy(&t.bytes, page + 0x244, 4);
			t.data = page + 0x240; /* the DSDT */
		}
		bytes = t.bytes;
		snprintf(path, sizeof(path), "%s/t%u.dat", folder, i);
		f = fopen(path, "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(t.data, 1, bytes, f), bytes);
		fclose(f);
		snprintf(command, sizeof(command),
		         "iasl -d %s >%s/log 2>&1 && ! grep -iE "
		         "'error|warning|invalid|checksum.*should' "
		         "%s/log",
		         path, folder, folder);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_local_apic_for_each_vcpu),
	    cmocka_unit_test(the_fadt),
	    cmocka_unit_test(soft_off),
	    cmocka_unit_test(iasl_takes_them),
	};

	return cmocka_run_group_tests_name("acpi_tables", tests, NULL, NULL);
}
