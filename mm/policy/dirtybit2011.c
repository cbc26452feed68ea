/* SPDX-License-Identifier: MIT */
/*
 * KSM with the dirty bit for its checksum, as Nai Xia proposed for Linux (linux-mm, March and June
 * 2011: "ksm: take dirty bit as reference to avoid volatile pages scanning"; the idea is credited
 * to Izik Eidus). It was not merged: EPT had no dirty bits then.
 *
 * A page whose dirty bit is set is volatile: the bit is cleared and the page passed by, without
 * reading it. All others are looked for, as KSM does: among the merged, then
 * among those met in this pass, for the unstable tree is forgotten with each pass. So it
 * spares itself the volatile; the unchanged it reads again in every pass. mm/policy/plain.c spares
 * itself both, as its index outlives a pass.
 *
 * What differs. The patch walked KSM's trees, without a checksum; here a page is read for its
 * fingerprint and looked up. A written 2 MiB leaf is volatile as a whole, as in the patch.
 */
#include "mm/policy/batch.h"

static _Atomic uint64_t pages_to_scan, sleep_millisecs;

static const struct scan_knob dirtybit_knobs[] = {
    {"pages_to_scan",   100, 1, UINT32_MAX, &pages_to_scan,
     "pages that are looked at before it sleeps"                                  },
    {"sleep_millisecs", 20,  0, UINT32_MAX, &sleep_millisecs, "how long it sleeps"},
    {NULL,              0,   0, 0,          NULL,             NULL                },
};

/* Guarded by the scan lock. */
static struct {
	struct batch batch;
	uint8_t pass;
} dirtybit;

static void dirtybit_start(void)
{
	dirtybit.batch = (struct batch){0};
	dirtybit.pass = 1;
}

static bool dirtybit_next(struct scan_cursor *at, const struct scan_pass *last)
{
	(void)at;
	(void)last;
	return batch_begin(&dirtybit.batch, scan_knob(&pages_to_scan), scan_knob(&sleep_millisecs));
}

static enum scan_want dirtybit_look(const struct scan_look *p)
{
	if (!dirtybit.batch.left)
		return SCAN_STOP;
	batch_page(&dirtybit.batch);
	if (p->merged)
		return SCAN_READ;
	if (p->written)
		return SCAN_SKIP;
	page_mark(p, dirtybit.pass);
	return SCAN_READ;
}

static bool dirtybit_counts(const struct frame *f, const void *state)
{
	return page_marked(f, state, dirtybit.pass);
}

static void dirtybit_pass_end(const struct scan_pass *pass)
{
	(void)pass;
	batch_end(&dirtybit.batch);
	dirtybit.pass++;
}

const struct scan_policy policy_dirtybit2011 = {
    .name = "dirtybit2011",
    .help = "KSM that passes by what was written; all else is looked up in every pass",
    .knobs = dirtybit_knobs,
    .state_bytes = sizeof(struct page_mark),
    .start = dirtybit_start,
    .next = dirtybit_next,
    .look = dirtybit_look,
    .counts = dirtybit_counts,
    .pass_end = dirtybit_pass_end,
};
