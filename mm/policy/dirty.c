/* SPDX-License-Identifier: MIT */
/*
 * The default policy: it reads what was written, once it has been left alone, and else nothing.
 *
 * It goes round as mm/policy/plain.c does, and adds three things that a machine with work to do
 * wants.
 *
 * Back-off of the volatile. A page that is found unwritten in one pass is read: that is the first
 * merge after one quiet interval. One that was found written in several passes on end will be
 * written again, most likely, so it must be quiet for longer: its age (four bits in the frame
 * record) counts the passes in which it was written on end, up to `patience` + 1, and each quiet
 * pass takes one off, down to 1:
 *
 *	written in 1, 2, 3 or more passes on end	age 1, 2, 3
 *	is read in quiet pass number			    1, 2, 3
 *
 * So with the pass that cleared its dirty bit a page is shared two intervals after its last
 * write, or three, and never later than four. Whoever is read has age 0 again.
 *
 * A page under a large leaf does not age: the one dirty bit there says nothing of it. It is read in the first
 * quiet pass of the leaf, or in the first one behind the split of a leaf that has none (mm/shape.c).
 *
 * Out of turn. A page that its guest just got for itself (a break of a shared page, the first write
 * to a page as after a balloon call), or that the hypervisor has filled or let go of, will often
 * be equal to another soon, and a round may take long. Such pages are looked at twice:
 *
 *	event -> [ fresh ] -> dirty bit cleared -> [ resting ] -> soon_ms later read, if unwritten
 *
 * Both queues are bounded, and events get lost. What does not fit, what was written meanwhile and what lies
 * under a large leaf is left to the round. Every other slice is the round's alone, so that no flood of events
 * can hold it up.
 *
 * Rest. The scheduler sees to it that no more than the operator's share of a CPU is taken
 * (`scan.cpu=`, kernel/pace.c); the policy takes less of it while that gains nothing. After k passes on
 * end that merged nothing it waits for 2^k - 1 times as long as the last pass took (k up to `back_off`),
 * and so it takes 1/2^k of what it may. What a pass took is known when it may go on: from its begin until
 * the scheduler asks again. One merge, one break or one populated page brings all
 * of it back at once. As `plain`, it rests at least for eight times what a pass has cost that placed
 * nothing: that is for idle machines, where passes take no longer than they cost.
 *
 * Why a lost event, flag or queue entry costs savings and never correctness: nothing here says what a page
 * holds. Whatever the policy asks for, the mechanism reads only what was flushed after its
 * dirty bit was cleared, and a merge protects, flushes and compares whole pages (mm/merge.c). All that a
 * policy can do wrong is to ask too early, which is a read in vain, or too late, or never, which is a page
 * that stays apart until it is written once more.
 */
#include "mm/policy/policy.h"

#define QUEUED      1024u /* pages in each queue */
#define LOOK_BATCH  16u   /* of them in a slice: half of the smallest one of busy time, */
#define READ_BATCH  4u    /* where a page that is read counts for eight */
#define REST_PLACED 8u    /* as PLAIN_REST */
#define REST_MOST   2048u /* times what a pass has cost: it may have been held up for an hour */
#define BACK_OFF    4u

static _Atomic uint64_t patience, soon_ms, back_off;

static const struct scan_knob dirty_knobs[] = {
    {"patience", 2,  0, 2,        &patience,
     "quiet passes more for pages that are written in pass after pass"},
    {"soon_ms",  50, 0, 10000,    &soon_ms,
     "how long a page that was unshared or filled is left alone"      },
    {"back_off", 4,  0, BACK_OFF, &back_off,
     "down to 1/2^N of the share, while passes merge nothing"         },
    {NULL,       0,  0, 0,        NULL,      NULL                     },
};

/* ---- the queues ---- */

struct soon {
	struct scan_cursor page;
	uint64_t at_us; /* when it may be looked at */
};

