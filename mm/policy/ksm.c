/* SPDX-License-Identifier: MIT */
/*
 * Linux KSM (mm/ksm.c of Linux 6.12 and later, Documentation/admin-guide/mm/ksm.rst), as a policy.
 *
 *	- it goes round over all pages, pages_to_scan at a time, and sleeps sleep_millisecs
 *	  in between
 *	- a page is read, for its checksum, in each pass. Only if that is what it was in
 *	  the last pass is it looked for among the merged pages, and then among the others
 *	- of the others (KSM's unstable tree) only those count that were met in this pass: all
 *	  are forgotten when the next one begins
 *	- smart_scan: a page that was tried three times in vain is passed by in the next 1, 2, 4 and
 *	  at most 8 passes, longer each time. One that is merged never is
 *	- the scan-time advisor sets pages_to_scan after each pass, from how long it took and what
 *	  CPU time it cost, so that a pass takes about advisor_target_scan_time
 *
 * What differs:
 *
 *	- KSM's checksum is of 32 bits, without a key; ours is the fingerprint, of 32 bits too, so it
 *	  is as often wrong about a page that changed
 *	- KSM finds equals by walking two trees ordered by content; here the index does it, and
 *	  what the walks would have cost is counted apart (`modelled`): one compare a level. Its
 *	  trees can miss an equal page when one in the way has changed; the index cannot
 *	- pages of zeroes and of ones are merged with the hypervisor's constant frames whatever
 *	  use_zero_pages says, so with 0 one page more is saved in all for each of the two; the knob
 *	  decides whether they are still met, and counted, in later passes, as KSM does
 *	- max_page_sharing is not there: KSM needs it for its reverse map, which we have not;
 *	  compare with a large one
 *	- pages that hold a guest's page tables and pinned ones are not met
 *
 * What is kept for a page (KSM's rmap_item) goes by the guest's page and not by its frame, as a merge or a
 * break changes the frame: its age goes on. It ends when a pass does not meet the page, as an rmap_item does: the page of
 * zeroes that use_zero_pages lets nobody meet is a new one when it is written.
 */
#include "mm/policy/batch.h"

static _Atomic uint64_t pages_to_scan, sleep_millisecs, smart_scan, use_zero_pages;
static _Atomic uint64_t advisor, advisor_max_cpu, advisor_target_scan_time;
static _Atomic uint64_t advisor_min_pages_to_scan, advisor_max_pages_to_scan;

#define MOST UINT32_MAX

static const struct scan_knob ksm_knobs[] = {
    {"pages_to_scan",             100,   1, MOST, &pages_to_scan,             "pages that are scanned before it sleeps"         },
    {"sleep_millisecs",           20,    0, MOST, &sleep_millisecs,           "how long it sleeps"                              },
    {"smart_scan",                1,     0, 1,    &smart_scan,                "pass by pages that were tried in vain"           },
    {"use_zero_pages",            0,     0, 1,    &use_zero_pages,            "merged pages of zeroes are not met any more"     },
    {"advisor",                   0,     0, 1,    &advisor,                   "set pages_to_scan from the time that passes take"},
    {"advisor_max_cpu",           70,    1, 100,  &advisor_max_cpu,           "percent of a CPU that the advisor allows"        },
    {"advisor_target_scan_time",  200,   1, MOST, &advisor_target_scan_time,
     "seconds a pass is to take"                                                                                                },
    {"advisor_min_pages_to_scan", 500,   1, MOST, &advisor_min_pages_to_scan, "the advisor's first"                             },
    {"advisor_max_pages_to_scan", 30000, 1, MOST, &advisor_max_pages_to_scan, "and its greatest"                                },
    {NULL,                        0,     0, 0,    NULL,                       NULL                                              },
};

/*
 * Pages that lie side by side, in one cache line. The blocks are a hash table with linear probing, of twice
 * as many pages as the machine has frames, in the memory that a policy gets for each frame. A block of which no page was
 * met of late is nobody's, and stays in its place until another takes it, so no search stops short.
 */
#define STATE_BYTES  8u
#define BLOCK_PAGES  16u
#define BLOCK_FRAMES (sizeof(struct ksm_block) / STATE_BYTES)
#define PROBES       64u

