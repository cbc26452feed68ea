/* SPDX-License-Identifier: MIT */
/* The PVH start info (Xen public/arch-x86/hvm/start_info.h), honest and lying. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/boot_found.h"

/* A physical memory of 4 KiB that begins at 0x1000. */
#define MEMORY_BASE 0x1000u
static uint64_t memory[512];
static struct boot_found found;

static const void *peek(uint64_t phys, uint64_t bytes)
{
	if (phys < MEMORY_BASE || bytes > sizeof(memory) ||
	    phys - MEMORY_BASE > sizeof(memory) - bytes)
		return NULL;
	return (const uint8_t *)memory + (phys - MEMORY_BASE);
}

/* start info at 0x1000, map at 0x1100, modules at 0x1200, strings at 0x1300 */
static int setup(void **state)
{
	uint8_t *m = (uint8_t *)memory;

	(void)state;
	memset(memory, 0, sizeof(memory));
	memcpy(m, &(uint32_t[4]){PVH_MAGIC, 1, 0, 1}, 16);
	memcpy(m + 16, &(uint64_t[4]){0x1200, 0x1300, 0xf5000, 0x1100}, 32);
	memcpy(m + 48, &(uint32_t){1}, 4);
	memcpy(m + 0x100, &(uint64_t[3]){0x100000, 0x200000, 1}, 24);
	memcpy(m + 0x200, &(uint64_t[4]){0x400000, 77, 0x1310, 0}, 32);
	strcpy((char *)m + 0x300, "maxcpus=1");
	strcpy((char *)m + 0x310, "bundle");
	return 0;
}

/* Everything is found. */
static void test_honest(void **state)
{
	(void)state;
	assert_null(pvh_parse(&found, 0x1000, peek));
	assert_string_equal(found.info.cmdline, "maxcpus=1");
	assert_int_equal(found.rsdp_phys, 0xf5000);
	assert_int_equal(found.info.nr_modules, 1);
	assert_int_equal(found.module_phys[0], 0x400000);
	assert_int_equal(found.info.modules[0].bytes, 77);
	assert_string_equal(found.info.modules[0].cmdline, "bundle");
	assert_int_equal(found.info.ranges[0].bytes, 0x200000);
}

/* Not readable, a wrong magic number, version 0: a sentence. */
static void test_refused(void **state)
{
	(void)state;
	assert_non_null(pvh_parse(&found, 0x10, peek));
	assert_non_null(pvh_parse(&found, UINT64_MAX - 8, peek));
	((uint32_t *)memory)[1] = 0;
	assert_non_null(pvh_parse(&found, 0x1000, peek));
	((uint32_t *)memory)[0]++;
	assert_non_null(pvh_parse(&found, 0x1000, peek));
}

/* Lists that lead out of memory end there. */
static void test_wild_pointers(void **state)
{
	(void)state;
	memory[2] = UINT64_MAX - 3; /* modules */
	memory[3] = 0x1ffc;         /* command line: the last four bytes, no NUL */
	memset((uint8_t *)memory + 0xffc, 'x', 4);
	((uint32_t *)memory)[12] = UINT32_MAX; /* entries of the memory map */
	assert_null(pvh_parse(&found, 0x1000, peek));
	assert_string_equal(found.info.cmdline, "xxxx");
	assert_int_equal(found.info.nr_modules, 0);
	assert_int_equal(found.dropped_modules, 1);
}

/* A count of modules that nobody could have loaded. */
static void test_many_modules(void **state)
{
	(void)state;
	((uint32_t *)memory)[3] = UINT32_MAX;
	assert_null(pvh_parse(&found, 0x1000, peek));
	assert_int_equal(found.info.nr_modules, BOOT_MAX_MODULES);
	assert_int_equal(found.dropped_modules, UINT32_MAX - BOOT_MAX_MODULES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_honest, setup),
	    cmocka_unit_test_setup(test_refused, setup),
	    cmocka_unit_test_setup(test_wild_pointers, setup),
	    cmocka_unit_test_setup(test_many_modules, setup),
	};

	return cmocka_run_group_tests_name("pvh_boot", tests, NULL, NULL);
}
