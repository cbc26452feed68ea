/* SPDX-License-Identifier: MIT */
/* The monitor's verb `frames`: where every frame of the machine is, who waits, and what would help.
 */
#include "kernel/inject.h"
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/overcommit.h"
#include "kernel/string.h"
#include "kernel/waiters.h"

/* One instant, taken while every other CPU stands still. */
static struct {
	struct mm_stats mm;
	struct mm_account domain[MAX_DOMAINS];
	uint64_t part[MAX_DOMAINS]; /* 1/2^32 pages */
	bool used[MAX_DOMAINS];
	bool exact; /* the parts were asked for: they take a walk through all p2ms */
	uint64_t promised;
} instant;

static void take_domain(struct domain *d, void *arg)
{
	struct mm_account *a = &instant.domain[d->id];

	(void)arg;
	*a = mm_account(&d->space);
	instant.used[d->id] = true;
	if (instant.exact)
		instant.part[d->id] = share_part(&d->space);
	instant.promised += a->memory;
}

static void take_instant(void *arg)
{
	memset(&instant, 0, sizeof(instant));
	instant.exact = *(const bool *)arg;
	instant.mm = mm_stats();
	domain_each(take_domain, NULL);
}

static const char *state_name(void)
{
	switch (overcommit_state()) {
	case OVERCOMMIT_STALLED:
		return "STALLED";
	case OVERCOMMIT_WAITS:
		return "waits";
	case OVERCOMMIT_FLOWS:
		break;
	}
	return "flows";
}

/* ---- the machine ---- */

static void machine_json(const struct waiters_view *w)
{
	const struct mm_stats *m = &instant.mm;
	struct json j;

	json_begin(&j);
	json_string(&j, "state", state_name());
	json_number(&j, "frames_total", m->frames_total);
	json_number(&j, "frames_reserved", m->frames_reserved);
	json_number(&j, "frames_hypervisor", m->frames_hypervisor);
	json_number(&j, "frames_service", m->frames_service);
	json_number(&j, "frames_constant", m->frames_constant);
	json_number(&j, "frames_table", m->frames_table);
	json_number(&j, "frames_private", m->frames_private);
	json_number(&j, "frames_shared", m->frames_shared);
	json_number(&j, "frames_compressed", m->frames_store);
	json_number(&j, "frames_free", m->frames_free);
	json_number(&j, "frames_guaranteed", m->frames_debt);
	json_number(&j, "frames_loans", m->frames_loans);
	json_number(&j, "frames_reserve", m->frames_reserve);
	json_number(&j, "reserve_level", m->reserve_level);
	json_number(&j, "promised_pages", instant.promised);
	json_number(&j, "pages_saved", m->pages_saved);
	json_number(&j, "pages_compressed", m->pages_compressed);
	json_number(&j, "pages_compressed_filled", m->pages_compressed_filled);
	json_number(&j, "compressed_bytes", m->compressed_bytes);
	json_number(&j, "compressions", m->compressions);
	json_number(&j, "expansions", m->expansions);
	json_number(&j, "incompressible", m->incompressible);
	json_number(&j, "waiting", w->waiting);
	json_number(&j, "waiting_within_min", w->within_min);
	json_number(&j, "served", w->served);
	json_milli(&j, "longest_wait_ms", w->longest_ns / 1000);
	monitor_json(&j);
}

static void frames_line(const char *name, uint64_t frames, const char *gloss)
{
	char text[24];

	log_print("%-16s: %10s MiB  %s\n", name, monitor_mib(text, frames), gloss);
}

static void machine_lines(const struct waiters_view *w)
{
	const struct mm_stats *m = &instant.mm;
	uint64_t kept = m->frames_debt + m->frames_loans + m->frames_reserve;
	uint64_t had = m->frames_free - min_u64(m->frames_free, kept);

	frames_line("machine", m->frames_total, "is the sum of:");
	frames_line("  own", m->frames_private, "held by one domain each");
	frames_line("  shared", m->frames_shared + m->frames_constant,
	            "held by several, stored once");
	frames_line("  page tables", m->frames_table, "of the domains");
	frames_line("  compressed", m->frames_store, "the store of their cold pages");
	frames_line("  structures", m->frames_hypervisor + m->frames_service,
	            "vCPUs, stores, rings");
	frames_line("  never given", m->frames_reserved,
	            "the image, the frame table, firmware, holes");
	frames_line("  free", m->frames_free, "and of these:");
	frames_line("    guaranteed", m->frames_debt, "parts of a `min` that are not held now");
	frames_line("    for loans", m->frames_loans, "to guests that give memory back");
	frames_line("    reserve", m->frames_reserve, "for copies of shared pages only");
	frames_line("    to be had", had, "");
	if (m->pages_compressed)
		log_print(
		    "%lu pages are compressed, %lu of them to a byte, into %lu frames; %lu came "
		    "back, %lu were tried in vain\n",
		    m->pages_compressed, m->pages_compressed_filled, m->frames_store, m->expansions,
		    m->incompressible);
	frames_line("promised", instant.promised, "to all domains together");
	log_print("%u vCPUs wait for memory; the longest wait was %lu ms; %lu turns were given\n",
	          w->waiting, w->longest_ns / 1000000, w->served);
}

