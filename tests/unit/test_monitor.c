/* SPDX-License-Identifier: MIT */
/*
 * The monitor against a machine and domains that are made up here: what is
 * typed, what is shown, and the line that ends each command.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/monitor_session.h"

/* Typed text is echoed behind the prompt, the command answers, one tagged line ends it, and
 * the prompt is back. */
static void a_command_from_end_to_end(void **state)
{
	(void)state;
	type("pause web\r");
	assert_string_equal(heard, "pause web\n@quire done status=0 command=pause\nquire> ");
	assert_true(domains[1].paused);
	type("unpause 1\r");
	assert_false(domains[1].paused);
	type("\r");
	assert_string_equal(heard, "\nquire> ");
}

static void mistakes_are_explained(void **state)
{
	static const char *const rows[][2] = {
	    {"lits\r",	                     "There is no command `lits`; did you mean `list`?\n@quire done status=1 "
	               "command=lits\n"	                                               },
	    {"xyzzy\r",	                    "There is no command `xyzzy`; `help` lists them.\n"              },
	    {"he\r",	                       "did you mean `help`?"	                                   },
	    {"pause\r",
	     "usage: pause DOMAIN\n   eg: pause fill\n@quire done status=1 command=pause\n"                         },
	    {"pause a b\r",                        "usage: pause DOMAIN\n"                                          },
	    {"pause nobody\r",                     "pause: there is no domain `nobody`; there are web (1), db (2)\n"},
	    {"mem-set web 999999\r",
	     "mem-set: web may have 16 MiB (its guaranteed `min`) to 128 MiB (its "
	     "`maxmem`), so not 999999; it has 64 now\n"	                                                    },
	    {"mem-set web 15\r",                   "so not 15"	                                              },
	    {"mem-set web 99999999999999999999\r", "must be a number"                                               },
	    {"mem-set web 4294967296\r",
	     "must be a number of at most 4294967295, not `4294967296`\n"                                           },
	    {"mem-set web \"\"\r",                 "must be a number, not ``\n"                                     },
	    {"mem-set web -1\r",                   "mem-set: the memory in MiB must be a number, not `-1`\n"        },
	    {"mem-max web 129\r",                  "mem-max: web was made with maxmem=128"                          },
	    {"mem-max web 63\r",                   "mem-max: web has 64 MiB now; `mem-set web 63` first\n"          },
	    {"scan perhaps\r",                     "scan: `on`, `off`, `cpu PERCENT`, `policy [NAME]` or `set KNOB "
	                       "VALUE`, not `perhaps`\n"                              },
	    {"shutdown web now\r",                 "shutdown: `now`: only `reboot` may stand there\n"               },
	    {"create name=x\r",                    "create: domain \"x\" has no `kernel`\n"                         },
	    {"create name=x colour=red\r",         "create: there is no key `colour`\n"                             },
	    {"help lits\r",                        "help: there is no command `lits`; did you mean `list`?\n"       },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		type(rows[i][0]);
		assert_heard(rows[i][1]);
		assert_heard("@quire done status=1 command=");
	}
	assert_int_equal(domains[1].target_pages, 0);
}

/* No typed text stands at the begin of a line or in a tagged line, so none can pass for one. */
static void typed_text_forges_nothing(void **state)
{
	(void)state;
	type("\r");
	typing = "@quire done status=0 command=audit\r"; /* behind the prompt */
	turns(20);
	for (char *line = strtok(heard, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, "@quire", 6))
			assert_string_equal(line, "@quire done status=1 command=?quire");
	type("\"x\n@quire panic\"\r");
	assert_not_heard("\n@quire panic");
	type("x\x1b]0;title\x07y\x80\r");
	assert_not_heard("\x07");
}

static void memory_targets(void **state)
{
	(void)state;
	type("mem-set web 100\r");
	assert_heard("status=0");
	assert_int_equal(domains[1].target_pages, 100 * 256);
	type("mem-max web 64\r");
	assert_heard("status=0");
	type("mem-set web 65\r");
	assert_heard("to 64 MiB (its `maxmem`)");
	domains[2].control_port = 0;
	type("mem-set db 16\r");
	assert_heard("db does not listen for a target");
	assert_heard("status=0");
}

