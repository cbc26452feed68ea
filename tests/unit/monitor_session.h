/* SPDX-License-Identifier: MIT */
/* A session with the monitor in the world of monitor_world.h: type, and look at what it said. */
#ifndef TESTS_UNIT_MONITOR_SESSION_H
#define TESTS_UNIT_MONITOR_SESSION_H

#include "tests/unit/monitor_world.h"

/* The monitor is one, so a test starts by dropping what the last one left. */
static int fresh(void **state)
{
	(void)state;
	memset(domains, 0, sizeof(domains));
	new_domain(1, "web");
	new_domain(2, "db");
	refused = create_fails = NULL;
	audit = (struct audit_report){.checks = 10};
	scan_is_on = true;
	typing = "\x03\x15";
	monitor_poll();
	monitor_poll();
	heard_bytes = 0;
	heard[0] = '\0';
	return 0;
}

static void turns(unsigned n)
{
	while (n--) {
		monitor_poll();
		now_ns += 10000000;
	}
}

static void type(const char *keys)
{
	typing = keys;
	heard_bytes = 0;
	heard[0] = '\0';
	turns(20);
}

static void assert_heard(const char *words)
{
	if (!strstr(heard, words))
		fail_msg("`%s` is not in:\n%s", words, heard);
}

static void assert_not_heard(const char *words)
{
	if (strstr(heard, words))
		fail_msg("`%s` is in:\n%s", words, heard);
}

#endif