/* ---- the domains ---- */

static void domain_json(const struct domain *d)
{
	const struct mm_account *a = &instant.domain[d->id];
	uint64_t part = instant.part[d->id], longest;
	unsigned waiting;
	struct json j;

	longest = overcommit_longest_ns(d, &waiting);
	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_number(&j, "memory", a->memory);
	json_number(&j, "maxmem", a->max);
	json_number(&j, "min", a->min);
	json_number(&j, "populated", a->populated);
	json_number(&j, "untouched", a->untouched);
	json_number(&j, "own", a->own);
	json_number(&j, "shared_mappings", a->mappings);
	if (instant.exact)
		json_milli(&j, "shared_part",
		           (part >> 32) * 1000 + ((part & UINT32_MAX) * 1000 >> 32));
	json_number(&j, "ballooned", a->ballooned);
	json_number(&j, "compressed", a->compressed);
	json_number(&j, "compressed_frames", a->store);
	json_number(&j, "table_frames", a->tables);
	json_number(&j, "structure_frames", a->service + a->hypervisor);
	json_number(&j, "guaranteed_not_held", a->owed);
	json_number(&j, "waiting", waiting);
	json_milli(&j, "longest_wait_ms", longest / 1000);
	monitor_json(&j);
}

static void domain_line(const struct domain *d)
{
	const struct mm_account *a = &instant.domain[d->id];
	uint64_t shared = instant.exact ? (instant.part[d->id] + UINT32_MAX) >> 32 : a->mappings;
	char t[9][24];

	log_print("%-16s %4u %8s %8s %8s %9s %8s %8s %9s %8s %7s\n", d->name, d->id,
	          monitor_mib(t[0], a->memory), monitor_mib(t[1], a->max),
	          monitor_mib(t[2], a->min), monitor_mib(t[3], a->populated),
	          monitor_mib(t[4], a->own), monitor_mib(t[5], shared),
	          monitor_mib(t[6], a->ballooned), monitor_mib(t[7], a->compressed),
	          monitor_mib(t[8], a->tables + a->service + a->hypervisor + a->store));
}

static void domain_advice(struct domain *d)
{
	char text[240];

	if (overcommit_state() == OVERCOMMIT_STALLED && overcommit_advice(d, text, sizeof(text)))
		log_print("    STALLED: %s\n", text);
}

static void frames_begin(bool as_json, bool exact)
{
	struct waiters_view w = waiters_view();

	sched_stopped(take_instant, &exact);
	if (as_json) {
		machine_json(&w);
		return;
	}
	machine_lines(&w);
	log_print("%-16s %4s %8s %8s %8s %9s %8s %8s %9s %8s %7s\n", "Name", "ID", "Mem", "Max",
	          "Min", "Populated", "Own", exact ? "Part" : "Shared", "Ballooned", "Compr.",
	          "Tables");
}

/* at[0]: the last id that was shown */
bool monitor_frames(struct run *r)
{
	bool exact = r->words == 2 && !strcmp(r->word[1], "exact");

	if (r->words == 2 && !exact)
		return monitor_fail(r, "`exact` or nothing");
	if (r->calls == 0)
		frames_begin(r->json, exact);
	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++) {
		struct domain *d = monitor_after((domid_t)r->at[0]);

		if (!d)
			return true;
		r->at[0] = d->id;
		if (!instant.used[d->id])
			continue;
		if (r->json) {
			domain_json(d);
		} else {
			domain_line(d);
			domain_advice(d);
		}
	}
	return false;
}

/* ---- refusals on request ---- */

bool monitor_refuse(struct run *r)
{
	const char *what = r->words > 1 ? r->word[1] : "";
	bool every = !strcmp(what, "every"), all = !strcmp(what, "all");
	uint64_t n = 0;

	if ((every || all) != (r->words == 3) || (r->words == 2 && strcmp(what, "off")))
		return monitor_fail(r, "`every K`, `all MS` or `off`");
	if (r->words == 3 && !monitor_number(r, r->word[2], every ? "K" : "the milliseconds", &n))
		return true;
	if (r->words == 1)
		log_print("%lu requests were refused so far\n", inject_refused());
	else if (all)
		inject_all_until(machine_ns() + n * UINT64_C(1000000));
	else
		inject_every(n);
	log_tag("refuse refused=%lu", inject_refused());
	return true;
}