static void shutdown_asks(void **state)
{
	(void)state;
	type("shutdown web reboot\r");
	assert_int_equal(domains[1].shutdown_request, QUIRE_SHUTDOWN_REBOOT);
	domains[2].shutdown = SHUTDOWN_CRASH_;
	type("shutdown db\r");
	assert_heard("db has shut down already (crash)");
	assert_heard("status=1");
}

static void reboot_and_sysrq(void **state)
{
	(void)state;
	type("reboot web\r");
	assert_heard("status=0");
	assert_int_equal(domains[1].shutdown_request, QUIRE_SHUTDOWN_REBOOT);
	type("reboot nobody\r");
	assert_heard("there is no domain `nobody`");
	type("sysrq web h\r");
	assert_heard("status=0");
	assert_int_equal(sysrq_pressed, 'h');
	type("sysrq web help\r");
	assert_heard("sysrq: one key, not `help`");
	domains[2].control_port = 0;
	type("sysrq db h\r");
	assert_heard("sysrq: db does not listen for it");
}

/* A guest that does not follow is shown as such, in the line below its own. */
static void list_shows_who_lags(void **state)
{
	(void)state;
	type("mem-set web 32\r");
	type("list\r");
	assert_heard("\n    web is on its way\n");
	type("list --json\r");
	assert_heard("\"lags\":\"is on its way\"");
	assert_heard("\"lags\":\"\"");
}

/* `wait` is not done while the domain runs, and the machine goes on meanwhile. */
static void waiting(void **state)
{
	(void)state;
	type("wait web\r");
	assert_not_heard("done");
	domains[1].shutdown = SHUTDOWN_POWEROFF_;
	turns(1);
	assert_not_heard("done"); /* its end is not told yet */
	domains[1].shutdown_told = true;
	turns(1);
	assert_heard("@quire done status=0 command=wait");
	type("wait all 5\r");
	turns(100);
	assert_not_heard("done");
	now_ns += UINT64_C(5000000000);
	turns(1);
	assert_heard("wait: db still runs\n@quire done status=1 command=wait");
	type("wait db\r");
	domains[2].used = false; /* destroyed meanwhile */
	turns(1);
	assert_heard("@quire done status=0 command=wait");
	type("wait all\r");
	assert_heard("@quire done status=0 command=wait");
}

static void sleeping(void **state)
{
	(void)state;
	type("sleep 1000\r");
	assert_not_heard("done");
	turns(100);
	assert_heard("@quire done status=0 command=sleep");
}

/* Ctrl-C ends what runs; what was typed meanwhile is executed when the prompt is back. */
static void keys_while_a_command_runs(void **state)
{
	(void)state;
	type("sleep 1000\rpause web\r");
	assert_false(domains[1].paused);
	turns(200);
	assert_true(domains[1].paused);
	type("sleep 100000\r");
	type("unpause web\r\x03");
	assert_heard("@quire done status=130 command=sleep");
	turns(10);
	assert_true(domains[1].paused); /* Ctrl-C drops what was typed ahead */
}

static void console_of_one_guest(void **state)
{
	(void)state;
	type("console web\r");
	assert_heard("(d1 web) login: ");
	log_guest(1, "web", "shown");
	log_guest(2, "db", "hidden");
	assert_heard("(d1 web) shown");
	assert_not_heard("hidden");
	assert_not_heard("done");
	/* Keys go to the guest, Ctrl-C as well; its unfinished line is the prompt. */
	typed_to_guest[0] = '\0';
	type("x");
	turns(1);
	type("\x03");
	turns(1);
	assert_string_equal(typed_to_guest, "x\x03");
	assert_not_heard("done");
	type("\x1d");
	assert_heard("@quire done status=0 command=console");
	log_guest(2, "db", "back");
	assert_heard("(d2 db) back");
	type("console web\r");
	domains[1].used = false;
	turns(1);
	assert_heard("The domain is gone.");
}

/* Stretches of guest frames; a constant frame stays one, and a pinned page stands alone. */
static void the_map(void **state)
{
	(void)state;
	type("map db\r");
	assert_heard("\n@quire map domain=2 10+3=510:private 13+1=700:private 15+2=2:zero "
	             "17+1=17:private:pinned 100+1=18:shared:table\n"
	             "@quire done status=0 command=map\n");
}

