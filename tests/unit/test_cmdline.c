/* SPDX-License-Identifier: MIT */
/* The hypervisor's command line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/cmdline.h"

static char complaints[1000];

static void complain(const char *sentence)
{
	strncat(complaints, sentence, sizeof(complaints) - strlen(complaints) - 2);
	strcat(complaints, "\n");
}

static const char *check(const char *line)
{
	complaints[0] = 0;
	cmdline_set(line);
	cmdline_check(complain);
	return complaints;
}

/* Values are found by their whole key; the last one counts; quotes hold spaces together. */
static void test_get(void **state)
{
	char v[16];

	(void)state;
	cmdline_set("  com1=0x2f8,9600\tcom1=115200,8n1 com=1 noreboot scan.key=\"a b=c\" ");
	assert_true(cmdline_get("com1", v, sizeof(v)));
	assert_string_equal(v, "115200,8n1");
	assert_true(cmdline_get("noreboot", v, sizeof(v)));
	assert_string_equal(v, "");
	assert_true(cmdline_get("scan.key", v, sizeof(v)));
	assert_string_equal(v, "a b=c");
	assert_false(cmdline_get("reboot", v, sizeof(v)));
	assert_false(cmdline_get("a", v, sizeof(v)));
	assert_true(cmdline_get("com1", v, 4)); /* cut to fit */
	assert_string_equal(v, "115");
}

static void test_bool(void **state)
{
	(void)state;
	cmdline_set("noreboot smt=off scan.a=1 scan.b=perhaps");
	assert_true(cmdline_bool("noreboot", false));
	assert_false(cmdline_bool("smt", true));
	assert_true(cmdline_bool("scan.a", false));
	assert_true(cmdline_bool("scan.b", true));
	assert_false(cmdline_bool("scan.b", false));
	assert_true(cmdline_bool("scan.c", true));
}

/* Decimal and hexadecimal; what is no number, or does not fit, gives the default. */
static void test_number(void **state)
{
	(void)state;
	cmdline_set(
	    "maxcpus=12 a=0x1F b=99999999999999999999 c=12x d= e=-1 f=18446744073709551615");
	assert_int_equal(cmdline_number("maxcpus", 1), 12);
	assert_int_equal(cmdline_number("a", 1), 31);
	assert_int_equal(cmdline_number("b", 1), 1);
	assert_int_equal(cmdline_number("c", 1), 1);
	assert_int_equal(cmdline_number("d", 1), 1);
	assert_int_equal(cmdline_number("e", 1), 1);
	assert_true(cmdline_number("f", 1) == UINT64_MAX);
	assert_int_equal(cmdline_number("nothing", 7), 7);
}

/* Pages or per cent, never more than there is. */
static void test_share(void **state)
{
	(void)state;
	cmdline_set("a=10 b=5% c=1000% d=5000 e=% f=x%");
	assert_int_equal(cmdline_share("a", 1000, 1), 10);
	assert_int_equal(cmdline_share("b", 1010, 1), 50);
	assert_int_equal(cmdline_share("c", 1000, 1), 1000);
	assert_int_equal(cmdline_share("d", 1000, 1), 1000);
	assert_int_equal(cmdline_share("e", 1000, 1), 1);
	assert_int_equal(cmdline_share("f", 1000, 1), 1);
	assert_true(cmdline_share("c", UINT64_MAX, 1) == UINT64_MAX);
}

/* Unknown keys, bad numbers, switches that are neither on nor off, and a line that is too long are
 * each told once. */
static void test_check(void **state)
{
	char longer[CMDLINE_MAX + 100];

	(void)state;
	assert_string_equal(check("console=com1 com1=115200 loglvl=all noreboot maxcpus=2 smt=0 "
	                          "scan.on=0 scan.policy=plain scan.pages=128 reserve=2%"),
	                    "");
	assert_string_equal(check("colour=red"), "command line: colour is not known\n");
	assert_string_equal(check("scan.rate=5"), "command line: scan.rate is not known\n");
	assert_string_equal(check("scan.on=x"), "command line: scan.on is neither on nor off\n");
	assert_string_equal(check("maxcpus=two"), "command line: maxcpus is not a number\n");
	memset(longer, ' ', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_string_equal(check(longer), "the command line is too long: its end is not used\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_get),    cmocka_unit_test(test_bool),
	    cmocka_unit_test(test_number), cmocka_unit_test(test_share),
	    cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
