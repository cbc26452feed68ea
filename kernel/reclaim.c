/* SPDX-License-Identifier: MIT */
/*
 * A round of reclaim:
 *
 *	look	what each domain costs, how much of it is in use, who follows
 *	decide	mm/policy/reclaim.c: the state, and a target and a step for each
 *	ask	the wish goes to the guest by xenstore and by event (wish.c)
 *
 * and the next round reads back what became of it. What a domain *costs* is frames of its own
 * (space.held), or its min if that is more: a page that is shared, or was never touched, is worth
 * nothing to others. What a guest is *asked for* is memory: it is to have as many pages less as it
 * should cost less. If it gives pages that cost nothing, the next round asks for more. When memory
 * is short (hard, low) there is no time for that: a guest gives what it never touched first, and
 * may stand in line itself before it comes to pages that are worth something. Then it is to have
 * what it has touched, less what it should cost less. It could not touch the others now anyway.
 *
 * Rounds come once a second; at once when free memory has crossed a level or a vCPU waits for
 * memory, but not more often than each HURRY_NS. A round that comes early takes no bigger
 * steps: each begins where the guest is now.
 *
 * Who follows. A guest that was asked, is not there, and has not moved its balloon for
 * STILL_ROUNDS, does not follow: it is shown, its wish stays as it is, and the others share the
 * rest. When its balloon moves it is one of them again. The limit of a guest is what
 * the operator wants it to have (`mem-set`); reclaim asks for less than that, never for more.
 *
 * A guest that is paused, ends, or listens to nobody is skipped as well.
 */
#include "kernel/reclaim.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/waiters.h"
#include "mm/fund.h"

#define MS              UINT64_C(1000000)
#define HURRY_NS        (100 * MS)
#define STILL_ROUNDS    5u /* as many seconds as wish.c waits */
#define SAMPLED_AT_ONCE 8u
#define NEAR_PAGES      16u /* the guest's own count differs by the pages that are ours */
#define NEAR_PART       256u

static const struct reclaim_settings settings_default = {
    .on = true, .round_ms = 1000, .period_ms = 30000, .sample_pages = 100};

static struct {
	struct reclaim_settings set;
	struct reclaim policy;
	struct reclaim_machine machine;
	reclaim_compressor *compressor;
	uint64_t last_ns, next_ns; /* of rounds */
	uint64_t rounds, asked;
	domid_t sampled; /* whose turn it was last */
} now_is;

/* The domains of this round. */
static struct {
	struct reclaim_domain row[MAX_DOMAINS];
	struct domain *domain[MAX_DOMAINS];
	unsigned n;
} this_round;

/* ---- settings ---- */

static bool parse_digits(const char **s, uint64_t *n)
{
	if (**s < '0' || **s > '9')
		return false;
	for (*n = 0; **s >= '0' && **s <= '9' && *n <= UINT32_MAX; ++*s)
		*n = *n * 10 + (uint64_t)(**s - '0');
	return *n <= UINT32_MAX;
}

/* "6,4,2,1" */
static bool parse_levels(const char *s, unsigned level[RECLAIM_STATES])
{
	uint64_t n;

	for (unsigned i = 0; i < RECLAIM_STATES; i++) {
		if (!parse_digits(&s, &n) || n > 100 || *s != (i + 1 < RECLAIM_STATES ? ',' : '\0'))
			return false;
		level[i] = (unsigned)n;
		s++;
	}
	return true;
}

static const char *settings_trouble(const struct reclaim_settings *s)
{
	if (s->round_ms < 10 || s->round_ms > 60000)
		return "round is 10 to 60000 (milliseconds)";
	if (s->period_ms < 100 || s->period_ms > 3600000)
		return "period is 100 to 3600000 (milliseconds)";
	if (s->sample_pages < 1 || s->sample_pages > SAMPLE_MOST)
		return "sample is 1 to 128 (pages)";
	return reclaim_knobs_trouble(&s->knobs);
}

