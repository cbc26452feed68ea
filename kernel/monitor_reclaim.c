/* SPDX-License-Identifier: MIT */
/* The monitor's verb `reclaim`: how much memory each domain should have, and whether it follows. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/reclaim.h"
#include "kernel/string.h"

/* ---- the machine ---- */

static void machine_json(void)
{
	struct reclaim_machine_view m = reclaim_machine_view();
	struct reclaim_settings s = reclaim_settings();
	struct json j;

	json_begin(&j);
	json_string(&j, "reclaim", s.on ? "on" : "off");
	json_string(&j, "state", reclaim_state_name(m.state));
	json_number(&j, "frames", m.frames);
	json_number(&j, "free", m.free);
	json_number(&j, "goal", m.goal);
	json_number(&j, "tau", s.knobs.tau);
	json_number(&j, "level_high", s.knobs.level[RECLAIM_HIGH]);
	json_number(&j, "level_soft", s.knobs.level[RECLAIM_SOFT]);
	json_number(&j, "level_hard", s.knobs.level[RECLAIM_HARD]);
	json_number(&j, "level_low", s.knobs.level[RECLAIM_LOW]);
	json_number(&j, "round_ms", s.round_ms);
	json_number(&j, "period_ms", s.period_ms);
	json_number(&j, "sample_pages", s.sample_pages);
	json_number(&j, "rounds", m.rounds);
	json_number(&j, "asked", m.asked);
	monitor_json(&j);
}

static void machine_lines(void)
{
	struct reclaim_machine_view m = reclaim_machine_view();
	struct reclaim_settings s = reclaim_settings();
	char free[24], goal[24], all[24];

	log_print("reclaim is %s; the state is %s: %s MiB of %s can be had, the goal is %s\n",
	          s.on ? "on" : "off", reclaim_state_name(m.state), monitor_mib(free, m.free),
	          monitor_mib(all, m.frames), monitor_mib(goal, m.goal));
	log_print("tau %u %%; levels %u,%u,%u,%u %%; round %u ms; sample %u pages in %u ms%s\n",
	          s.knobs.tau, s.knobs.level[RECLAIM_HIGH], s.knobs.level[RECLAIM_SOFT],
	          s.knobs.level[RECLAIM_HARD], s.knobs.level[RECLAIM_LOW], s.round_ms,
	          s.sample_pages, s.period_ms,
	          sample_sees_writes_only() ? " (this CPU shows writes only)" : "");
	log_print("%lu rounds had something to do, and %lu wishes were told\n", m.rounds, m.asked);
	log_print("%-16s %4s %10s %8s %8s %8s %8s %8s %8s %7s %8s  %s\n", "Name", "ID", "Shares",
	          "Min", "Max", "Mem", "Wish", "Costs", "Target", "Active", "Compress", "Follows");
}

/* ---- the domains ---- */

/* Of what it has for itself, in per cent. */
static uint64_t active_percent(const struct domain *d, const struct reclaim_view *v)
{
	return d->space.held ? v->active * 100 / d->space.held : 0;
}

static void domain_json(struct domain *d)
{
	struct reclaim_view v = reclaim_view(d);
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_number(&j, "shares", v.shares);
	json_number(&j, "min", v.min);
	json_number(&j, "max", v.max);
	json_number(&j, "memory", v.memory);
	json_number(&j, "wish", v.wish);
	json_number(&j, "costs", v.charged);
	json_number(&j, "target", v.target);
	json_number(&j, "active", v.active);
	json_number(&j, "compress", v.compress);
	json_string(&j, "follows", v.follows);
	monitor_json(&j);
}

static void domain_line(struct domain *d)
{
	struct reclaim_view v = reclaim_view(d);
	char t[7][24];

	log_print("%-16s %4u %10u %8s %8s %8s %8s %8s %8s %6lu%% %8s  %s\n", d->name, d->id,
	          v.shares, monitor_mib(t[0], v.min), monitor_mib(t[1], v.max),
	          monitor_mib(t[2], v.memory), monitor_mib(t[3], v.wish),
	          monitor_mib(t[4], v.charged), monitor_mib(t[5], v.target), active_percent(d, &v),
	          monitor_mib(t[6], v.compress), v.follows);
}

/* at[0]: the last id that was shown */
static bool show(struct run *r)
{
	if (r->calls == 0 && r->json)
		machine_json();
	else if (r->calls == 0)
		machine_lines();
	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++) {
		struct domain *d = monitor_after((domid_t)r->at[0]);

		if (!d)
			return true;
		r->at[0] = d->id;
		if (r->json)
			domain_json(d);
		else
			domain_line(d);
	}
	return false;
}

/* ---- changes ---- */

static bool use(struct run *r, const struct reclaim_settings *s)
{
	const char *trouble = reclaim_use(s);

	return trouble ? monitor_fail(r, "%s", trouble) : true;
}

static bool set_knob(struct run *r)
{
	struct reclaim_settings s = reclaim_settings();
	const char *trouble = reclaim_set_knob(&s, r->word[2], r->word[3]);

	if (trouble)
		return monitor_fail(r, "`%s`: %s", r->word[3], trouble);
	return use(r, &s);
}

static bool set_shares(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[2]);
	uint64_t n;

	if (!d || !monitor_number(r, r->word[3], "the number of shares", &n))
		return true;
	if (n < 1 || n > RECLAIM_SHARES_MOST)
		return monitor_fail(r, "a domain has 1 to %u shares, not %lu", RECLAIM_SHARES_MOST,
		                    n);
	d->shares = (uint32_t)n;
	return true;
}

static bool turn(struct run *r, bool on)
{
	struct reclaim_settings s = reclaim_settings();

	s.on = on;
	return use(r, &s);
}

bool monitor_reclaim(struct run *r)
{
	const char *what = r->words > 1 ? r->word[1] : "";

	if (r->words == 1)
		return show(r);
	if (r->words == 4 && !strcmp(what, "set"))
		return set_knob(r);
	if (r->words == 4 && !strcmp(what, "shares"))
		return set_shares(r);
	if (r->words == 2 && (!strcmp(what, "on") || !strcmp(what, "off")))
		return turn(r, !strcmp(what, "on"));
	return monitor_fail(r, "`on`, `off`, `set KNOB VALUE` or `shares DOMAIN N`");
}
