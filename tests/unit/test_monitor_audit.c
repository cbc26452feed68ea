/* SPDX-License-Identifier: MIT */
/* The monitor's verb `audit`: one, or many with the guests running in between. */
#include "tests/unit/monitor_session.h"

static void the_audit(void **state)
{
	(void)state;
	type("audit\r");
	assert_heard(
	    "audit: 10 checks, 0 failures\n@quire audit checks=10 failures=0 audits=1 changed=0\n"
	    "@quire done status=0 command=audit\n");
	assert_not_heard("audits; at");
	audit.failures = 2;
	strcpy(audit.first, "a sentence");
	type("audit\r");
	assert_heard("audit: the first: a sentence\n");
	assert_heard("@quire done status=1 command=audit\n");
	type("audit --json\r");
	assert_heard("{\"schema\":1,\"checks\":10,\"failures\":2,\"first\":\"a sentence\",");
	type("audit few\r");
	assert_heard("audit: the number of audits must be a number, not `few`\n");
}

/* Many audits, with the guests running in between; the first that finds something is the last. */
static void many_audits(void **state)
{
	(void)state;
	audit_saves = 1;
	type("audit 4\r");
	assert_heard(
	    "audit: 40 checks, 0 failures\naudit: that was 4 audits; at 3 of them another ");
	assert_heard("@quire audit checks=40 failures=0 audits=4 changed=3\n@quire done status=0 ");
	type("audit 4 --json\r");
	assert_heard("\"audits\":4,\"saved\":8,\"changed\":3}\n");
	audit_saves = 0;
	type("audit 4\r");
	assert_heard("@quire audit checks=40 failures=0 audits=4 changed=0\n");
	audit.failures = 1;
	type("audit 4\r");
	assert_heard("@quire audit checks=10 failures=1 audits=1 changed=0\n@quire done status=1 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(the_audit, fresh),
	    cmocka_unit_test_setup(many_audits, fresh),
	};

	return cmocka_run_group_tests_name("monitor_audit", tests, NULL, NULL);
}
