/* SPDX-License-Identifier: MIT */
/* The verb that steers the scanner: on or off, which policy, its knobs, what it may take. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/pace.h"
#include "kernel/string.h"
#include "mm/scan.h"

static bool scan_usage(struct run *r)
{
	const char *typed = r->rest;

	while (*typed == ' ')
		typed++;
	return monitor_fail(
	    r, "`on`, `off`, `cpu PERCENT`, `policy [NAME]` or `set KNOB VALUE`, not `%s`", typed);
}

static void scan_print_counts(const struct scan_policy *p)
{
	struct scan_counts c = scan_counts(p);

	log_tag("scan policy=%s passes=%lu scanned=%lu skipped=%lu read=%lu gated=%lu sought=%lu "
	        "compared=%lu merged=%lu modelled=%lu",
	        p->name, c.passes, c.scanned, c.skipped, c.read, c.gated, c.sought, c.compared,
	        c.merged, c.modelled);
}

/* What became of a domain's leaves of 2 MiB, if it ever had one. */
static void scan_print_leaves(struct domain *d, void *arg)
{
	struct space_stats s;

	(void)arg;
	if (d->dying)
		return;
	s = space_stats(&d->space);
	if (s.large_leaves + s.splits)
		log_tag("leaves domain=%s large=%lu splits=%lu sharing=%lu gain=%lu written=%lu "
		        "coalesces=%lu copies=%lu shared=%lu merged=%lu",
		        d->name, s.large_leaves, s.splits, s.splits_sharing, s.split_gain,
		        s.splits_written, s.coalesces, s.coalesce_copies, s.large_shared,
		        s.large_merges);
}

static void scan_print_knobs(const struct scan_knob *k)
{
	for (; k && k->name; k++)
		log_print("  %-26s %10lu  %s (%lu to %lu; %lu if not set)\n", k->name,
		          scan_knob(k->value), k->help, k->least, k->most, k->standard);
}

#define SHARE_PERCENT (PACE_WHOLE / 100)

static void scan_print_share(void)
{
	struct sched_scan_stats t = sched_scan_stats();

	log_tag("scan-share percent=%u of_us=%lu busy_us=%lu longest_us=%lu idle_us=%lu",
	        t.share / SHARE_PERCENT, t.since_ns / 1000, t.busy_ns / 1000, t.longest_ns / 1000,
	        t.idle_ns / 1000);
}

static bool scan_show(struct run *r)
{
	const struct scan_policy *now = scan_policy();

	(void)r;
	log_print("the scanner is %s; while guests want the CPUs it takes %u %% of one at most\n",
	          sched_scan_on() ? "on" : "off", sched_scan_stats().share / SHARE_PERCENT);
	log_print("policies, with the memory that they would take:\n");
	for (unsigned i = 0; scan_policies[i]; i++)
		log_print("%c %-14s %8lu KiB  %s\n", scan_policies[i] == now ? '*' : ' ',
		          scan_policies[i]->name, scan_policy_bytes(scan_policies[i]) / 1024,
		          scan_policies[i]->help);
	scan_print_knobs(now->knobs);
	scan_print_knobs(scan_common_knobs());
	scan_print_counts(now);
	scan_print_share();
	domain_each(scan_print_leaves, NULL);
	return true;
}

static bool scan_set_cpu(struct run *r)
{
	uint64_t percent;

	if (!monitor_number(r, r->word[2], "cpu", &percent))
		return true;
	if (percent > 100)
		return monitor_fail(r, "cpu is 0 to 100 per cent of one CPU, not %lu", percent);
	sched_set_scan_share((uint32_t)percent * SHARE_PERCENT);
	return true;
}

static bool scan_choose(struct run *r, const char *name)
{
	const struct scan_policy *p = scan_find_policy(name);

	if (!p)
		return monitor_fail(r, "there is no policy `%s`; `scan` lists them", name);
	if (scan_use(p) != MM_OK)
		return monitor_fail(r,
		                    "%s keeps %lu KiB, more than is free beyond what is promised",
		                    name, scan_policy_bytes(p) / 1024);
	return true;
}

static bool scan_set(struct run *r)
{
	const struct scan_policy *p = scan_policy();
	const struct scan_knob *k = scan_find_knob(p, r->word[2]);
	uint64_t value;

	if (!k)
		return monitor_fail(r, "policy %s has no knob `%s`; `scan` lists them", p->name,
		                    r->word[2]);
	if (!monitor_number(r, r->word[3], k->name, &value))
		return true;
	if (!scan_set_knob(k, value))
		return monitor_fail(r, "%s is %lu to %lu, not %lu", k->name, k->least, k->most,
		                    value);
	return true;
}

bool monitor_scan(struct run *r)
{
	const char *what = r->words > 1 ? r->word[1] : NULL;

	if (!what)
		return scan_show(r);
	if (!strcmp(what, "set"))
		return r->words == 4 ? scan_set(r) : scan_usage(r);
	if (!strcmp(what, "cpu") && r->words == 3)
		return scan_set_cpu(r);
	if (!strcmp(what, "policy") && r->words == 3)
		return scan_choose(r, r->word[2]);
	if (r->words != 2)
		return scan_usage(r);
	if (!strcmp(what, "policy"))
		return scan_show(r);
	if (strcmp(what, "on") && strcmp(what, "off"))
		return scan_usage(r);
	sched_set_scan(!strcmp(what, "on"));
	return true;
}