const char *reclaim_set_knob(struct reclaim_settings *s, const char *name, const char *value)
{
	const char *end = value;
	uint64_t n = 0;

	if (!strcmp(name, "levels"))
		return parse_levels(value, s->knobs.level)
		           ? settings_trouble(s)
		           : "levels are four numbers (per cent), as 6,4,2,1";
	if (strcmp(name, "tau") && strcmp(name, "round") && strcmp(name, "period") &&
	    strcmp(name, "sample"))
		return "the knobs are tau, levels, round, period and sample";
	if (!parse_digits(&end, &n) || *end)
		return "the value must be a number";
	if (!strcmp(name, "tau"))
		s->knobs.tau = (unsigned)n;
	else if (!strcmp(name, "round"))
		s->round_ms = (uint32_t)n;
	else if (!strcmp(name, "period"))
		s->period_ms = (uint32_t)n;
	else
		s->sample_pages = (uint32_t)n;
	return settings_trouble(s);
}

static void settings_from_cmdline(struct reclaim_settings *s)
{
	static const char *const knob[] = {"tau", "levels", "round", "period", "sample"};
	char key[24], value[24];

	s->on = cmdline_bool("reclaim.on", true);
	for (unsigned i = 0; i < ARRAY_SIZE(knob); i++) {
		struct reclaim_settings would = *s;
		const char *trouble;

		text_format(key, sizeof(key), "reclaim.%s", knob[i]);
		if (!cmdline_get(key, value, sizeof(value)))
			continue;
		trouble = reclaim_set_knob(&would, knob[i], value);
		if (trouble)
			log_warn("command line: %s is \"%s\": %s; it stays as it was", key, value,
			         trouble);
		else
			*s = would;
	}
}

void reclaim_init(void)
{
	struct mm_stats st = mm_stats();

	memset(&now_is, 0, sizeof(now_is));
	now_is.set = settings_default;
	now_is.set.knobs = reclaim_defaults;
	settings_from_cmdline(&now_is.set);
	now_is.machine.frames = st.frames_total - st.frames_reserved - st.frames_constant;
}

void reclaim_set_compressor(reclaim_compressor *f)
{
	now_is.compressor = f;
}

struct reclaim_settings reclaim_settings(void)
{
	return now_is.set;
}

/* ---- look ---- */

static bool near(uint64_t a, uint64_t b)
{
	uint64_t off = max_u64(a, b) - min_u64(a, b);

	return off <= max_u64(NEAR_PAGES, max_u64(a, b) / NEAR_PART);
}

/* What the operator wants it to have. */
static uint64_t limit_of(const struct domain *d)
{
	return min_u64(d->limit_pages, d->space.max_pages);
}

/* It was asked to have less than that. */
static bool is_limited(const struct domain *d)
{
	return d->target_pages < limit_of(d) && !near(d->target_pages, limit_of(d));
}

static bool waits(const struct domain *d)
{
	for (unsigned i = 0; !d->paused && i < d->nr_vcpus; i++)
		if (d->vcpus[i] && d->vcpus[i]->state == VCPU_MEMORY)
			return true;
	return false;
}

static const char *skipped_why(struct domain *d)
{
	if (d->shutdown != SHUTDOWN_NONE)
		return "has ended";
	if (d->paused)
		return "is paused";
	if (!domain_listens(d, WISH_MEMORY))
		return "listens to nobody";
	return d->reclaim.still >= STILL_ROUNDS ? "does not follow" : NULL;
}

/* Once a regular round: has it moved since the last one? */
static void observe(struct domain *d)
{
	uint64_t memory = d->space.memory_pages;
	bool still = memory == d->reclaim.seen_pages && !near(memory, d->target_pages);

	if (!still)
		d->reclaim.still = 0;
	else if (!d->paused && ++d->reclaim.still == STILL_ROUNDS)
		log_info("domain %u (%s) was asked to have %lu MiB and has %lu: it does not follow",
		         d->id, d->name, d->target_pages / 256, memory / 256);
	d->reclaim.seen_pages = memory;
}

