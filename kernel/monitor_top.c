/* SPDX-License-Identifier: MIT */
/*
 * `top`: once a second, what each domain did since the last look. CPU time is
 * in percent of one CPU, as xentop shows it.
 */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"

#define NS_PER_S UINT64_C(1000000000)

/* The last look. An id that was taken over by another domain is told by created_ns. */
static struct {
	uint64_t created_ns, ran_ns, exits;
} last[MAX_DOMAINS];
static uint64_t last_ns, last_saved;

struct sample {
	uint64_t cpu_permille, exits_per_s;
};

static void remember(struct domain *d, void *arg)
{
	(void)arg;
	last[d->id].created_ns = d->created_ns;
	last[d->id].ran_ns = monitor_domain_ns(d);
	last[d->id].exits = monitor_domain_exits(d);
}

static void look(void)
{
	domain_each(remember, NULL);
	last_ns = machine_ns();
	last_saved = mm_stats().pages_saved;
}

static struct sample since(const struct domain *d, uint64_t elapsed_us)
{
	uint64_t ran = monitor_domain_ns(d), exits = monitor_domain_exits(d);

	if (last[d->id].created_ns != d->created_ns || !elapsed_us)
		return (struct sample){0, 0};
	return (struct sample){.cpu_permille =
	                           (ran - last[d->id].ran_ns) / elapsed_us, /* ns / us = 1/1000 */
	                       .exits_per_s = (exits - last[d->id].exits) * 1000000 / elapsed_us};
}

static void top_json(const struct domain *d, const struct space_stats *s, struct sample t,
                     const char *state)
{
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_string(&j, "state", state);
	json_number(&j, "cpu_permille", t.cpu_permille);
	json_number(&j, "exits_per_s", t.exits_per_s);
	json_number(&j, "memory_pages", d->space.memory_pages);
	json_number(&j, "private_pages", s->private_pages);
	json_number(&j, "shared_mappings", s->shared_mappings);
	json_number(&j, "merges", s->merges);
	json_number(&j, "breaks", s->breaks);
	monitor_json(&j);
}

static void top_domain(struct run *r, struct domain *d, uint64_t elapsed_us)
{
	struct space_stats s = space_stats(&d->space);
	struct sample t = since(d, elapsed_us);
	char own[24], shared[24], state[8];

	monitor_state(d, state);
	if (r->json) {
		top_json(d, &s, t, state);
		return;
	}
	log_print("%-20s %4u  %s %5lu.%lu %9lu %6lu %8s %8s %9lu %9lu\n", d->name, d->id, state,
	          t.cpu_permille / 10, t.cpu_permille % 10, t.exits_per_s,
	          (d->space.memory_pages + 128) / 256, monitor_mib(own, s.private_pages),
	          monitor_mib(shared, s.shared_mappings + s.zero_mappings + s.ones_mappings),
	          s.merges, s.breaks);
}

static void top_header(struct run *r)
{
	struct mm_stats m = mm_stats();
	char free[24], saved[24];
	uint64_t s = machine_ns() / NS_PER_S;
	int64_t growth = (int64_t)(m.pages_saved - last_saved);

	if (r->json)
		return;
	if (r->words == 1)
		log_print("\x1b[H\x1b[J"); /* a screen of its own: to the corner, erase */
	log_print(
	    "up %lu s, %u CPUs, %s MiB free; saved %s MiB (%lu pages, %+ld); breaks %lu; any key "
	    "ends\n",
	    s, machine_cpus(), monitor_mib(free, m.frames_free), monitor_mib(saved, m.pages_saved),
	    m.pages_saved, growth, m.breaks);
	log_print("%-20s %4s  %-6s %7s %9s %6s %8s %8s %9s %9s\n", "Name", "ID", "State", "CPU(%)",
	          "Exits/s", "Mem", "Own", "Shared", "Merges", "Breaks");
}

/* at[0]: samples still to come; at[1]: when the next is due */
bool monitor_top(struct run *r)
{
	uint64_t now = machine_ns(), elapsed_us;
	struct domain *d;

	r->later = true;
	if (r->calls == 0) {
		r->at[0] = UINT64_MAX;
		if (r->words > 1 &&
		    (!monitor_number(r, r->word[1], "the number of samples", &r->at[0]) ||
		     !r->at[0]))
			return true;
		look();
		r->at[1] = now + NS_PER_S;
		return false;
	}
	if (r->key >= 0 || r->interrupted)
		return true;
	if (now < r->at[1])
		return false;
	elapsed_us = (now - last_ns) / 1000;
	top_header(r);
	for (d = monitor_after(0); d; d = monitor_after(d->id))
		top_domain(r, d, elapsed_us);
	look();
	r->at[1] = now + NS_PER_S;
	return --r->at[0] == 0;
}