/* The scanner's own. First in, first out; nobody puts into a full one. */
struct queue {
	unsigned first, n;
	struct soon entry[QUEUED];
};

/*
 * Any CPU puts into this one, in the middle of a fault, so it has no lock: a page is one word, and a number says
 * whose turn it is. Who comes when it is full takes the place of the oldest. If the scanner comes between a
 * number and its word it finds none, or an older one, and this page is lost.
 */
struct ring {
	_Atomic uint32_t put; /* so many were put */
	uint32_t taken;       /* so many turns are over; the scanner's */
	_Atomic uint64_t word[QUEUED];
};

#define WORD_DOMID 48u

static struct ring fresh;
static struct queue resting;
static _Atomic bool stirred; /* something happened that passes may gain by */

static void queue_put(struct queue *q, struct soon entry)
{
	ASSERT(q->n < QUEUED);
	q->entry[(q->first + q->n) % QUEUED] = entry;
	q->n++;
}

static struct soon queue_take(struct queue *q)
{
	struct soon entry = q->entry[q->first];

	ASSERT(q->n > 0);
	q->first = (q->first + 1) % QUEUED;
	q->n--;
	return entry;
}

static void ring_put(struct ring *r, domid_t domid, gfn_t gfn)
{
	uint32_t turn = atomic_fetch_add_explicit(&r->put, 1, memory_order_relaxed);
	uint64_t word = (uint64_t)domid << WORD_DOMID | (gfn.n & (BIT(WORD_DOMID) - 1));

	atomic_store_explicit(&r->word[turn % QUEUED], word, memory_order_relaxed);
}

/* How many turns are not over. */
static uint32_t ring_n(const struct ring *r)
{
	return atomic_load_explicit(&r->put, memory_order_relaxed) - r->taken;
}

static bool ring_take(struct ring *r, struct scan_cursor *page)
{
	uint32_t n = ring_n(r);
	uint64_t word = 0;

	if (n > QUEUED) {
		r->taken += n - QUEUED;
		n = QUEUED;
	}
	for (; n && !word; n--, r->taken++)
		word =
		    atomic_exchange_explicit(&r->word[r->taken % QUEUED], 0, memory_order_relaxed);
	*page =
	    (struct scan_cursor){(domid_t)(word >> WORD_DOMID), GFN(word & (BIT(WORD_DOMID) - 1))};
	return word != 0;
}

static void dirty_event(struct space *s, gfn_t gfn, enum scan_event what)
{
	ring_put(&fresh, s->domid, gfn);
	if (what != SCAN_FILLED) /* which hypercalls do all the time */
		atomic_store_explicit(&stirred, true, memory_order_relaxed);
}

/* ---- state; scan lock ---- */

/* What the picks of a slice are. */
enum turn { TURN_NONE, TURN_FRESH, TURN_RESTING };

static struct {
	enum turn turn;
	unsigned picks;   /* left in this slice */
	bool picking;     /* `written` and `quiet` are asked about picks */
	bool round;       /* the slice goes on with the round */
	unsigned in_vain; /* passes on end that merged nothing, up to BACK_OFF */
	uint64_t ended_at,
	    asked_at;    /* the last pass ended, and the next one might have begun; cycles */
	uint64_t now_us; /* as of this slice; 0 if there is no clock: nothing is left alone */
} dirty;

static void dirty_start(void)
{
	fresh.taken = atomic_load_explicit(&fresh.put, memory_order_relaxed);
	resting.first = resting.n = 0;
	__builtin_memset(&dirty, 0, sizeof(dirty));
}

/* ---- when ---- */

/* How long to wait after `last`, in cycles, from the moment at which the next one might have begun. */
static uint64_t dirty_rest(const struct scan_pass *last)
{
	uint64_t k = min_u64(dirty.in_vain, scan_knob(&back_off));
	uint64_t most = last->busy * REST_MOST;
	uint64_t took = last->cycles + (dirty.asked_at - last->ended_at);
	uint64_t rest = min_u64(took, most) * (BIT(k) - 1);

	if (!last->placed)
		rest = max_u64(rest, last->busy * REST_PLACED);
	return min_u64(rest, most);
}