static void take_domain(struct domain *d, void *arg)
{
	const struct space *s = &d->space;
	uint64_t charged = max_u64(s->held, s->min_pages), limit = limit_of(d), want = charged;

	if (d->dying)
		return;
	if (*(bool *)arg)
		observe(d);
	sample_look(&d->reclaim.sample, &d->space);
	if (is_limited(d))
		want += limit - min_u64(limit, s->memory_pages);
	if (waits(d))
		want = max_u64(want, limit);
	this_round.domain[this_round.n] = d;
	this_round.row[this_round.n++] = (struct reclaim_domain){
	    .min = s->min_pages,
	    .want = want,
	    .charged = charged,
	    .active = sample_active(&d->reclaim.sample, s),
	    .shares = (uint32_t)max_u64(d->shares, 1),
	    .limited = is_limited(d),
	    .skipped = skipped_why(d),
	};
}

static void look_at_machine(void)
{
	struct fund_view f = fund_look();

	now_is.machine.free = f.free - min_u64(f.free, f.debt + f.loans + f.reserve_level);
}

/* ---- ask ---- */

static void ask(struct domain *d, uint64_t wish)
{
	uint64_t limit = limit_of(d);

	wish = max_u64(min_u64(wish, limit), min_u64(d->space.min_pages, limit));
	if (near(wish, limit))
		wish = limit;
	if (wish == d->target_pages || (near(wish, d->target_pages) && wish != limit))
		return;
	now_is.asked++;
	domain_set_target(d, wish);
}

/* As many pages more or less as it should cost more or less. */
static void ask_for_step(struct domain *d, const struct reclaim_domain *r)
{
	uint64_t memory = d->space.memory_pages, less = r->charged - min_u64(r->charged, r->next);

	if (less && now_is.policy.state >= RECLAIM_HARD)
		less += d->space.stats.untouched;
	if (less)
		ask(d, memory - min_u64(memory, less));
	else
		ask(d, memory + (r->next - r->charged));
}

/* One that is skipped keeps its wish, until there is so much that all may have all again. */
static void release(struct domain *d)
{
	const struct reclaim_machine *m = &now_is.machine;
	uint64_t missing = reclaim_goal(&now_is.set.knobs, m->frames);

	for (unsigned i = 0; i < this_round.n; i++)
		missing += this_round.row[i].want - this_round.row[i].charged;
	if (m->free > missing)
		ask(d, limit_of(d));
}

static void carry_out(unsigned i)
{
	const struct reclaim_domain *r = &this_round.row[i];
	struct domain *d = this_round.domain[i];

	if (!r->skipped)
		ask_for_step(d, r);
	else if (r->limited)
		release(d);
	if (r->compress && now_is.compressor)
		(void)now_is.compressor(d, r->compress);
}

/* ---- a round ---- */

static void tell_state(enum reclaim_state before)
{
	const struct reclaim_machine *m = &now_is.machine;

	if (now_is.policy.state != before)
		log_tag("reclaim state=%s free=%lu goal=%lu",
		        reclaim_state_name(now_is.policy.state), m->free,
		        reclaim_goal(&now_is.set.knobs, m->frames));
}

/* regular: it came when it was time, not because of a hurry. */
static void run_round(bool regular)
{
	enum reclaim_state before = now_is.policy.state;
	bool busy;

	this_round.n = 0;
	look_at_machine();
	domain_each(take_domain, &regular);
	busy = reclaim_round(&now_is.policy, &now_is.set.knobs, &now_is.machine, this_round.row,
	                     this_round.n);
	tell_state(before);
	now_is.rounds += busy;
	for (unsigned i = 0; i < this_round.n; i++) {
		this_round.domain[i]->reclaim.target = this_round.row[i].target;
		this_round.domain[i]->reclaim.compress = this_round.row[i].compress;
		if (busy)
			carry_out(i);
	}
}