struct ksm_block {
	uint32_t number;            /* gfn / BLOCK_PAGES */
	domid_t domid;              /* 0: never used */
	uint16_t pass;              /* the last one that met any of its pages */
	uint16_t met, before;       /* a bit a page: in that pass; in the one before it */
	uint8_t age[BLOCK_PAGES];   /* how often the page was met */
	uint8_t skips[BLOCK_PAGES]; /* how often it is still to be passed by */
	uint8_t read[BLOCK_PAGES];  /* the last pass in which it was read, low bits */
	uint32_t unused;
};

_Static_assert(sizeof(struct ksm_block) == 64, "a cache line");
_Static_assert(GFN_LIMIT / BLOCK_PAGES <= BIT(32), "a number is a word");

/* One page of a block; no block: there is no room for it. */
struct ksm_item {
	struct ksm_block *block;
	unsigned i;
};

/* Guarded by the scan lock. */
static struct {
	struct batch batch;
	uint16_t pass;                        /* from 1 on */
	struct ksm_block *near;               /* where the last page was found */
	uint64_t began_us, change, scan_time; /* the advisor's */
	bool advised;
} ksm;

static void ksm_start(void)
{
	ksm.batch = (struct batch){0};
	ksm.pass = 1;
	ksm.near = NULL;
	ksm.began_us = ksm.change = ksm.scan_time = 0;
	ksm.advised = false;
}

/* ---- when ---- */

static bool ksm_next(struct scan_cursor *at, const struct scan_pass *last)
{
	uint64_t now;

	(void)at;
	(void)last;
	if (scan_knob(&advisor) && !ksm.advised)
		atomic_store(&pages_to_scan, scan_knob(&advisor_min_pages_to_scan));
	ksm.advised = scan_knob(&advisor);
	if (scan_clock(&now) && !ksm.began_us)
		ksm.began_us = now;
	return batch_begin(&ksm.batch, scan_knob(&pages_to_scan), scan_knob(&sleep_millisecs));
}

/* ---- what is kept ---- */

static bool ksm_block_is(const struct ksm_block *b, domid_t domid, gfn_t gfn)
{
	return b && b->domid == domid && b->number == gfn.n / BLOCK_PAGES;
}

static bool ksm_block_ended(const struct ksm_block *b)
{
	return !b->domid || (uint16_t)(ksm.pass - b->pass) > 1;
}

/* The block of this page; if there is none, the first that is nobody's; NULL: no room. */
static struct ksm_block *ksm_find(domid_t domid, gfn_t gfn)
{
	uint64_t blocks = mm.nr_frames / BLOCK_FRAMES;
	uint64_t hash =
	    (gfn.n / BLOCK_PAGES + ((uint64_t)domid << 32)) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t first = (hash >> 32) * blocks >> 32;
	struct ksm_block *room = NULL, *b;

	if (ksm_block_is(ksm.near, domid, gfn))
		return ksm.near;
	for (unsigned i = 0; i < min_u64(PROBES, blocks); i++) {
		b = scan_state(MFN((first + i) % blocks * BLOCK_FRAMES));
		if (ksm_block_is(b, domid, gfn))
			return ksm.near = b;
		if (!room && ksm_block_ended(b))
			room = b;
		if (!b->domid)
			break;
	}
	return room;
}

/* This pass has met the page. */
static struct ksm_item ksm_meet(domid_t domid, gfn_t gfn)
{
	struct ksm_item item = {ksm_find(domid, gfn), gfn.n % BLOCK_PAGES};
	struct ksm_block *b = item.block;
	uint16_t bit = (uint16_t)BIT(item.i);

	if (!b)
		return item;
	if (!ksm_block_is(b, domid, gfn))
		*b = (struct ksm_block){.number = (uint32_t)(gfn.n / BLOCK_PAGES), .domid = domid};
	if (b->pass != ksm.pass) {
		b->before = (uint16_t)(ksm.pass - b->pass) == 1 ? b->met : 0;
		b->met = 0;
		b->pass = ksm.pass;
	}
	if (!((b->met | b->before) & bit))
		b->age[item.i] = b->skips[item.i] = b->read[item.i] = 0;
	b->met |= bit;
	ksm.near = b;
	return item;
}

/* ---- which pages ---- */

