/* SPDX-License-Identifier: MIT */
/* The monitor makes domains: a step a turn, until one is whole, cannot be made, or Ctrl-C is typed. */
#include "tests/unit/monitor_session.h"

static void making_domains(void **state)
{
	(void)state;
	type("create name=x kernel=hello.elf memory=32 extra='a b' paused=1\r");
	assert_heard("domain 9 is \"x\"");
	assert_heard("status=0");
	assert_string_equal(created.extra, "a b");
	type("create name=y kernel=hello.elf memory=32 count=2\r");
	assert_heard("domain 9 is \"y-1\"");
	assert_heard("domain 9 is \"y-2\"");
}

static void refusing(void **state)
{
	(void)state;
	create_fails = "there is no such file";
	type("create name=z kernel=none memory=32\r");
	assert_heard("There are these files: hello.elf\n");
	assert_heard("create: domain \"z\" was not made: there is no such file\n");
	refused = "no AMD-V";
	type("create name=z kernel=hello.elf memory=32\r");
	assert_heard("create: no guest can run here: no AMD-V\n");
}

/* One step a turn: between two of them the machine goes on. */
static void a_step_a_turn(void **state)
{
	(void)state;
	create_steps = 30;
	type("create name=v kernel=hello.elf memory=32\r");
	assert_not_heard("@quire done");
	turns(15);
	assert_heard("domain 9 is \"v\"\n");
	assert_heard("@quire done status=0 command=create\n");
	create_steps = 1;
}

/* Ctrl-C gives up what is half made, once; what was made before stays. */
static void given_up(void **state)
{
	(void)state;
	create_steps = 15;
	create_cancelled = 0;
	type("create name=w kernel=hello.elf memory=32 count=3\r");
	assert_heard("domain 9 is \"w-1\"\n");
	assert_int_equal(create_cancelled, 0);
	type("\003");
	assert_heard("domain \"w-2\" was not made\n");
	assert_heard("@quire done status=130 command=create\n");
	assert_true(create_cancelled > 0 && create_cancelled < 15);
	assert_true(domains[9].used);
	create_steps = 1;
	type("\003");
	type("list\r\003");
	assert_not_heard("was not made");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(making_domains, fresh),
	    cmocka_unit_test_setup(refusing, fresh),
	    cmocka_unit_test_setup(a_step_a_turn, fresh),
	    cmocka_unit_test_setup(given_up, fresh),
	};

	return cmocka_run_group_tests_name("monitor_create", tests, NULL, NULL);
}
