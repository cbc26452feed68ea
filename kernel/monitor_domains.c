/* SPDX-License-Identifier: MIT */
/* The monitor's verbs for domains. Domains are made and ended on this CPU only. */
#include "kernel/bundle.h"
#include "kernel/config.h"
#include "kernel/create.h"
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/overcommit.h"
#include "kernel/string.h"

#define PAGES_PER_MIB 256u

/* To the nearest: shared_info takes the place of one page of a guest's memory. */
static uint64_t mib(uint64_t pages)
{
	return (pages + PAGES_PER_MIB / 2) / PAGES_PER_MIB;
}

/* ---- list ---- */

static void list_json(struct domain *d, const struct space_stats *s, const char *state,
                      const char *lags)
{
	unsigned waiting;
	uint64_t longest = overcommit_longest_ns(d, &waiting);
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_number(&j, "memory_pages", d->space.memory_pages);
	json_number(&j, "target_pages", d->target_pages);
	json_number(&j, "max_pages", d->space.max_pages);
	json_number(&j, "min_pages", d->space.min_pages);
	json_number(&j, "vcpus", d->nr_vcpus);
	json_string(&j, "state", state);
	json_string(&j, "shutdown",
	            d->shutdown == SHUTDOWN_NONE ? "" : domain_shutdown_name(d->shutdown));
	json_milli(&j, "time_s", monitor_domain_ns(d) / 1000000);
	json_number(&j, "private_pages", s->private_pages);
	json_number(&j, "shared_mappings", s->shared_mappings);
	json_number(&j, "untouched", s->untouched);
	json_number(&j, "ballooned", s->ballooned);
	json_number(&j, "compressed", s->compressed);
	json_number(&j, "exits", monitor_domain_exits(d));
	json_number(&j, "waiting", waiting);
	json_milli(&j, "longest_memory_wait_ms", longest / 1000);
	json_string(&j, "lags", lags);
	monitor_json(&j);
}

static void list_line(struct domain *d, const struct space_stats *s, const char *state)
{
	char own[24], shared[24], untouched[24];
	uint64_t ms = monitor_domain_ns(d) / 1000000;

	log_print("%-20s %4u %6lu %6lu %5u  %s %6lu.%lu %8s %8s %9s\n", d->name, d->id,
	          mib(d->space.memory_pages), mib(d->space.max_pages), d->nr_vcpus, state,
	          ms / 1000, ms % 1000 / 100, monitor_mib(own, s->private_pages),
	          monitor_mib(shared, s->shared_mappings + s->zero_mappings + s->ones_mappings),
	          monitor_mib(untouched, s->untouched));
}

/* Which of its vCPUs wait for memory; silent if none does. */
static void list_waits(const struct domain *d)
{
	unsigned waiting;
	uint64_t longest = overcommit_longest_ns(d, &waiting);

	if (waiting)
		log_print("    %s waits for memory: %u of %u vCPUs, the longest wait %lu ms%s\n",
		          d->name, waiting, d->nr_vcpus, longest / 1000000,
		          overcommit_state() == OVERCOMMIT_STALLED ? ", STALLED (`frames` tells)"
		                                                   : "");
}

static void list_one(struct run *r, struct domain *d)
{
	struct space_stats s = space_stats(&d->space);
	char state[8], lags[100];
	bool behind = domain_lags(d, lags, sizeof(lags));

	monitor_state(d, state);
	if (r->json)
		list_json(d, &s, state, lags);
	else
		list_line(d, &s, state);
	if (!r->json)
		list_waits(d);
	if (behind && !r->json)
		log_print("    %s %s\n", d->name, lags);
}

/* at[0]: the last id that was shown */
bool monitor_list(struct run *r)
{
	struct domain *d;

	if (r->calls == 0 && !r->json)
		log_print("%-20s %4s %6s %6s %5s  %-6s %8s %8s %8s %9s\n", "Name", "ID", "Mem",
		          "Max", "VCPUs", "State", "Time(s)", "Own", "Shared", "Untouched");
	if (r->words > 1) {
		d = monitor_domain(r, r->word[1]);
		if (d)
			list_one(r, d);
		return true;
	}
	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++) {
		d = monitor_after((domid_t)r->at[0]);
		if (!d)
			return true;
		list_one(r, d);
		r->at[0] = d->id;
	}
	return false;
}

/* ---- vcpu-list ---- */

static const char *vcpu_state_name(const struct vcpu *v)
{
	switch (v->state) {
	case VCPU_DOWN:
		return "down";
	case VCPU_BLOCKED:
		return "blocked";
	case VCPU_MEMORY:
		return "memory";
	case VCPU_RUNNABLE:
		break;
	}
	if (v->domain->shutdown != SHUTDOWN_NONE)
		return "ended";
	return v->running ? "running" : v->domain->paused ? "paused" : "ready";
}

static void vcpu_json(const struct vcpu *v)
{
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", v->domain->id);
	json_string(&j, "name", v->domain->name);
	json_number(&j, "vcpu", v->id);
	json_number(&j, "cpu", v->cpu);
	json_string(&j, "state", vcpu_state_name(v));
	json_milli(&j, "time_ms", monitor_vcpu_ns(v) / 1000);
	json_milli(&j, "longest_wait_ms", v->longest_wait_ns / 1000);
	json_number(&j, "exits", v->exits_total);
	json_number(&j, "hypercalls", v->hypercalls);
	json_number(&j, "memory_exits", v->exits[EXIT_MEMORY]);
	json_number(&j, "memory_waits", v->waits);
	json_milli(&j, "memory_waited_ms", v->waited_ns / 1000);
	json_milli(&j, "longest_memory_wait_ms", v->longest_memory_ns / 1000);
	monitor_json(&j);
}

