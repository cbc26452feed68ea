/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/hvm_event.h"

static struct hvm_event exception(uint8_t vector)
{
	return (struct hvm_event){EVENT_EXCEPTION, vector, hvm_event_pushes_error(vector), 0x18};
}

static enum event_merge merge(uint8_t first, uint8_t second)
{
	struct hvm_event a = exception(first), b = exception(second), out = {0};

	return hvm_event_merge(&a, &b, &out);
}

/* SDM vol. 3, table 6-5, row by row: benign, contributory, page fault, double fault. */
static void table_6_5(void **state)
{
	const uint8_t of_class[4] = {1, 13, 14, 8};
	static const enum event_merge want[4][3] = {
	    {EVENT_SECOND, EVENT_SECOND,       EVENT_SECOND      },
	    {EVENT_SECOND, EVENT_DOUBLE_FAULT, EVENT_SECOND      },
	    {EVENT_SECOND, EVENT_DOUBLE_FAULT, EVENT_DOUBLE_FAULT},
	    {EVENT_SECOND, EVENT_TRIPLE_FAULT, EVENT_TRIPLE_FAULT},
	};

	(void)state;
	for (unsigned a = 0; a < 4; a++)
		for (unsigned b = 0; b < 3; b++)
			assert_int_equal(merge(of_class[a], of_class[b]), want[a][b]);
}

/* SDM vol. 3, table 6-4: the contributory exceptions are #DE #TS #NP #SS #GP (and #CP). */
static void contributory_are_these(void **state)
{
	(void)state;
	for (uint8_t v = 0; v < 32; v++) {
		bool contributory = v == 0 || (v >= 10 && v <= 13) || v == 21;

		if (v == 8 || v == 14 || v == 20)
			continue;
		assert_int_equal(merge(13, v), contributory ? EVENT_DOUBLE_FAULT : EVENT_SECOND);
	}
}

/* With nothing under delivery, or an interrupt, the exception itself is delivered unchanged. */
static void nothing_or_interrupt_first(void **state)
{
	struct hvm_event gp = exception(13), out = {0};
	struct hvm_event irq = {EVENT_INTERRUPT, 14, false, 0};

	(void)state;
	assert_int_equal(hvm_event_merge(NULL, &gp, &out), EVENT_SECOND);
	assert_int_equal(out.vector, 13);
	assert_int_equal(out.error, 0x18);
	assert_int_equal(hvm_event_merge(&irq, &gp, &out), EVENT_SECOND);
	assert_int_equal(out.vector, 13);
}

/* A double fault has an error code, and it is 0. */
static void double_fault_error_is_zero(void **state)
{
	struct hvm_event a = exception(13), b = exception(11), out = {0};

	(void)state;
	assert_int_equal(hvm_event_merge(&a, &b, &out), EVENT_DOUBLE_FAULT);
	assert_int_equal(out.type, EVENT_EXCEPTION);
	assert_int_equal(out.vector, 8);
	assert_true(out.has_error);
	assert_int_equal(out.error, 0);
}

/* A #DB or #AC raised while one is delivered is delivered next: it is benign, never #DF. */
static void debug_loop_stays_benign(void **state)
{
	(void)state;
	assert_int_equal(merge(1, 1), EVENT_SECOND);
	assert_int_equal(merge(17, 17), EVENT_SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_6_5),
	    cmocka_unit_test(contributory_are_these),
	    cmocka_unit_test(nothing_or_interrupt_first),
	    cmocka_unit_test(double_fault_error_is_zero),
	    cmocka_unit_test(debug_loop_stays_benign),
	};

	return cmocka_run_group_tests_name("hvm_event", tests, NULL, NULL);
}
