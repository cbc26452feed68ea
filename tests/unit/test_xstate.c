/* SPDX-License-Identifier: MIT */
/* Which saved x87 states are initial ones: every byte counts, and none of SSE's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86_64/xstate.h"

static bool is_x87(unsigned byte)
{
	return byte < MXCSR_OFFSET || (byte >= ST0_OFFSET && byte < XMM0_OFFSET);
}

static void test_x87_initial(void **state)
{
	static uint8_t area[FXSAVE_BYTES] = {[FCW_OFFSET] = 0x7f, [FCW_OFFSET + 1] = 0x03};

	(void)state;
	assert_true(xstate_x87_initial(area));
	for (unsigned i = 0; i < FXSAVE_BYTES; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			area[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(xstate_x87_initial(area), !is_x87(i));
			area[i] ^= (uint8_t)(1u << bit);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_x87_initial)};

	return cmocka_run_group_tests_name("xstate", tests, NULL, NULL);
}