/* All are held at one instant and stay held until a key; then each is as it was before. */
static void dump_core_of_all(void **state)
{
	(void)state;
	domains[2].paused = true;
	domains[1].nr_vcpus = 1;
	domains[1].vcpus[0] = new_vcpu(&domains[1]);
	type("dump-core all\r");
	assert_heard("@quire core version=1 time_ns=");
	assert_heard(" domains=2\n{\"schema\":1,\"time_ns\":");
	assert_heard("@quire core-domain domain=1 name=web group=0 vcpus=1 memory_pages=16384 ");
	assert_heard("@quire core-vcpu domain=1 vcpu=0 rip=1234 ");
	assert_heard("@quire core-control domain=1 vcpu=0 cr0=80000011 ");
	assert_heard("@quire map domain=1 10+3=510:private ");
	assert_heard("@quire map domain=2 10+3=510:private ");
	assert_heard("@quire core held\n");
	assert_not_heard("@quire done");
	assert_true(domains[1].paused && domains[2].paused && !scan_is_on && compression_held);
	type(" ");
	assert_heard("@quire core end held_ns=");
	assert_heard("@quire done status=0 command=dump-core\n");
	assert_false(domains[1].paused);
	assert_true(domains[2].paused && scan_is_on && !compression_held);
	domains[1].nr_vcpus = 0;
}

/* A part of one; the others run on. What is typed too early does not end it, Ctrl-C does. */
static void dump_core_of_one(void **state)
{
	(void)state;
	scan_is_on = false;
	typing = "dump-core db 18 238\r";
	heard_bytes = 0;
	turns(2);
	typing = "x";
	turns(20);
	assert_heard("@quire core held\n");
	assert_heard("@quire map domain=2 12+1=512:private 13+1=700:private ");
	assert_not_heard("100+1");
	assert_not_heard("domain=1");
	assert_false(domains[1].paused);
	assert_true(domains[2].paused);
	type("\x03");
	assert_heard("@quire done status=130 command=dump-core\n");
	assert_false(domains[2].paused);
	assert_false(scan_is_on);
}

static void dump_core_refuses(void **state)
{
	(void)state;
	type("dump-core nobody\r");
	assert_heard("there is no domain `nobody`; there are web (1), db (2)");
	type("dump-core web 0x10 5\r");
	assert_heard("dump-core: the first guest frame must be a number, not `0x10`");
	domains[1].dying = true;
	type("dump-core web\r");
	assert_heard("dump-core: web is being destroyed: its memory goes");
	memset(domains, 0, sizeof(domains));
	type("dump-core all\r");
	assert_heard("dump-core: there is no domain\n@quire done status=1");
	assert_true(scan_is_on);
}

static void the_table_log(void **state)
{
	(void)state;
	type("table-log\r");
	assert_heard("\n@quire table-log first=5 2:15:c:3:7 2:16:p:3:7 2:17:o:3:7 2:18:b:3:7 ");
	assert_heard(
	    " 2:24:b:3:7\n@quire table-log first=21 2:25:c:3:7 2:26:p:3:7 2:27:o:3:7 2:28:b:3:7\n"
	    "@quire done status=0 command=table-log\n");
	type("table-log 24\r");
	assert_heard("\n@quire table-log first=24 2:28:b:3:7\n@quire done");
	type("table-log 25\r");
	assert_not_heard("first=");
	type("table-log x\r");
	assert_heard("table-log: the first event must be a number, not `x`");
}

static void tables_as_json(void **state)
{
	(void)state;
	type("list --json\r");
	assert_heard("{\"schema\":1,\"domain\":1,\"name\":\"web\",\"memory_pages\":16384,");
	assert_heard("{\"schema\":1,\"domain\":2,");
	type("sharing --json\r");
	assert_heard("\"pages_saved\":7,\"zero\":1,\"ones\":2,\"self\":3,\"inter\":1,");
	assert_heard("\"part_remainder\":0,"); /* 3 pages = 2 x 1.5 */
	assert_heard("\"shared_part\":1.500,");
	type("info --json\r");
	assert_heard("{\"schema\":1,\"cpus\":2,");
}