/* Somebody waits, or free memory is in another state than it was. */
static bool in_a_hurry(void)
{
	if (waiters_press())
		return true;
	look_at_machine();
	return reclaim_state_after(now_is.policy.state, &now_is.set.knobs, &now_is.machine) !=
	       now_is.policy.state;
}

static void poll_round(uint64_t now)
{
	bool regular = now >= now_is.next_ns;

	if (!regular && (now < now_is.last_ns + HURRY_NS || !in_a_hurry()))
		return;
	now_is.last_ns = now;
	if (regular)
		now_is.next_ns = now + now_is.set.round_ms * MS;
	run_round(regular);
}

/* ---- sampling ---- */

/* A guest that stands still through no fault of its own is not taken for an idle one. */
static bool stands_still(const struct domain *d)
{
	return d->paused || d->dying || d->shutdown != SHUTDOWN_NONE || waits(d);
}

/* A few a call; the next call goes on where this one stopped. */
static void poll_sample(uint64_t now)
{
	unsigned done = 0, first = now_is.sampled + 1u;

	for (unsigned i = 0; i < MAX_DOMAINS && done < SAMPLED_AT_ONCE; i++) {
		struct domain *d = domain_find((domid_t)((first + i) % MAX_DOMAINS));

		if (!d || now < d->reclaim.period_ends_ns || stands_still(d))
			continue;
		d->reclaim.period_ends_ns = now + now_is.set.period_ms * MS;
		sample_period(&d->reclaim.sample, &d->space, now_is.set.sample_pages);
		now_is.sampled = d->id;
		done++;
	}
}

void reclaim_poll(void)
{
	uint64_t now = machine_ns();

	if (!now_is.set.on)
		return;
	poll_sample(now);
	poll_round(now);
}

/* ---- changes ---- */

static void give_back(struct domain *d, void *arg)
{
	(void)arg;
	d->reclaim.target = d->reclaim.compress = 0;
	if (!d->dying && is_limited(d))
		ask(d, limit_of(d));
}

static void end_period(struct domain *d, void *arg)
{
	d->reclaim.period_ends_ns = min_u64(d->reclaim.period_ends_ns, *(uint64_t *)arg);
}

const char *reclaim_use(const struct reclaim_settings *s)
{
	const char *trouble = settings_trouble(s);
	uint64_t latest = machine_ns() + s->period_ms * MS;

	if (trouble)
		return trouble;
	now_is.set = *s;
	now_is.next_ns = 0;
	domain_each(end_period, &latest);
	if (s->on)
		return NULL;
	now_is.policy.state = RECLAIM_HIGH;
	domain_each(give_back, NULL);
	return NULL;
}

/* ---- for whoever looks on ---- */

struct reclaim_machine_view reclaim_machine_view(void)
{
	look_at_machine();
	return (struct reclaim_machine_view){
	    .state = now_is.policy.state,
	    .frames = now_is.machine.frames,
	    .free = now_is.machine.free,
	    .goal = reclaim_goal(&now_is.set.knobs, now_is.machine.frames),
	    .rounds = now_is.rounds,
	    .asked = now_is.asked,
	};
}

struct reclaim_view reclaim_view(struct domain *d)
{
	const char *skipped = skipped_why(d);
	const struct space *s = &d->space;

	return (struct reclaim_view){
	    .min = s->min_pages,
	    .max = limit_of(d),
	    .memory = s->memory_pages,
	    .wish = d->target_pages,
	    .charged = max_u64(s->held, s->min_pages),
	    .target = d->reclaim.target,
	    .active = sample_active(&d->reclaim.sample, s),
	    .compress = d->reclaim.compress,
	    .shares = d->shares,
	    .follows = skipped ? skipped : "yes",
	};
}
