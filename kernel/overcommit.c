/* SPDX-License-Identifier: MIT */
/*
 * More memory promised than there is, as the operator sees it.
 *
 *	               somebody waits                     for STALL_NS nobody above its
 *	              (kernel/waiters.c)                  min ran, nobody was served; or DRY
 *	   FLOWS  ----------------------->   WAITS   ----------------------->   STALLED
 *	     ^                               |   ^                                 |
 *	     +------- the line is empty -----+   +--- somebody runs, or is served -+
 *
 * DRY: for DRY_NS somebody has waited for a new page, and no frame came free beyond the reserve.
 * Others may run all the while, on what they have and on copies from the reserve; who waits gets one frame
 * of it each PATIENCE_NS (waiters.c), which at that rate is no way to get on. It ends when one comes free.
 *
 * STALLED is no state of a guest: all of them are as they were, no byte is lost, and the
 * first frame that comes back goes to the first in line. But no frame will come back
 * by itself then: a scanner that had pages to merge would have served somebody, and a guest
 * that waits cannot move its balloon. So the operator is told, once, who holds what, and what
 * `mem-set` or `destroy` would free.
 *
 * Domains within their min run all the while; that does not end a stall.
 */
#include "kernel/overcommit.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/waiters.h"
#include "mm/fund.h"
#include "mm/policy/reserve.h"

#define STALL_NS      UINT64_C(2000000000)  /* more than the patience of waiters.c */
#define DRY_NS        UINT64_C(30000000000) /* time for balloons, and for a round of the scanner */
#define RESERVE_LOOK  UINT64_C(100000000)   /* the reserve is sized so often */
#define LINES_AT_ONCE 8u                    /* of a report nobody asked for */

static struct {
	enum overcommit_state state;
	uint64_t ran_ns;            /* when one above its min was last seen to run */
	uint64_t wanted_ns, dry_ns; /* when one waited for a new page; since when, in vain */
	uint64_t reserve_ns;
	struct reserve_policy reserve;
} now_is;

static bool holds_more_than_min(const struct domain *d)
{
	return d->space.held > d->space.min_pages;
}

/* ---- a look ---- */

struct look {
	bool runs;
	uint64_t breaks;
};

static void look_at(struct domain *d, void *arg)
{
	struct look *l = arg;

	l->breaks += d->space.stats.breaks;
	if (d->paused || d->dying || d->shutdown != SHUTDOWN_NONE || !holds_more_than_min(d))
		return;
	for (unsigned i = 0; i < d->nr_vcpus; i++)
		l->runs |= d->vcpus[i] && d->vcpus[i]->state == VCPU_RUNNABLE;
}

void overcommit_init(void)
{
	uint64_t level = fund_look().reserve_level;
	bool fixed = cmdline_share("reserve", 100, UINT64_MAX) != UINT64_MAX;

	now_is.state = OVERCOMMIT_FLOWS;
	now_is.ran_ns = now_is.reserve_ns = now_is.wanted_ns = now_is.dry_ns = 0;
	now_is.reserve = (struct reserve_policy){.least = fixed ? level : level / 2,
	                                         .most = fixed ? level : level * 4};
}

static void size_reserve(uint64_t breaks, uint64_t now)
{
	if (now < now_is.reserve_ns)
		return;
	now_is.reserve_ns = now + RESERVE_LOOK;
	fund_set_reserve(reserve_level(&now_is.reserve, breaks, now));
}

struct report {
	unsigned lines;
};

static void report_domain(struct domain *d, void *arg)
{
	struct report *r = arg;
	char text[240];

	if (r->lines < LINES_AT_ONCE && overcommit_advice(d, text, sizeof(text))) {
		log_warn("  %s", text);
		r->lines++;
	}
}

/* One that gets a frame of the reserve now and then is not in line for a moment after it: that ends nothing. */
static bool note_dry(const struct waiters_view *w, uint64_t now)
{
	if (now >= now_is.wanted_ns + STALL_NS)
		now_is.dry_ns = now;
	if (w->for_new)
		now_is.wanted_ns = now;
	now_is.dry_ns = max_u64(now_is.dry_ns, w->beyond_ns);
	return now >= now_is.dry_ns + DRY_NS;
}

static void tell_stalled(const struct waiters_view *w, bool dry)
{
	struct fund_view f = fund_look();
	struct report r = {0};

	log_tag("stalled waiting=%u free=%lu guaranteed=%lu reserve=%lu", w->waiting, f.free,
	        f.debt, f.reserve);
	if (dry)
		log_warn("STALLED: %u vCPUs wait for memory, and for %lu s none came free but "
		         "what is for copies of shared pages",
		         w->waiting, DRY_NS / 1000000000);
	else
		log_warn("STALLED: %u vCPUs wait for memory, and nothing that holds more than its "
		         "`min` can run",
		         w->waiting);
	domain_each(report_domain, &r);
	if (r.lines == LINES_AT_ONCE)
		log_warn("  `frames` tells of all domains");
}

static void change(enum overcommit_state state, const struct waiters_view *w, bool dry)
{
	enum overcommit_state before = now_is.state;

	now_is.state = state;
	if (state == OVERCOMMIT_STALLED && before != state)
		tell_stalled(w, dry);
	if (before == OVERCOMMIT_STALLED && before != state)
		log_tag("resumed waiting=%u longest_ms=%lu", w->waiting, w->longest_ns / 1000000);
}