/* Kinds that did not occur are left out of the table, and are 0 in the object. */
static void why_it_left_guest_mode(void **state)
{
	static struct vcpu v;

	(void)state;
	v.exits[EXIT_CPUID] = 12;
	v.exits_total = 12;
	domains[1].vcpus[0] = &v;
	domains[1].nr_vcpus = 1;
	type("exits web\r");
	assert_heard("cpuid                  12\nall ");
	assert_not_heard("hlt");
	type("exits web --json\r");
	assert_heard("\"name\":\"web\",\"exits\":");
	assert_heard("\"cpuid\":12,\"hlt\":0,");
	type("exits nobody\r");
	assert_heard("status=1");
	type("quota\r");
	assert_heard(" 10/99 ");
	type("quota web --json\r");
	assert_heard("\"domains_most\":255}");
	assert_heard("\"name\":\"web\",\"what\":10,\"what_most\":99,");
}

static void settling_takes_turns(void **state)
{
	(void)state;
	type("settle\r");
	assert_heard("@quire scan settled pages_saved=7 pages_shared=3 full_scans=0 freed=0 ");
	assert_heard(" cycles=15000000\n"); /* three steps, and nothing between them */
	assert_heard("status=0");
	type("scan off\r");
	assert_false(scan_is_on);
}

static void a_trace(void **state)
{
	(void)state;
	type("trace on\r");
	assert_heard("status=0");
	assert_int_equal(tracer_ms, 500);
	type("trace\r");
	assert_heard(
	    "trace: on, to the port of the tests; a tick every 500 ms, 11 so far; 22 records in "
	    "33 bytes, 55 waiting, 44 lost\n");
	type("trace off --json\r");
	assert_false(tracer_active); /* it waits until all is out */
	assert_heard("\"on\":false,\"port\":\"port of the tests\",\"tick_ms\":500,\"ticks\":11,"
	             "\"records\":22,\"bytes\":33,\"waiting\":55,\"lost\":44}");
	type("trace on 250\r");
	assert_int_equal(tracer_ms, 250);
	tracer_active = false;
	type("trace on 7\r");
	assert_heard("trace: not today\n");
	type("trace on soon\r");
	assert_heard("status=1");
	type("trace of\r");
	assert_heard("trace: `on` or `off`, not `of`\n");
}

static void scan_policies_and_knobs(void **state)
{
	(void)state;
	fake_policy = &fake_calm;
	fake_speed = 100;
	type("scan\r");
	assert_heard("* calm                  0 KiB  does little\n");
	assert_heard("  keen                256 KiB  does much\n");
	assert_heard(
	    "@quire scan policy=calm passes=2 scanned=30 skipped=0 read=0 gated=0 sought=0 "
	    "compared=0 merged=4 modelled=0\n");
	assert_not_heard("speed");
	type("scan set speed 5\r");
	assert_heard("scan: policy calm has no knob `speed`; `scan` lists them\n");
	type("scan policy kean\r");
	assert_heard("scan: there is no policy `kean`; `scan` lists them\n");
	fake_no_memory = true;
	type("scan policy keen\r");
	assert_heard("scan: keen keeps 256 KiB, more than is free beyond what is promised\n");
	assert_ptr_equal(fake_policy, &fake_calm);
	fake_no_memory = false;
	type("scan policy keen\r");
	assert_heard("status=0");
	assert_ptr_equal(fake_policy, &fake_keen);
	type("scan set speed 0\r");
	assert_heard("scan: speed is 1 to 400, not 0\n");
	type("scan set speed 401\r");
	assert_heard("scan: speed is 1 to 400, not 401\n");
	type("scan set speed much\r");
	assert_heard("scan: speed must be a number, not `much`\n");
	type("scan set speed\r");
	assert_heard("scan: `on`, `off`, `cpu PERCENT`, `policy [NAME]` or `set KNOB VALUE`, not "
	             "`set speed`\n");
	assert_int_equal(fake_speed, 100);
	type("scan set speed 400\r");
	assert_heard("status=0");
	assert_int_equal(fake_speed, 400);
	type("scan policy\r");
	assert_heard(
	    "  speed                             400  how fast (1 to 400; 100 if not set)\n");
	fake_policy = &fake_calm;
	type("scan set width 5\r");
	assert_heard("status=0");
	type("scan\r");
	assert_heard("  width                               5  how wide (1 to 9; 3 if not set)\n");
	assert_not_heard("@quire leaves");
}

