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

#include "kernel/abi/quire.h"
#include "kernel/bundle.h"
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "mm/scan.h"

/* ---- the machine ---- */

static char heard[1 << 16];
static size_t heard_bytes;
static const char *typing = "";
static uint64_t now_ns;
static jmp_buf *powered_off;

void machine_putc(char c)
{
	heard[heard_bytes++] = c;
	heard[heard_bytes] = '\0';
}

int machine_getc(void)
{
	return *typing ? (unsigned char)*typing++ : -1;
}

uint64_t machine_ns(void)
{
	return now_ns;
}

unsigned machine_cpus(void)
{
	return 2;
}

uint64_t machine_tsc_hz(void)
{
	return 1000000000;
}

void machine_reboot(void)
{
	longjmp(*powered_off, 2);
}

void machine_poweroff(void)
{
	longjmp(*powered_off, 1);
}

void machine_hwinfo(void (*line)(const char *text))
{
	line("cpu: made up");
}

void env_relax(void)
{
}

void env_panic(const char *fmt, ...)
{
	fail_msg("panic: %s", fmt);
	abort();
}

static const struct hvm_ops back_end = {.name = "none such"};
const struct hvm_ops *hvm = &back_end;

/* ---- domains ---- */

static struct domain domains[MAX_DOMAINS];
static const char *refused, *create_fails;
static struct domain_config created;

struct domain *domain_find(domid_t id)
{
	return id < MAX_DOMAINS && domains[id].used ? &domains[id] : NULL;
}

struct domain *domain_find_name(const char *name)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		if (domains[i].used &&
		    (!strcmp(domains[i].name, name) || (unsigned)atoi(name) == i))
			return &domains[i];
	return NULL;
}

void domain_each(void (*f)(struct domain *d, void *arg), void *arg)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		if (domains[i].used)
			f(&domains[i], arg);
}

static struct domain *new_domain(unsigned id, const char *name)
{
	struct domain *d = &domains[id];

	memset(d, 0, sizeof(*d));
	d->used = true;
	d->id = (domid_t)id;
	strcpy(d->name, name);
	d->shutdown = SHUTDOWN_NONE;
	d->space.memory_pages = 64 * 256;
	d->space.max_pages = 128 * 256;
	d->space.min_pages = 16 * 256;
	d->config.maxmem_mib = 128;
	d->control_port = 5;
	return d;
}

struct domain *domain_create(const struct domain_config *c, char *why, size_t why_bytes)
{
	created = *c;
	if (!create_fails)
		return new_domain(9, c->name);
	snprintf(why, why_bytes, "%s", create_fails);
	return NULL;
}

void domain_destroy(struct domain *d)
{
	d->used = false;
}

void domain_pause(struct domain *d)
{
	d->paused = true;
}

void domain_unpause(struct domain *d)
{
	d->paused = false;
}

void domain_set_target(struct domain *d, uint64_t pages)
{
	d->target_pages = pages;
}

void domain_request_shutdown(struct domain *d, uint32_t request)
{
	d->shutdown_request = request;
}

const char *domain_shutdown_name(enum shutdown_code code)
{
	return code == SHUTDOWN_CRASH_ ? "crash" : "poweroff";
}

const char *startup_refused(void)
{
	return refused;
}

const char *bundle_name(unsigned i)
{
	return i == 0 ? "hello.elf" : NULL;
}

bool bundle_find(const char *name, const void **data, uint64_t *bytes)
{
	*data = name;
	*bytes = 0;
	return !strcmp(name, "hello.elf");
}

/* ---- memory ---- */

static struct audit_report audit;
static unsigned stopped, settle_left;
static bool scan_is_on = true;
/* Guest frames 0x10 .. 0x17 and 0x100: a private stretch, a gap, two of one constant, a pinned one.
 */
static struct p2m_view view_of(uint64_t gfn)
{
	struct p2m_view v = {.type = P2M_NONE};

	if (gfn >= 0x10 && gfn < 0x13)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x500 + gfn)};
	else if (gfn == 0x13)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x700)};
	else if (gfn >= 0x15 && gfn < 0x17)
		v = (struct p2m_view){.type = P2M_ZERO, .mfn = MFN(2)};
	else if (gfn == 0x17)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x17), .pinned = true};
	else if (gfn == 0x100)
		v = (struct p2m_view){.type = P2M_SHARED, .mfn = MFN(0x18), .guest_table = true};
	return v;
}

struct p2m_view p2m_lookup(struct space *s, gfn_t gfn)
{
	(void)s;
	return view_of(gfn.n);
}

gfn_t p2m_next(struct space *s, gfn_t from)
{
	(void)s;
	for (uint64_t g = from.n; g <= 0x100; g++)
		if (view_of(g).type != P2M_NONE)
			return GFN(g);
	return GFN(GFN_LIMIT);
}

struct mm_stats mm_stats(void)
{
	return (struct mm_stats){.frames_free = 100 * 256, .pages_saved = 7, .pages_shared = 3};
}

struct space_stats space_stats(struct space *s)
{
	(void)s;
	return (struct space_stats){.private_pages = 384};
}

struct share_split share_split(void)
{
	return (struct share_split){.zero = 1, .ones = 2, .self = 3, .inter = 1};
}

uint64_t share_part(struct space *s)
{
	(void)s;
	return UINT64_C(3) << 31; /* one and a half */
}

struct audit_report mm_audit(void)
{
	assert_int_equal(stopped, 1);
	return audit;
}

void scan_settle_begin(void)
{
	settle_left = 3;
}

