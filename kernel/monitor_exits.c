/* SPDX-License-Identifier: MIT */
/* `exits`: why a domain's vCPUs left guest mode, and how often. */
#include "kernel/log.h"
#include "kernel/monitor.h"

static const char *const exit_names[EXIT_KINDS] = {
    [EXIT_INTERRUPT] = "interrupt",
    [EXIT_NMI] = "nmi",
    [EXIT_WINDOW] = "window",
    [EXIT_EXCEPTION] = "exception",
    [EXIT_CPUID] = "cpuid",
    [EXIT_HLT] = "hlt",
    [EXIT_PAUSE] = "pause",
    [EXIT_IO] = "io",
    [EXIT_MSR_READ] = "msr_read",
    [EXIT_MSR_WRITE] = "msr_write",
    [EXIT_CR_WRITE] = "cr_write",
    [EXIT_DR] = "dr",
    [EXIT_HYPERCALL] = "hypercall",
    [EXIT_MEMORY] = "memory",
    [EXIT_XSETBV] = "xsetbv",
    [EXIT_CACHE] = "cache",
    [EXIT_UNDEFINED] = "undefined",
    [EXIT_GP] = "gp",
    [EXIT_TASK_SWITCH] = "task_switch",
    [EXIT_SHUTDOWN] = "shutdown",
    [EXIT_BAD_STATE] = "bad_state",
    [EXIT_HANDLED] = "handled",
    [EXIT_UNKNOWN] = "unknown",
};

static uint64_t exits_of(const struct domain *d, unsigned kind)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->nr_vcpus; i++)
		n += d->vcpus[i] ? d->vcpus[i]->exits[kind] : 0;
	return n;
}

static void exits_json(const struct domain *d)
{
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_number(&j, "exits", monitor_domain_exits(d));
	for (unsigned kind = 0; kind < EXIT_KINDS; kind++)
		if (exit_names[kind])
			json_number(&j, exit_names[kind], exits_of(d, kind));
	monitor_json(&j);
}

bool monitor_exits(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);

	if (!d)
		return true;
	if (r->json) {
		exits_json(d);
		return true;
	}
	for (unsigned kind = 0; kind < EXIT_KINDS; kind++)
		if (exits_of(d, kind))
			log_print("%-12s %12lu\n", exit_names[kind] ? exit_names[kind] : "?",
			          exits_of(d, kind));
	log_print("%-12s %12lu\n", "all", monitor_domain_exits(d));
	return true;
}