static void scan_share(void **state)
{
	(void)state;
	type("scan\r");
	assert_heard("while guests want the CPUs it takes 1 % of one at most\n");
	assert_heard(
	    "@quire scan-share percent=1 of_us=5000 busy_us=40 longest_us=9 idle_us=700\n");
	type("scan cpu 5\r");
	assert_heard("status=0");
	assert_int_equal(scan_is_share, 5000);
	type("scan cpu 101\r");
	assert_heard("scan: cpu is 0 to 100 per cent of one CPU, not 101\n");
	type("scan cpu much\r");
	assert_heard("scan: cpu must be a number, not `much`\n");
	assert_int_equal(scan_is_share, 5000);
	type("scan cpu 0\r");
	assert_int_equal(scan_is_share, 0);
	type("scan cpu\r");
	assert_heard("not `cpu`\n");
	scan_is_share = 1000;
}

static void top_until_a_key(void **state)
{
	(void)state;
	type("top\r");
	turns(100);
	assert_heard("CPU(%)");
	assert_not_heard("done");
	type("q");
	assert_heard("@quire done status=0 command=top");
	type("top 2\r");
	turns(250);
	assert_heard("@quire done status=0 command=top");
	assert_not_heard("\x1b[H");
}

static void completion(void **state)
{
	(void)state;
	type("pau\t");
	assert_heard("pause ");
	type("w\t\r"); /* the only domain with w */
	assert_true(domains[1].paused);
	type("m\t");
	assert_heard("mem-set  mem-max  map");
	type("e\tm\t\x15");
	assert_heard("em-max ");
	type("help aud\t\r");
	assert_heard("help audit");
}

/* A long table comes in pieces, each turn at most a slice. */
static void many_domains(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 3; i < 200; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		new_domain(i, name);
	}
	typing = "list\r";
	heard_bytes = 0;
	monitor_poll();
	assert_not_heard("done");
	turns(20);
	assert_heard("g199 ");
	assert_heard("@quire done status=0 command=list");
}

static void the_last_words(void **state)
{
	jmp_buf end;

	(void)state;
	powered_off = &end;
	heard_bytes = 0;
	typing = "poweroff\r";
	if (!setjmp(end)) {
		turns(5);
		fail_msg("poweroff came back");
	}
	assert_heard("@quire done status=0 command=poweroff\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_command_from_end_to_end, fresh),
	    cmocka_unit_test_setup(mistakes_are_explained, fresh),
	    cmocka_unit_test_setup(typed_text_forges_nothing, fresh),
	    cmocka_unit_test_setup(memory_targets, fresh),
	    cmocka_unit_test_setup(shutdown_asks, fresh),
	    cmocka_unit_test_setup(reboot_and_sysrq, fresh),
	    cmocka_unit_test_setup(list_shows_who_lags, fresh),
	    cmocka_unit_test_setup(waiting, fresh),
	    cmocka_unit_test_setup(sleeping, fresh),
	    cmocka_unit_test_setup(keys_while_a_command_runs, fresh),
	    cmocka_unit_test_setup(console_of_one_guest, fresh),
	    cmocka_unit_test_setup(the_map, fresh),
	    cmocka_unit_test_setup(the_table_log, fresh),
	    cmocka_unit_test_setup(dump_core_of_all, fresh),
	    cmocka_unit_test_setup(dump_core_of_one, fresh),
	    cmocka_unit_test_setup(dump_core_refuses, fresh),
	    cmocka_unit_test_setup(tables_as_json, fresh),
	    cmocka_unit_test_setup(why_it_left_guest_mode, fresh),
	    cmocka_unit_test_setup(settling_takes_turns, fresh),
	    cmocka_unit_test_setup(scan_policies_and_knobs, fresh),
	    cmocka_unit_test_setup(scan_share, fresh),
	    cmocka_unit_test_setup(top_until_a_key, fresh),
	    cmocka_unit_test_setup(a_trace, fresh),
	    cmocka_unit_test_setup(completion, fresh),
	    cmocka_unit_test_setup(many_domains, fresh),
	    cmocka_unit_test_setup(the_last_words, fresh),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