static uint8_t ksm_skips_of_age(uint8_t age)
{
	if (age <= 3)
		return 1;
	if (age <= 5)
		return 2;
	return age <= 8 ? 4 : 8;
}

static bool ksm_skip(struct ksm_item item)
{
	uint8_t age, *skips;

	if (!scan_knob(&smart_scan) || !item.block)
		return false;
	age = item.block->age[item.i];
	skips = &item.block->skips[item.i];
	if (age != UINT8_MAX)
		item.block->age[item.i]++;
	if (age < 3)
		return false;
	if (!*skips) {
		*skips = ksm_skips_of_age(age);
		return false;
	}
	--*skips;
	return true;
}

static enum scan_want ksm_look(const struct scan_look *p)
{
	bool zero = p->merged && mfn_eq(frame_mfn(p->frame), zero_frame());
	struct ksm_item item;

	if (!ksm.batch.left)
		return SCAN_STOP;
	if (zero && scan_knob(&use_zero_pages))
		return SCAN_SKIP;
	item = ksm_meet(p->domid, p->gfn);
	if (!p->merged && ksm_skip(item))
		return SCAN_SKIP;
	batch_page(&ksm.batch);
	if (p->merged)
		return SCAN_READ;
	if (item.block)
		item.block->read[item.i] = (uint8_t)ksm.pass;
	return SCAN_GATE;
}

/* It was read in this pass; or we do not know, as there was no room for it. */
static bool ksm_counts(const struct frame *f, const void *state)
{
	gfn_t gfn = GFN(frame_slot(f));
	const struct ksm_block *b = ksm_find(frame_owner(f), gfn);
	unsigned i = gfn.n % BLOCK_PAGES;

	(void)state;
	if (!ksm_block_is(b, frame_owner(f), gfn))
		return true;
	return b->pass == ksm.pass && b->met & BIT(i) && b->read[i] == (uint8_t)ksm.pass;
}

/* ---- the end of a pass ---- */

static uint64_t ksm_or_1(uint64_t n)
{
	return n ? n : 1;
}

/*
 * KSM's scan-time advisor: as many pages more as the pass took too long, smoothed by how that
 * changed (30 % of it is news), within the limits of CPU time and of the knobs.
 */
static void ksm_advise(const struct scan_pass *pass, uint64_t now)
{
	uint64_t seconds = ksm_or_1((now - ksm.began_us) / 1000000);
	uint64_t percent = ksm_or_1(pass->cycles ? pass->busy * 100 / pass->cycles : 0);
	uint64_t factor = ksm_or_1(scan_knob(&advisor_target_scan_time) * 100 / seconds);
	uint64_t change = ksm_or_1(seconds * 100 / (ksm.scan_time ? ksm.scan_time : seconds));
	uint64_t pages = scan_knob(&pages_to_scan), each = ksm_or_1(pages / percent);

	ksm.change = (70 * ksm.change + 30 * change) / 100;
	ksm.scan_time = seconds;
	pages = pages * 100 / factor * ksm.change / 100;
	pages = min_u64(pages, each * scan_knob(&advisor_max_cpu));
	pages = max_u64(pages, each * 10);
	atomic_store(&pages_to_scan, min_u64(pages, scan_knob(&advisor_max_pages_to_scan)));
}

static uint64_t ksm_levels(uint64_t nodes)
{
	uint64_t levels = 0;

	for (; nodes; nodes >>= 1)
		levels++;
	return levels;
}

static void ksm_pass_end(const struct scan_pass *pass)
{
	uint64_t now, levels;

	levels = ksm_levels(counter_read(&mm.kinds[FRAME_SHARED])) + ksm_levels(pass->sought);
	scan_count_modelled(pass->sought * levels);
	if (scan_clock(&now)) {
		if (scan_knob(&advisor))
			ksm_advise(pass, now);
		ksm.began_us = now;
	}
	batch_end(&ksm.batch);
	ksm.pass++;
}

const struct scan_policy policy_ksm = {
    .name = "ksm",
    .help = "Linux KSM: all pages in every pass, those that kept their checksum are compared",
    .knobs = ksm_knobs,
    .state_bytes = STATE_BYTES,
    .blind = true,
    .start = ksm_start,
    .next = ksm_next,
    .look = ksm_look,
    .counts = ksm_counts,
    .pass_end = ksm_pass_end,
};