static bool dirty_goes_round(const struct scan_cursor *at, const struct scan_pass *last)
{
	if (atomic_exchange_explicit(&stirred, false, memory_order_relaxed))
		dirty.in_vain = 0;
	if (at->domid) /* in the middle of one */
		return true;
	if (dirty.ended_at != last->ended_at)
		dirty.asked_at = env_cycles();
	dirty.ended_at = last->ended_at;
	return env_cycles() - dirty.asked_at >= dirty_rest(last);
}

static enum turn dirty_due(void)
{
	if (resting.n && resting.entry[resting.first].at_us <= dirty.now_us)
		return TURN_RESTING;
	return ring_n(&fresh) && resting.n < QUEUED ? TURN_FRESH : TURN_NONE;
}

static bool dirty_next(struct scan_cursor *at, const struct scan_pass *last)
{
	bool had = dirty.turn != TURN_NONE;

	if (!scan_clock(&dirty.now_us))
		dirty.now_us = 0;
	dirty.round = dirty_goes_round(at, last);
	dirty.turn = had && dirty.round ? TURN_NONE : dirty_due();
	dirty.picks = dirty.turn == TURN_RESTING ? READ_BATCH : LOOK_BATCH;
	dirty.picking = true;
	return dirty.round || dirty.turn != TURN_NONE;
}

static bool dirty_round(void)
{
	dirty.picking = false;
	return dirty.round;
}

static void dirty_pass_end(const struct scan_pass *pass)
{
	dirty.in_vain = pass->merged ? 0 : (unsigned)min_u64(dirty.in_vain + 1, BACK_OFF);
}

/* ---- where ---- */

static bool dirty_pick(struct scan_cursor *page)
{
	struct soon e;

	if (!dirty.picks || dirty.turn == TURN_NONE)
		return false;
	dirty.picks--;
	if (dirty.turn == TURN_FRESH) {
		if (resting.n == QUEUED || !ring_take(&fresh, page))
			return false;
		e.page = *page;
		e.at_us = dirty.now_us ? dirty.now_us + scan_knob(&soon_ms) * 1000 : 0;
		queue_put(&resting, e);
		return true;
	}
	if (!resting.n || resting.entry[resting.first].at_us > dirty.now_us)
		return false;
	*page = queue_take(&resting).page;
	return true;
}

/* ---- which ---- */

static void dirty_written(struct frame *f)
{
	uint64_t age = min_u64(frame_age(f), scan_knob(&patience)) + 1;

	if (frame_flag(f, FRAME_LARGE))
		return;
	if (dirty.picking)
		age = max_u64(age, 2); /* the round may meet it at once, and must not read it */
	if (!frame_flag(f, FRAME_GUEST_TABLE)) /* there the age is somebody else's */
		frame_set_age(f, (unsigned)age);
}

static bool dirty_quiet(struct frame *f)
{
	unsigned age = frame_age(f);

	if (dirty.picking && dirty.turn == TURN_FRESH) { /* filled by us: no dirty bit told of it */
		frame_set_age(f, (unsigned)max_u64(age, 2));
		return false; /* not quiet for long enough: it comes again */
	}
	if (age > 1 && !dirty.picking) {
		frame_set_age(f, age - 1);
		return false;
	}
	if (age)
		frame_set_age(f, 0);
	return true;
}

const struct scan_policy policy_dirty = {
    .name = "dirty",
    .help = "reads what was written and then left alone; the unshared soon, the volatile late",
    .knobs = dirty_knobs,
    .start = dirty_start,
    .next = dirty_next,
    .round = dirty_round,
    .pick = dirty_pick,
    .written = dirty_written,
    .quiet = dirty_quiet,
    .pass_end = dirty_pass_end,
    .event = dirty_event,
};
