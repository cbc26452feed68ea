/* SPDX-License-Identifier: MIT */
/* One object a line, schema first, any string escaped, never a broken object. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/json.h"

static void all_kinds_of_values(void **state)
{
	struct json j;

	(void)state;
	json_begin(&j);
	json_number(&j, "n", UINT64_MAX);
	json_milli(&j, "s", 12034);
	json_milli(&j, "t", 7);
	json_string(&j, "name", "a\"b\\c\n\x7f\xff");
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	assert_string_equal(json_end(&j),
	                    "{\"schema\":1,\"n\":18446744073709551615,\"s\":12.034,"
	                    "\"t\":0.007,\"name\":\"a\\\"b\\\\c\\u000a\\u007f\\u00ff\","
	                    "\"yes\":true,\"no\":false}");
}

static void an_empty_object_has_its_schema(void **state)
{
	struct json j;

	(void)state;
	json_begin(&j);
	assert_string_equal(json_end(&j), "{\"schema\":1}");
}

/* An object that does not fit is replaced as a whole: tools never see half of one. */
static void too_long_is_an_error_object(void **state)
{
	struct json j;

	(void)state;
	json_begin(&j);
	for (unsigned i = 0; i < 200; i++)
		json_number(&j, "a_long_name", i);
	assert_string_equal(json_end(&j),
	                    "{\"schema\":1,\"error\":\"the object does not fit into a line\"}");
	json_begin(&j);
	assert_string_equal(json_end(&j), "{\"schema\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_kinds_of_values),
	    cmocka_unit_test(an_empty_object_has_its_schema),
	    cmocka_unit_test(too_long_is_an_error_object),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
