/* SPDX-License-Identifier: MIT */
/* text_format gives what C's snprintf gives, for the conversions that it has. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "kernel/log.h"

#define SAME(...)                                                                                  \
	do {                                                                                       \
		char want[256], got[256];                                                          \
		int n = snprintf(want, sizeof(want), __VA_ARGS__);                                 \
		assert_int_equal(text_format(got, sizeof(got), __VA_ARGS__), n);                   \
		assert_string_equal(got, want);                                                    \
	} while (0)

static void numbers_are_as_libc_prints_them(void **state)
{
	(void)state;
	SAME("%d %i %u", 0, -1, 1u);
	SAME("%d %d %u", INT_MIN, INT_MAX, UINT_MAX);
	SAME("%ld %lld %lu %llu", LONG_MIN, LLONG_MAX, ULONG_MAX, ULLONG_MAX);
	SAME("%zu %zd", SIZE_MAX, (ssize_t)-5);
	SAME("%x %X %#x %#x %lx", 0xbeefu, 0xbeefu, 0xbeefu, 0u, ULONG_MAX);
	SAME("%hhu %hu %hhd", 511, 65537, 255);
	SAME("%p", (void *)&state);
}

static void widths_and_flags(void **state)
{
	(void)state;
	SAME("[%5d] [%-5d] [%05d] [%+d] [% d]", 42, 42, 42, 42, 42);
	SAME("[%5d] [%-5d] [%05d] [%+d]", -42, -42, -42, -42);
	SAME("[%016lx] [%#010x]", 0xabcUL, 0x12u);
	SAME("[%.3d] [%8.3d] [%-8.3d]", 7, 7, 7);
	SAME("[%*d] [%-*d] [%*d]", 6, 1, 6, 2, -6, 3);
	SAME("[%1d]", 123456);
}

static void strings_and_characters(void **state)
{
	static const char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	SAME("%s|%10s|%-10s|%.2s|%10.2s|%c|%%|%3c", "abc", "abc", "abc", "abc", "abc", 'x', 'y');
	SAME("%.*s", 3, unterminated); /* reads no further than the precision */
	SAME("%s", "");
}

/* The result always ends in NUL and its length says what was needed, so that a caller can tell. */
static void short_buffers_are_cut(void **state)
{
	char buffer[8] = "XXXXXXX";

	(void)state;
	assert_int_equal(text_format(buffer, 4, "%s", "abcdef"), 6);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], 'X');
	assert_int_equal(text_format(buffer, 1, "%d", 12345), 5);
	assert_string_equal(buffer, "");
	buffer[0] = 'Q';
	assert_int_equal(text_format(buffer, 0, "%d", 12345), 5);
	assert_int_equal(buffer[0], 'Q');
}

static void nulls_do_no_harm(void **state)
{
	char buffer[16];
	const char *volatile nothing = NULL;
	const char *lone = "x%";

	(void)state;
	text_format(buffer, sizeof(buffer), "%s", nothing);
	assert_string_equal(buffer, "(null)");
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	text_format(buffer, sizeof(buffer), lone);
	assert_string_equal(buffer, "x");
}

static void distances(void **state)
{
	(void)state;
	assert_int_equal(text_distance("list", "list"), 0);
	assert_int_equal(text_distance("lits", "list"), 2);
	assert_int_equal(text_distance("lst", "list"), 1);
	assert_int_equal(text_distance("liist", "list"), 1);
	assert_int_equal(text_distance("mist", "list"), 1);
	assert_int_equal(text_distance("", "list"), 4);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	assert_int_equal(text_distance("a", "bbbbbbbbbbbbbbbbbbbbbbbbb"), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_as_libc_prints_them),
	    cmocka_unit_test(widths_and_flags),
	    cmocka_unit_test(strings_and_characters),
	    cmocka_unit_test(short_buffers_are_cut),
	    cmocka_unit_test(nulls_do_no_harm),
	    cmocka_unit_test(distances),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