void overcommit_poll(void)
{
	struct waiters_view w;
	struct look l = {0};
	uint64_t now = machine_ns();
	bool dry;

	if (!waiters_any() && now_is.state == OVERCOMMIT_FLOWS && now < now_is.reserve_ns)
		return;
	domain_each(look_at, &l);
	size_reserve(l.breaks, now);
	w = waiters_view();
	if (l.runs)
		now_is.ran_ns = now;
	dry = note_dry(&w, now);
	if (!w.waiting && !dry)
		change(OVERCOMMIT_FLOWS, &w, dry);
	else if (!dry && now < max_u64(now_is.ran_ns, w.served_ns) + STALL_NS)
		change(OVERCOMMIT_WAITS, &w, dry);
	else
		change(OVERCOMMIT_STALLED, &w, dry);
}

enum overcommit_state overcommit_state(void)
{
	return now_is.state;
}

/* ---- who holds what ---- */

uint64_t overcommit_longest_ns(const struct domain *d, unsigned *waiting)
{
	uint64_t longest = 0, now = machine_ns();

	*waiting = 0;
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		const struct vcpu *v = d->vcpus[i];

		if (!v)
			continue;
		longest = max_u64(longest, v->longest_memory_ns);
		if (v->state != VCPU_MEMORY)
			continue;
		(*waiting)++;
		longest = max_u64(longest, now - min_u64(now, v->wait_began_ns));
	}
	return longest;
}

/* Even one that waits for memory may: it is lent some, to give more back (fund_lend). */
static bool can_follow(struct domain *d)
{
	return !d->paused && !d->dying && d->shutdown == SHUTDOWN_NONE &&
	       domain_listens(d, WISH_MEMORY);
}

/* Pages as MiB with one decimal. */
#define MIB_ARGS(pages) (pages) / 256, (pages) % 256 * 10 / 256

bool overcommit_advice(struct domain *d, char *text, size_t bytes)
{
	struct mm_account a = mm_account(&d->space);
	uint64_t freed = a.own + a.tables + a.service + a.hypervisor + a.store,
	         more = a.own - min_u64(a.own, a.min);
	uint64_t floor = (a.min + 255) / 256, least = min_u64(a.memory, max_u64(floor, 1) * 256);
	int n;

	if (d->dying || (!more && d->shutdown == SHUTDOWN_NONE))
		return false;
	n = text_format(
	    text, bytes,
	    "%s (%u)%s holds %lu.%lu MiB alone, %lu.%lu guaranteed: `destroy %s` frees %lu.%lu",
	    d->name, d->id, d->shutdown != SHUTDOWN_NONE ? " has shut down and" : "",
	    MIB_ARGS(a.own), MIB_ARGS(a.min), d->name, MIB_ARGS(freed));
	if (can_follow(d) && (size_t)n < bytes && min_u64(a.memory - least, more) >= 256)
		text_format(text + n, bytes - (size_t)n, ", `mem-set %s %lu` up to %lu.%lu",
		            d->name, least / 256, MIB_ARGS(min_u64(a.memory - least, more)));
	return true;
}

/* ---- whether one more fits ---- */

struct promises {
	uint64_t min, others, above; /* others: tables and what the hypervisor has for domains */
};

static void add_promises(struct domain *d, void *arg)
{
	struct promises *p = arg;
	struct mm_account a = mm_account(&d->space);

	p->min += a.min;
	p->others += a.tables + a.service + a.hypervisor + a.store;
	p->above += a.own - min_u64(a.own, a.min);
}

bool overcommit_fits(const struct space_config *c, uint64_t other_frames, char *why, size_t bytes)
{
	uint64_t beside = space_tables_needed(c) + c->loan_pages + other_frames,
	         need = c->min_pages + beside, all, kept;
	struct promises p = {0};
	struct fund_view f;
	struct mm_stats st;

	f = fund_look();
	if (f.free >= f.debt + f.loans + f.reserve_level + need)
		return true;
	st = mm_stats();
	domain_each(add_promises, &p);
	kept = f.reserve_level + f.loans;
	all = st.frames_total - st.frames_reserved - st.frames_constant;
	if (p.min + p.others + kept + need > all)
		text_format(why, bytes,
		            "its `min` of %lu.%lu MiB and %lu.%lu for its page tables and vCPUs "
		            "are too much: of the "
		            "machine's %lu.%lu MiB, %lu.%lu are guaranteed to others, %lu.%lu hold "
		            "their tables, and "
		            "%lu.%lu are the reserve; a lower `min`, or less memory, would fit",
		            MIB_ARGS(c->min_pages), MIB_ARGS(beside), MIB_ARGS(all),
		            MIB_ARGS(p.min), MIB_ARGS(p.others), MIB_ARGS(kept));
	else
		text_format(why, bytes,
		            "its `min` of %lu.%lu MiB and %lu.%lu for its page tables and vCPUs "
		            "cannot be backed now: "
		            "%lu.%lu MiB are free, %lu.%lu of them guaranteed to others and "
		            "%lu.%lu the reserve; other "
		            "domains hold %lu.%lu above their `min`, which `mem-set` or `destroy` "
		            "gives back, and share %lu.%lu",
		            MIB_ARGS(c->min_pages), MIB_ARGS(beside), MIB_ARGS(f.free),
		            MIB_ARGS(f.debt), MIB_ARGS(kept), MIB_ARGS(p.above),
		            MIB_ARGS(st.frames_shared));
	return false;
}
