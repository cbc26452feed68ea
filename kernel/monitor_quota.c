/* SPDX-License-Identifier: MIT */
/* `quota`: how much each domain uses of what it may, and how many domains there may be. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/quota.h"
#include "kernel/string.h"

#define CELL 12u

static void quota_json(struct domain *d, const struct quota *q)
{
	struct json j;
	char name[32];

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	for (unsigned i = 0; i < QUOTAS; i++) {
		text_format(name, sizeof(name), "%s_most", q[i].name);
		json_number(&j, q[i].name, q[i].used);
		json_number(&j, name, q[i].most);
	}
	json_number(&j, "log_dropped", d->log_dropped_all);
	monitor_json(&j);
}

static void quota_line(struct domain *d, const struct quota *q)
{
	char line[200], cell[40];
	size_t n = (size_t)text_format(line, sizeof(line), "%-16s %3u", d->name, d->id);

	for (unsigned i = 0; i < QUOTAS; i++) {
		text_format(cell, sizeof(cell), "%lu/%lu", q[i].used, q[i].most);
		n += (size_t)text_format(line + n, sizeof(line) - n, " %*s", (int)CELL, cell);
	}
	log_print("%s %10lu\n", line, d->log_dropped_all);
}

static void quota_one(struct run *r, struct domain *d)
{
	struct quota q[QUOTAS];

	quota_look(d, q);
	if (r->json)
		quota_json(d, q);
	else
		quota_line(d, q);
}

static void count_domain(struct domain *d, void *arg)
{
	(void)d;
	++*(unsigned *)arg;
}

static void quota_heading(const struct run *r)
{
	struct quota q[QUOTAS];
	unsigned domains = 0;
	struct json j;

	domain_each(count_domain, &domains);
	if (r->json) {
		json_begin(&j);
		json_number(&j, "domains", domains);
		json_number(&j, "domains_most", MAX_DOMAINS - 1);
		monitor_json(&j);
		return;
	}
	log_print("domains: %u/%u\n", domains, MAX_DOMAINS - 1);
	if (!monitor_after(0))
		return;
	quota_look(monitor_after(0), q);
	log_print("%-16s %3s", "Name", "ID");
	for (unsigned i = 0; i < QUOTAS; i++)
		log_print(" %*s", (int)CELL, q[i].heading);
	log_print(" %10s\n", "LogDropped");
}

/* at[0]: the last id that was shown */
bool monitor_quota(struct run *r)
{
	struct domain *d;

	if (r->calls == 0)
		quota_heading(r);
	if (r->words > 1) {
		d = monitor_domain(r, r->word[1]);
		if (d)
			quota_one(r, d);
		return true;
	}
	d = monitor_after((domid_t)r->at[0]);
	if (!d)
		return true;
	quota_one(r, d);
	r->at[0] = d->id;
	return false;
}
