/* SPDX-License-Identifier: MIT */
/* ACPI tables and the MADT, honest and lying (ACPI 6.5, 5.2). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/madt.h"

#define RSDP 0x000
#define XSDT 0x100
#define MADT 0x200
#define FADT 0x300
#define DSDT 0x400

/* Physical memory of 2 KiB at 0. Address 0 itself is no table. */
static uint8_t memory[0x800];

static const void *peek(uint64_t phys, uint64_t bytes)
{
	if (phys > sizeof(memory) || bytes > sizeof(memory) - phys)
		return NULL;
	return memory + phys;
}

static void checksum(unsigned at, unsigned bytes, unsigned field)
{
	uint8_t sum = 0;

	memory[at + field] = 0;
	for (unsigned i = 0; i < bytes; i++)
		sum += memory[at + i];
	memory[at + field] = (uint8_t)-sum;
}

static void table(unsigned at, const char *signature, uint32_t bytes)
{
	memcpy(memory + at, signature, 4);
	memcpy(memory + at + 4, &bytes, 4);
	checksum(at, bytes, 9);
}

static void set32(unsigned at, uint32_t v)
{
	memcpy(memory + at, &v, 4);
}

static int setup(void **state)
{
	static const uint8_t s5[] = {'_',  'S',  '5',  '_',  0x12, 0x06, 0x04,
	                             0x0a, 0x05, 0x0a, 0x07, 0,    0};

	(void)state;
	memset(memory, 0, sizeof(memory));
	memcpy(memory + RSDP, "RSD PTR ", 8);
	memory[15] = 2;
	set32(20, 36);
	set32(24, XSDT);
	checksum(RSDP, 20, 8);
	checksum(RSDP, 36, 32);
	set32(XSDT + 36, MADT);
	set32(XSDT + 44, FADT);
	table(XSDT, "XSDT", 52);
	/* two CPUs as LAPIC, one of them again as x2APIC, one disabled, an I/O APIC */
	memcpy(memory + MADT + 44, (uint8_t[]){0, 8, 0, 0, 1, 0, 0, 0}, 8);
	memcpy(memory + MADT + 52, (uint8_t[]){0, 8, 1, 3, 1, 0, 0, 0}, 8);
	memcpy(memory + MADT + 60, (uint8_t[]){0, 8, 2, 5, 0, 0, 0, 0}, 8);
	memcpy(memory + MADT + 68, (uint8_t[]){9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
	       16);
	memcpy(memory + MADT + 84, (uint8_t[]){9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
	       16);
	memcpy(memory + MADT + 100, (uint8_t[]){1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0}, 12);
	table(MADT, "APIC", 112);
	set32(FADT + 40, DSDT);
	set32(FADT + 64, 0xb004);
	set32(FADT + 76, 0xb008);
	memory[FADT + 91] = 4;
	table(FADT, "FACP", 116);
	memcpy(memory + DSDT + 40, s5, sizeof(s5));
	table(DSDT, "DSDT", 64);
	return 0;
}

/* From RSDP to every table; CPUs are counted once, disabled ones not at all. */
static void test_honest(void **state)
{
	struct acpi a;
	struct acpi_table t;
	struct madt m;

	(void)state;
	assert_true(acpi_init(&a, memory, 36, peek));
	t = acpi_find(&a, "APIC");
	assert_non_null(t.data);
	assert_null(madt_parse(&m, t.data, t.bytes));
	assert_int_equal(m.nr_cpus, 3);
	assert_int_equal(m.apic_id[1], 3);
	assert_int_equal(m.apic_id[2], 256);
	assert_int_equal(m.nr_ioapics, 1);
	assert_int_equal(m.ioapic[0], 0xfec00000);
	assert_null(acpi_find(&a, "DMAR").data);
}

/* FADT and the AML package of S5. */
static void test_power(void **state)
{
	struct acpi a;
	struct acpi_power p;

	(void)state;
	assert_true(acpi_init(&a, memory, 36, peek));
	acpi_power_find(&a, &p);
	assert_int_equal(p.pm1a, 0xb004);
	assert_int_equal(p.pm_timer, 0xb008);
	assert_true(p.has_s5);
	assert_int_equal(p.s5_a, 5);
	assert_int_equal(p.s5_b, 7);
	assert_int_equal(p.reset_port, 0);
}

/* One changed byte anywhere in RSDP, root or table: that one is not used. */
static void test_checksums(void **state)
{
	struct acpi a;

	(void)state;
	memory[RSDP + 10]++;
	assert_false(acpi_init(&a, memory, 36, peek));
	setup(NULL);
	memory[RSDP + 33]++;
	assert_false(acpi_init(&a, memory, 36, peek));
	setup(NULL);
	memory[XSDT + 20]++;
	assert_false(acpi_init(&a, memory, 36, peek));
	setup(NULL);
	memory[MADT + 20]++;
	assert_true(acpi_init(&a, memory, 36, peek));
	assert_null(acpi_find(&a, "APIC").data);
	assert_non_null(acpi_find(&a, "FACP").data);
}

/* Lengths that are too small, larger than memory, or huge; pointers to nowhere. */
static void test_lengths(void **state)
{
	static const uint32_t lies[] = {0, 35, sizeof(memory), 0x7fffffff, UINT32_MAX};
	struct acpi a;

	(void)state;
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		set32(MADT + 4, lies[i]);
		assert_true(acpi_init(&a, memory, 36, peek));
		assert_null(acpi_find(&a, "APIC").data);
	}
	set32(XSDT + 36, UINT32_MAX - 3);
	checksum(XSDT, 52, 9);
	assert_true(acpi_init(&a, memory, 36, peek));
	assert_null(acpi_find(&a, "APIC").data);
}

/* The search finds an RSDP on a 16-byte boundary only, and only a whole one. */
static void test_scan(void **state)
{
	uint8_t area[64] = {0};

	(void)state;
	memcpy(area + 16, memory, 36);
	assert_ptr_equal(acpi_scan(area, sizeof(area)), area + 16);
	assert_null(acpi_scan(area, 16 + 35)); /* revision 2 has 36 bytes */
	memmove(area + 17, area + 16, 36);
	assert_null(acpi_scan(area, sizeof(area)));
}

/* An MADT entry of length 0, 1 or past the end ends the walk with a sentence. */
static void test_madt_entries(void **state)
{
	static const uint8_t lies[] = {0, 1, 9, 255};
	struct madt m;

	(void)state;
	for (unsigned i = 0; i < sizeof(lies); i++) {
		uint8_t *t = malloc(52);

		assert_non_null(t);
		memset(t, 0, 52);
		t[45] = lies[i];
		assert_non_null(madt_parse(&m, t, 52));
		free(t);
	}
	assert_non_null(madt_parse(&m, memory + MADT, 43));
}

/* Entries of the right kind but too short for their fields are passed over. */
static void test_madt_short(void **state)
{
	uint8_t *t = malloc(46);
	struct madt m;

	(void)state;
	assert_non_null(t);
	memset(t, 0, 46);
	t[45] = 2;
	for (unsigned type = 0; type < 16; type++) {
		t[44] = (uint8_t)type;
		assert_null(madt_parse(&m, t, 46));
		assert_int_equal(m.nr_cpus, 0);
		assert_int_equal(m.nr_ioapics, 0);
	}
	free(t);
}

/* More CPUs than we keep are counted as dropped. */
static void test_madt_many(void **state)
{
	size_t bytes = 44 + 16 * (MADT_MAX_CPUS + 5);
	uint8_t *t = calloc(1, bytes);
	struct madt m;

	(void)state;
	assert_non_null(t);
	for (uint32_t i = 0; i < MADT_MAX_CPUS + 5; i++) {
		uint8_t *e = t + 44 + 16 * i;

		e[0] = 9;
		e[1] = 16;
		memcpy(e + 4, &i, 4);
		e[8] = 1;
	}
	assert_null(madt_parse(&m, t, bytes));
	assert_int_equal(m.nr_cpus, MADT_MAX_CPUS);
	assert_int_equal(m.dropped, 5);
	free(t);
}

/* AML that ends in the middle of the package. */
static void test_cut_aml(void **state)
{
	(void)state;
	for (uint32_t n = 36; n <= 54; n++) {
		struct acpi a;
		struct acpi_power p;

		setup(NULL);
		table(DSDT, "DSDT", n);
		assert_true(acpi_init(&a, memory, 36, peek));
		acpi_power_find(&a, &p);
		assert_true(!p.has_s5 || p.s5_a == 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_honest, setup),
	    cmocka_unit_test_setup(test_power, setup),
	    cmocka_unit_test_setup(test_checksums, setup),
	    cmocka_unit_test_setup(test_lengths, setup),
	    cmocka_unit_test_setup(test_scan, setup),
	    cmocka_unit_test_setup(test_madt_entries, setup),
	    cmocka_unit_test_setup(test_madt_short, setup),
	    cmocka_unit_test_setup(test_madt_many, setup),
	    cmocka_unit_test_setup(test_cut_aml, setup),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