bool scan_settle_step(uint64_t pages)
{
	(void)pages;
	now_ns += 5000000;
	return --settle_left == 0;
}

void sched_set_scan(bool on)
{
	scan_is_on = on;
}

bool sched_scan_on(void)
{
	return scan_is_on;
}

void sched_stopped(void (*work)(void *arg), void *arg)
{
	stopped++;
	work(arg);
	stopped--;
}

/* ---- a session ---- */

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
	    {"lits\r", "There is no command `lits`; did you mean `list`?\n@quire done status=1 "
             "command=lits\n"},
	    {"xyzzy\r",	                    "There is no command `xyzzy`; `help` lists them.\n"},
	    {"he\r",	                       "did you mean `help`?"},
	    {"pause\r",
	     "usage: pause DOMAIN\n   eg: pause fill\n@quire done status=1 command=pause\n"},
	    {"pause a b\r",                        "usage: pause DOMAIN\n"},
	    {"pause nobody\r",                     "pause: there is no domain `nobody`; there are web (1), db (2)\n"},
	    {"mem-set web 999999\r",
	     "mem-set: web may have 16 MiB (its guaranteed `min`) to 128 MiB (its "
	     "`maxmem`), so not 999999; it has 64 now\n"},
	    {"mem-set web 15\r",                   "so not 15"},
	    {"mem-set web 99999999999999999999\r", "must be a number"},
	    {"mem-set web -1\r",                   "mem-set: the memory in MiB must be a number, not `-1`\n"},
	    {"mem-max web 129\r",                  "mem-max: web was made with maxmem=128"},
	    {"mem-max web 63\r",                   "mem-max: web has 64 MiB now; `mem-set web 63` first\n"},
	    {"scan perhaps\r",                     "scan: `on` or `off`, not `perhaps`\n"},
	    {"shutdown web now\r",                 "shutdown: `now`: only `reboot` may stand there\n"},
	    {"create name=x\r",                    "create: domain \"x\" has no `kernel`\n"},
	    {"create name=x colour=red\r",         "create: there is no key `colour`\n"},
	    {"help lits\r",                        "help: there is no command `lits`; did you mean `list`?\n"},
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

static void creating(void **state)
{
	(void)state;
	type("create name=x kernel=hello.elf memory=32 extra='a b' paused=1\r");
	assert_heard("domain 9 is \"x\"");
	assert_heard("status=0");
	assert_string_equal(created.extra, "a b");
	type("create name=y kernel=hello.elf memory=32 count=2\r");
	assert_string_equal(created.name, "y-2");
	create_fails = "there is no such file";
	type("create name=z kernel=none memory=32\r");
	assert_heard("There are these files: hello.elf\n");
	assert_heard("create: domain \"z\" was not made: there is no such file\n");
	refused = "no AMD-V";
	type("create name=z kernel=hello.elf memory=32\r");
	assert_heard("create: no guest can run here: no AMD-V\n");
}

/* `wait` is not done while the domain runs, and the machine goes on meanwhile. */
static void waiting(void **state)
{
	(void)state;
	type("wait web\r");
	assert_not_heard("done");
	domains[1].shutdown = SHUTDOWN_POWEROFF_;
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
	log_guest(1, "web", "shown");
	log_guest(2, "db", "hidden");
	assert_heard("(d1 web) shown");
	assert_not_heard("hidden");
	assert_not_heard("done");
	type("x");
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
	assert_heard("\n@quire map domain=2 gfn=10 count=3 mfn=510 type=private\n"
	             "@quire map domain=2 gfn=13 count=1 mfn=700 type=private\n"
	             "@quire map domain=2 gfn=15 count=2 mfn=2 type=zero\n"
	             "@quire map domain=2 gfn=17 count=1 mfn=17 type=private pinned=1\n"
	             "@quire map domain=2 gfn=100 count=1 mfn=18 type=shared guest_table=1\n"
	             "@quire done status=0 command=map\n");
}

static void the_audit(void **state)
{
	(void)state;
	type("audit\r");
	assert_heard("audit: 10 checks, 0 failures\n@quire audit checks=10 failures=0\n"
	             "@quire done status=0 command=audit\n");
	audit.failures = 2;
	strcpy(audit.first, "a sentence");
	type("audit\r");
	assert_heard("audit: the first: a sentence\n");
	assert_heard("@quire done status=1 command=audit\n");
	type("audit --json\r");
	assert_heard("{\"schema\":1,\"checks\":10,\"failures\":2,\"first\":\"a sentence\"}\n");
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

static void settling_takes_turns(void **state)
{
	(void)state;
	type("settle\r");
	assert_heard("@quire scan settled pages_saved=7 pages_shared=3 full_scans=0\n");
	assert_heard("status=0");
	type("scan off\r");
	assert_false(scan_is_on);
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
	    cmocka_unit_test_setup(creating, fresh),
	    cmocka_unit_test_setup(waiting, fresh),
	    cmocka_unit_test_setup(sleeping, fresh),
	    cmocka_unit_test_setup(keys_while_a_command_runs, fresh),
	    cmocka_unit_test_setup(console_of_one_guest, fresh),
	    cmocka_unit_test_setup(the_map, fresh),
	    cmocka_unit_test_setup(the_audit, fresh),
	    cmocka_unit_test_setup(tables_as_json, fresh),
	    cmocka_unit_test_setup(settling_takes_turns, fresh),
	    cmocka_unit_test_setup(top_until_a_key, fresh),
	    cmocka_unit_test_setup(completion, fresh),
	    cmocka_unit_test_setup(many_domains, fresh),
	    cmocka_unit_test_setup(the_last_words, fresh),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
