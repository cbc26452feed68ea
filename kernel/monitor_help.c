/* SPDX-License-Identifier: MIT */
/* The verbs of the monitor, and how it explains them. xl's names where xl has the verb. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"

/* clang-format off */
const struct verb monitor_verbs[] = {
    {"help", "[VERB]", "this list, or one verb's usage",
     "help mem-set", monitor_help, 0, 1, false},
    {"list", "[DOMAIN] [--json]", "the domains: memory, vCPUs, state, time",
     "list", monitor_list, 0, 1, false},
    {"info", "[--json]", "the machine: CPUs, memory, what sharing saves",
     "info", monitor_info, 0, 0, false},
    {"vcpu-list", "[DOMAIN] [--json]", "the vCPUs: where, state, time, exits",
     "vcpu-list fill", monitor_vcpu_list, 0, 1, false},
    {"exits", "DOMAIN [--json]", "why a domain left guest mode, and how often",
     "exits fill", monitor_exits, 1, 1, false},
    {"quota", "[DOMAIN] [--json]", "what a domain uses of what it may: ports, watches, grants, tables, log",
     "quota", monitor_quota, 0, 1, false},
    {"top", "[SAMPLES] [--json]", "who uses the CPUs; a line a domain, once a second, until a key",
     "top 5", monitor_top, 0, 1, true},
    {"sharing", "[--json]", "pages shared, by kind and by domain; scan and merge counters",
     "sharing", monitor_sharing, 0, 0, false},
    {"frames", "[exact] [--json]", "where every frame is, who waits for one, and what would help (exact: its part of shared ones, by a walk)",
     "frames", monitor_frames, 0, 1, false},
    {"reclaim", "[on|off | set KNOB VALUE | shares DOMAIN N] [--json]", "how much memory each domain should have, has, uses, and whether it follows",
     "reclaim set tau 50", monitor_reclaim, 0, 3, false},
    {"refuse", "[every K | all MS | off]", "debug: have requests for frames refused, and see who minds; alone: how many were",
     "refuse every 3", monitor_refuse, 0, 2, false},
    {"compress", "DOMAIN [MIB]", "compress cold pages of a domain now, until so much memory is free",
     "compress fill 4", monitor_compress, 1, 2, false},
    {"create", "key=value ...", "a new domain from a kernel of the bundle",
     "create name=extra kernel=fill.elf memory=32 vcpus=2", monitor_create, 1, 20, false},
    {"mem-set", "DOMAIN MIB", "ask a guest to keep that much memory (balloon)",
     "mem-set fill 48", monitor_mem_set, 2, 2, false},
    {"mem-max", "DOMAIN MIB", "the most that mem-set may give it",
     "mem-max fill 64", monitor_mem_max, 2, 2, false},
    {"pause", "DOMAIN", "stop a domain's vCPUs where they are",
     "pause fill", monitor_pause, 1, 1, false},
    {"unpause", "DOMAIN", "let them go on",
     "unpause fill", monitor_unpause, 1, 1, false},
    {"shutdown", "DOMAIN [reboot]", "ask a guest to shut down",
     "shutdown fill", monitor_shutdown, 1, 2, false},
    {"sysrq", "DOMAIN KEY", "press a SysRq key of a Linux guest",
     "sysrq web h", monitor_sysrq, 2, 2, false},
    {"destroy", "DOMAIN", "end a domain at once and free its memory",
     "destroy fill", monitor_destroy, 1, 1, false},
    {"console", "DOMAIN [SECONDS]", "type to that guest and see its lines only, until Ctrl-]",
     "console fill", monitor_console, 1, 2, true},
    {"wait", "DOMAIN|all [SECONDS]", "until it has shut down",
     "wait all 60", monitor_wait, 1, 2, false},
    {"sleep", "MS", "do nothing for that many milliseconds",
     "sleep 500", monitor_sleep, 1, 1, false},
    {"scan", "[on|off | cpu PERCENT | policy NAME | set KNOB VALUE]", "the page scanner: run or not, how much of a CPU, by which policy and knobs",
     "scan policy ksm", monitor_scan, 0, 3, false},
    {"settle", "", "scan until nothing new can be merged",
     "settle", monitor_settle, 0, 0, false},
    {"trace", "[on [MS]|off] [--json]", "record what guests do to memory, a tick every 500 ms",
     "trace on 250", monitor_trace, 0, 2, false},
    {"map", "DOMAIN", "its guest frames and the machine frames behind them",
     "map fill", monitor_map, 1, 1, false},
    {"table-log", "[FROM]", "pages with guests' page tables: breaks and back-offs, from that event on",
     "table-log 0", monitor_table_log, 0, 1, false},
    {"dump-core", "DOMAIN|all [FIRST COUNT]", "hold it at one instant, and say where its memory lies",
     "dump-core fill 256 16", monitor_dump_core, 1, 3, true},
    {"audit", "[N] [--json]", "check the thirteen invariants on the stopped machine; N times, with the guests running in between",
     "audit 1000", monitor_audit, 0, 1, false},
    {"dmesg", "", "the log, with the time of each line",
     "dmesg", monitor_dmesg, 0, 0, false},
    {"hwinfo", "", "CPU, firmware and back end: for a bug report",
     "hwinfo", monitor_hwinfo, 0, 0, false},
    {"reboot", "[DOMAIN]", "ask a guest to reboot; without one, restart the machine",
     "reboot fill", monitor_reboot, 0, 1, false},
    {"poweroff", "", "turn the machine off",
     "poweroff", monitor_poweroff, 0, 0, false},
};
/* clang-format on */
const unsigned monitor_nr_verbs = ARRAY_SIZE(monitor_verbs);

const struct verb *monitor_verb(const char *name)
{
	for (unsigned i = 0; i < monitor_nr_verbs; i++)
		if (!strcmp(monitor_verbs[i].name, name))
			return &monitor_verbs[i];
	return NULL;
}

const struct verb *monitor_nearest(const char *name)
{
	const struct verb *best = NULL;
	unsigned least = 3; /* further away is a guess */

	for (unsigned i = 0; i < monitor_nr_verbs; i++) {
		const struct verb *v = &monitor_verbs[i];
		bool begins = strlen(name) >= 2 && !strncmp(v->name, name, strlen(name));
		unsigned far = begins ? 0 : text_distance(name, v->name);

		if (far < least && far < strlen(name)) {
			least = far;
			best = v;
		}
	}
	return best;
}

static bool help_one(struct run *r, const char *name)
{
	const struct verb *v = monitor_verb(name);
	const struct verb *near = monitor_nearest(name);

	if (!v && near)
		return monitor_fail(r, "there is no command `%s`; did you mean `%s`?", name,
		                    near->name);
	if (!v)
		return monitor_fail(r, "there is no command `%s`; `help` lists them", name);
	log_print("%s %s\n    %s\n    eg: %s\n", v->name, v->arguments, v->summary, v->example);
	return true;
}

/* at[0]: the next verb */
bool monitor_help(struct run *r)
{
	char usage[48];

	if (r->words > 1)
		return help_one(r, r->word[1]);
	while (r->at[0] < monitor_nr_verbs && !monitor_turn_over()) {
		const struct verb *v = &monitor_verbs[r->at[0]++];

		text_format(usage, sizeof(usage), "%s %s", v->name, v->arguments);
		log_print("  %-32s %s\n", usage, v->summary);
	}
	if (r->at[0] < monitor_nr_verbs)
		return false;
	log_print("Keys: arrows, Tab, ^A ^E ^K ^U ^W; Ctrl-C ends a command that runs.\n");
	return true;
}
