/* SPDX-License-Identifier: MIT */
/*
 * Squeezing: who compresses cold pages, and when.
 *
 * Rule. When a vCPU has waited for memory for AFTER_NS, no balloon has delivered. From then on,
 * and for ON_NS after the last such wait, each look of CPU 0 that finds somebody in line compresses a few cold pages of one domain after the
 * other, whoever holds more than its min, as many as there are vCPUs in line and some; the
 * frames go to the line by the usual rule (waiters.c). Nobody waits: nothing is done.
 *
 * Unless sharing delivers: while the line moves, and at least as many pages are merged as vCPUs wait,
 * the time goes to the scanner. What is merged frees as much, and costs its guest nothing when it is read. Both
 * are looked at, as merges that only pay for breaks move no line.
 *
 * Before anybody waits, reclaim asks for it where memory is short and a guest is far above its target
 * (reclaim.c, in the states hard and low): a slice of that domain each round.
 *
 * A round. The hand of a domain's clock (mm/compress.c) goes round once in ROUND_NS at most: so
 * "not used for a round" means for that long at least.
 *
 * Thrashing. If the guests use more than fits, pages that went come back. That is slow, and gets
 * them on: what was expanded stays for a round, and no instruction needs more than a few pages. But
 * if nearly nothing can be packed, the same few pages may go round and round for a vCPU that needs a
 * new one: the line moves, and nobody gets anywhere. So if more than half as many pages came back
 * as went, and these were few (FEW for each that waits), it pauses, twice as long each time, up
 * to PAUSE_MOST_NS. Pauses are longer than the STALL_NS of overcommit.c in the end: the operator is
 * told what is needed. It never gives up for good.
 */
#include "kernel/squeeze.h"
#include "kernel/cmdline.h"
#include "kernel/waiters.h"

#define MS            UINT64_C(1000000)
#define AFTER_NS      (50 * MS)
#define ON_NS         (1000 * MS)
#define ROUND_NS      (200 * MS)
#define WINDOW_NS     (500 * MS) /* what went and came is looked at so often */
#define PAUSE_LEAST   (500 * MS)
#define PAUSE_MOST_NS (32000 * MS)
#define FEW           32u   /* pages: twice what any instruction needs */
#define SPARE         64u   /* frames beyond those that are asked for */
#define LOOKS         4096u /* of a turn: 124 pages packed, or half a millisecond */

static struct {
	bool off, held;
	domid_t last;                   /* whose turn it was */
	uint64_t round_ns[MAX_DOMAINS]; /* when the next round of its clock may begin */
	uint64_t until_ns;              /* it has begun, and goes on up to then */
	uint64_t next_ns, pause_ns;
	uint64_t window_ns, went, came; /* when it ends, and the counters at its beginning */
	uint64_t shares_ns, merges,
	    served;          /* when sharing was looked at last, and the counters then */
	bool looked, shares; /* ever; it delivers */
} squeeze;

void squeeze_init(void)
{
	__builtin_memset(&squeeze, 0, sizeof(squeeze));
	squeeze.off = !cmdline_bool("compress", true);
}

void squeeze_hold(bool on)
{
	squeeze.held = on;
}

/* ---- thrashing ---- */

uint64_t squeeze_pause(uint64_t pause, uint64_t went, uint64_t came, unsigned waiting)
{
	if (2 * came <= went || came > (uint64_t)FEW * waiting)
		return 0;
	return min_u64(max_u64(2 * pause, PAUSE_LEAST), PAUSE_MOST_NS);
}

struct counts {
	uint64_t went, came;
};

static void add_counts(struct domain *d, void *arg)
{
	struct counts *c = arg;

	c->went += d->space.stats.compressions;
	c->came += d->space.stats.expansions;
}

/* At the end of a window: go on, or pause? */
static void squeeze_judge(uint64_t now, unsigned waiting)
{
	struct counts c = {0};

	if (now < squeeze.window_ns)
		return;
	domain_each(add_counts, &c);
	/* A domain that is gone took its counts along. */
	squeeze.pause_ns = squeeze_pause(squeeze.pause_ns, c.went - min_u64(c.went, squeeze.went),
	                                 c.came - min_u64(c.came, squeeze.came), waiting);
	squeeze.went = c.went;
	squeeze.came = c.came;
	squeeze.next_ns = now + squeeze.pause_ns;
	squeeze.window_ns = squeeze.next_ns + WINDOW_NS;
}

/* ---- sharing ---- */

static void add_merges(struct domain *d, void *arg)
{
	*(uint64_t *)arg += d->space.stats.merges;
}

/* Whether sharing has served the line since AFTER_NS ago, or somewhat more. Nothing is known if nobody looked for ON_NS. */
static bool squeeze_shares(uint64_t now, const struct waiters_view *w)
{
	uint64_t merges = 0;

	if (squeeze.looked && now < squeeze.shares_ns + AFTER_NS)
		return squeeze.shares;
	domain_each(add_merges, &merges);
	squeeze.shares = squeeze.looked && now < squeeze.shares_ns + ON_NS &&
	                 w->served > squeeze.served && merges >= squeeze.merges + w->waiting;
	squeeze.looked = true;
	squeeze.shares_ns = now;
	squeeze.served = w->served;
	squeeze.merges = merges;
	return squeeze.shares;
}

/* ---- a look ---- */

static uint64_t squeeze_domain(struct domain *d, uint64_t frames, uint64_t *looks, uint64_t now)
{
	struct compress_result r;

	if (squeeze.held || d->dying || now < squeeze.round_ns[d->id])
		return 0;
	r = compress_some(&d->space, frames, *looks);
	if (r.round)
		squeeze.round_ns[d->id] = now + ROUND_NS;
	*looks -= min_u64(*looks, r.looked);
	return r.freed;
}

uint64_t squeeze_ask(struct domain *d, uint64_t pages)
{
	uint64_t looks = LOOKS;

	return squeeze.off ? 0 : squeeze_domain(d, pages, &looks, machine_ns());
}

/* Each domain once, from the one after the last; until there is enough. */
static uint64_t squeeze_all(uint64_t frames, uint64_t now)
{
	uint64_t freed = 0, looks = LOOKS;

	for (unsigned i = 0; i < MAX_DOMAINS && freed < frames && looks; i++) {
		struct domain *d;

		squeeze.last = (domid_t)((squeeze.last + 1) % MAX_DOMAINS);
		d = domain_find(squeeze.last);
		if (d)
			freed += squeeze_domain(d, frames - freed, &looks, now);
	}
	return freed;
}

void squeeze_poll(void)
{
	uint64_t now = machine_ns();
	struct waiters_view w;
	bool shares;

	if (squeeze.off || !waiters_any() || now < squeeze.next_ns)
		return;
	w = waiters_view();
	shares = squeeze_shares(now, &w);
	if (w.oldest_ns >= AFTER_NS)
		squeeze.until_ns = now + ON_NS;
	if (!w.waiting || now >= squeeze.until_ns || shares)
		return;
	squeeze_judge(now, w.waiting);
	if (now >= squeeze.next_ns && squeeze_all(w.waiting + SPARE, now))
		vcpu_wake_memory_waiters();
}
