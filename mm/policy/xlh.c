/* SPDX-License-Identifier: MIT */
/*
 * XLH (Miller, Franz, Rittinghaus, Hillenbrand, Bellosa, "XLH: More effective memory deduplication
 * scanners through cross-layer hints", USENIX ATC 2013), as a policy.
 *
 * A round over all pages as KSM makes it, and beside it hints: pages of which the host knows
 * that they were just filled, as from a disk, and so are likely to be some other
 * guest's too. Hints lie on a bounded stack: the newest is taken first, and when it is full the
 * oldest is overwritten, as it is likeliest to be out of date. A hinted page need not have been
 * unchanged for a pass: it is looked for at once. When hints run dry it is KSM.
 *
 *	push ->  [ 7 ][ 8 ][ 3 ][ 4 ][ 5 ][ 6 ]
 *	               ^newest    ^oldest, the next to be overwritten
 *
 * What differs. The paper hooks the host's file system, where guests' virtual disks are. There is
 * no block device here yet, so hints are what the hypervisor sees: writes of its own into guest
 * memory and the end of its use of a page (hint_writes), and a guest's first write to a page
 * (hint_faults): by the time the scanner comes the page has been filled, as a rule. How many hints
 * go with a batch of the round, and how many are kept, are ours: we do not have the paper's. The
 * round is KSM's of that time (Linux 3.4): no smart_scan.
 */
#include "mm/policy/batch.h"

#define XLH_SLOTS 4096u

static _Atomic uint64_t pages_to_scan, sleep_millisecs, hints_per_batch, hint_slots;
static _Atomic uint64_t hint_writes, hint_faults;

static const struct scan_knob xlh_knobs[] = {
    {"pages_to_scan",   100,       1, UINT32_MAX, &pages_to_scan,   "pages of the round before it sleeps"     },
    {"sleep_millisecs", 20,        0, UINT32_MAX, &sleep_millisecs, "how long it sleeps"                      },
    {"hints_per_batch", 100,       0, UINT32_MAX, &hints_per_batch,
     "hints that are taken before it sleeps"                                                                  },
    {"hint_slots",      XLH_SLOTS, 1, XLH_SLOTS,  &hint_slots,
     "hints that are kept; older ones are lost"                                                               },
    {"hint_writes",     1,         0, 1,          &hint_writes,     "hints from the hypervisor's writes"      },
    {"hint_faults",     1,         0, 1,          &hint_faults,     "hints from guests' first writes to pages"},
    {NULL,              0,         0, 0,          NULL,             NULL                                      },
};

/* Guarded by the scan lock. */
static struct {
	struct batch batch;
	uint64_t hints_left; /* in this batch */
	uint8_t pass;
} xlh;

/* ---- the stack; it has a lock of its own, as any CPU pushes ---- */

static struct {
	struct spinlock lock;
	unsigned n, next; /* held; where the next one goes */
	struct scan_cursor page[XLH_SLOTS];
} hints;

/* The stack got shorter: what is beyond the end is lost. */
static void xlh_fit(unsigned slots)
{
	if (hints.n <= slots && hints.next < slots)
		return;
	hints.n = hints.next = 0;
}

static void xlh_push(struct scan_cursor page)
{
	unsigned slots = (unsigned)scan_knob(&hint_slots), top;

	lock_take(&hints.lock, LOCK_POLICY);
	xlh_fit(slots);
	top = (hints.next + slots - 1) % slots;
	if (!hints.n || hints.page[top].domid != page.domid ||
	    !gfn_eq(hints.page[top].gfn, page.gfn)) { /* not the same one again and again */
		hints.page[hints.next] = page;
		hints.next = (hints.next + 1) % slots;
		hints.n += hints.n < slots;
	}
	lock_drop(&hints.lock, LOCK_POLICY);
}

static bool xlh_pop(struct scan_cursor *page)
{
	unsigned slots = (unsigned)scan_knob(&hint_slots);
	bool any;

	lock_take(&hints.lock, LOCK_POLICY);
	xlh_fit(slots);
	any = hints.n > 0;
	if (any) {
		hints.next = (hints.next + slots - 1) % slots;
		hints.n--;
		*page = hints.page[hints.next];
	}
	lock_drop(&hints.lock, LOCK_POLICY);
	return any;
}

static void xlh_event(struct space *s, gfn_t gfn, enum scan_event what)
{
	bool wanted = what == SCAN_FILLED ? scan_knob(&hint_writes)
	                                  : what == SCAN_POPULATED && scan_knob(&hint_faults);

	if (wanted)
		xlh_push((struct scan_cursor){s->domid, gfn});
}

/* ---- hooks ---- */

static void xlh_start(void)
{
	xlh.batch = (struct batch){0};
	xlh.hints_left = 0;
	xlh.pass = 1;
	lock_take(&hints.lock, LOCK_POLICY);
	hints.n = hints.next = 0;
	lock_drop(&hints.lock, LOCK_POLICY);
}

static bool xlh_next(struct scan_cursor *at, const struct scan_pass *last)
{
	uint64_t now;

	(void)at;
	(void)last;
	if (!xlh.batch.left || !scan_clock(&now)) /* a batch may begin, with its share of hints */
		xlh.hints_left = scan_knob(&hints_per_batch);
	return batch_begin(&xlh.batch, scan_knob(&pages_to_scan), scan_knob(&sleep_millisecs));
}

static bool xlh_pick(struct scan_cursor *page)
{
	if (!xlh.hints_left || !xlh_pop(page))
		return false;
	xlh.hints_left--;
	return true;
}

static enum scan_want xlh_look(const struct scan_look *p)
{
	if (p->picked) {
		if (p->merged)
			return SCAN_SKIP;
		page_mark(p, xlh.pass);
		return SCAN_READ;
	}
	if (!xlh.batch.left)
		return SCAN_STOP;
	batch_page(&xlh.batch);
	if (p->merged)
		return SCAN_READ;
	page_mark(p, xlh.pass);
	return SCAN_GATE;
}

static bool xlh_counts(const struct frame *f, const void *state)
{
	return page_marked(f, state, xlh.pass);
}

static void xlh_pass_end(const struct scan_pass *pass)
{
	(void)pass;
	batch_end(&xlh.batch);
	xlh.pass++;
}

const struct scan_policy policy_xlh = {
    .name = "xlh",
    .help = "KSM's round, and the newest of a bounded stack of hints first (XLH, 2013)",
    .knobs = xlh_knobs,
    .state_bytes = sizeof(struct page_mark),
    .blind = true,
    .start = xlh_start,
    .next = xlh_next,
    .pick = xlh_pick,
    .look = xlh_look,
    .counts = xlh_counts,
    .pass_end = xlh_pass_end,
    .event = xlh_event,
};