static void vcpu_line(const struct vcpu *v)
{
	uint64_t ms = monitor_vcpu_ns(v) / 1000000;
	uint64_t wait_us = v->longest_wait_ns / 1000;

	log_print("%-20s %4u %5u %4u  %-8s %6lu.%03lu %9lu.%lu %12lu %12lu\n", v->domain->name,
	          v->domain->id, v->id, v->cpu, vcpu_state_name(v), ms / 1000, ms % 1000,
	          wait_us / 1000, wait_us % 1000 / 100, v->exits_total, v->hypercalls);
}

static void vcpus_of(struct run *r, const struct domain *d)
{
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		if (!d->vcpus[i])
			continue;
		if (r->json)
			vcpu_json(d->vcpus[i]);
		else
			vcpu_line(d->vcpus[i]);
	}
}

/* at[0]: the last id that was shown */
bool monitor_vcpu_list(struct run *r)
{
	struct domain *d;

	if (r->calls == 0 && !r->json)
		log_print("%-20s %4s %5s %4s  %-8s %10s %11s %12s %12s\n", "Name", "ID", "VCPU",
		          "CPU", "State", "Time(s)", "MaxWait(ms)", "Exits", "Hypercalls");
	if (r->words > 1) {
		d = monitor_domain(r, r->word[1]);
		if (d)
			vcpus_of(r, d);
		return true;
	}
	d = monitor_after((domid_t)r->at[0]);
	if (!d)
		return true;
	vcpus_of(r, d);
	r->at[0] = d->id;
	return false;
}

/* ---- create ---- */

static void create_complain(void *arg, const char *sentence)
{
	struct run *r = arg;

	log_print("%s\n", sentence);
	r->status = 1;
}

/* Which kernels there are, for one who named another. */
static void print_files(void)
{
	char names[1024] = "";
	size_t n = 0;

	for (unsigned i = 0; bundle_name(i) && n < sizeof(names); i++)
		n += (size_t)text_format(names + n, sizeof(names) - n, " %s", bundle_name(i));
	log_print("There are these files:%s\n", names);
}

static struct creation making;

static void create_interrupted(void)
{
	create_cancel(&making);
	log_print("domain \"%s\" was not made\n", making.config.name);
}

static bool create_failed(struct run *r)
{
	const void *data;
	uint64_t bytes;

	if (!bundle_find(making.config.kernel, &data, &bytes))
		print_files();
	return monitor_fail(r, "domain \"%s\" was not made: %s", making.config.name, making.why);
}

/* at[0]: how many of `count` were made */
bool monitor_create(struct run *r)
{
	static struct domain_config all, one; /* kept between calls */
	const struct config_sink sink = {create_complain, r};

	if (startup_refused())
		return monitor_fail(r, "no guest can run here: %s", startup_refused());
	if (r->calls == 0 && !config_parse_words("create", r->rest, NULL, &all, &sink))
		return true;
	if (!r->cancel) {
		config_instance(&all, (unsigned)r->at[0], &one);
		create_begin(&making, &one);
		r->cancel = create_interrupted;
	}
	switch (create_step(&making)) {
	case CREATE_MORE:
		return false;
	case CREATE_FAILED:
		r->cancel = NULL;
		return create_failed(r);
	case CREATE_DONE:
		break;
	}
	r->cancel = NULL;
	log_print("domain %u is \"%s\"%s\n", making.domain->id, making.domain->name,
	          making.domain->paused ? ", paused: `unpause` starts it" : "");
	return ++r->at[0] == all.count;
}

/* ---- life ---- */

/* The domain that is named, unless it is on its way out. */
static struct domain *monitor_living(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);

	if (d && d->dying) {
		(void)monitor_fail(r, "%s is being destroyed already", d->name);
		return NULL;
	}
	return d;
}

bool monitor_pause(struct run *r)
{
	struct domain *d = monitor_living(r);

	if (d)
		domain_pause(d);
	return true;
}

bool monitor_unpause(struct run *r)
{
	struct domain *d = monitor_living(r);

	if (d)
		domain_unpause(d);
	return true;
}

bool monitor_destroy(struct run *r)
{
	struct domain *d = monitor_living(r);

	if (d)
		domain_destroy(d);
	return true;
}

/* ---- wait ---- */

static bool still_runs(const struct domain *d)
{
	return d && !d->dying && !atomic_load_explicit(&d->shutdown_told, memory_order_acquire);
}

/* The first domain that is waited for, or NULL. */
static struct domain *waits_for(const struct run *r)
{
	struct domain *d;

	if (r->at[1]) {
		d = domain_find((domid_t)r->at[1]);
		return still_runs(d) ? d : NULL;
	}
	for (d = monitor_after(0); d && !still_runs(d); d = monitor_after(d->id))
		;
	return d;
}

/* at[0]: when to give up; at[1]: the domain's id, 0 for all */
bool monitor_wait(struct run *r)
{
	uint64_t seconds = UINT32_MAX;
	struct domain *d;

	if (r->calls == 0) {
		if (r->words > 2 && !monitor_number(r, r->word[2], "the seconds", &seconds))
			return true;
		r->at[0] = machine_ns() + seconds * UINT64_C(1000000000);
		if (strcmp(r->word[1], "all")) {
			d = monitor_domain(r, r->word[1]);
			if (!d)
				return true;
			r->at[1] = d->id;
		}
	}
	r->later = true;
	d = waits_for(r);
	if (d && machine_ns() >= r->at[0])
		return monitor_fail(r, "%s still runs", d->name);
	return !d;
}
