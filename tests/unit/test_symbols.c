/* SPDX-License-Identifier: MIT */
/* Names for addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/symbols.h"

static const uint32_t addresses[] = {0x10, 0x20, 0x50};
static const uint32_t names[] = {0, 2, 4};
static const struct symbol_table table = {.base = 0xffffffff80100000,
                                          .count = 3,
                                          .address = addresses,
                                          .name = names,
                                          .names = "a\0b\0c"};

/* The function that begins at or before the address, and how far before. */
static void test_find(void **state)
{
	uint64_t offset = 0;

	(void)state;
	assert_string_equal(symbol_find(&table, table.base + 0x10, &offset), "a");
	assert_int_equal(offset, 0);
	assert_string_equal(symbol_find(&table, table.base + 0x1f, &offset), "a");
	assert_int_equal(offset, 15);
	assert_string_equal(symbol_find(&table, table.base + 0x20, &offset), "b");
	assert_string_equal(symbol_find(&table, table.base + 0x51, &offset), "c");
	assert_int_equal(offset, 1);
}

/* Before the first function, far behind the last, and with no table: no name. */
static void test_none(void **state)
{
	const struct symbol_table empty = {.base = 0};
	uint64_t offset;

	(void)state;
	assert_null(symbol_find(&table, table.base + 0xf, &offset));
	assert_null(symbol_find(&table, 0x10, &offset));
	assert_null(symbol_find(&table, UINT64_MAX, &offset));
	assert_null(symbol_find(&empty, 0x10, &offset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests_name("symbols", tests, NULL, NULL);
}
