/* SPDX-License-Identifier: MIT */
/* One slice of a scan, as mm/scan.c (its steps) and mm/scan_walk.c (the first of them) know it. */
#ifndef MM_SCAN_WALK_H
#define MM_SCAN_WALK_H

#include "mm/hash.h"
#include "mm/p2m.h"
#include "mm/policy/policy.h"

#define SCAN_CHUNK     64u /* pages noted at a time */
#define SCAN_READ_COST 8u  /* to read a page costs as much of the budget as to look at so many */

struct scan_page {
	gfn_t gfn;
	mfn_t mfn;
	struct hash_sum sum;
	uint32_t fingerprint;
	index_ask_t ask; /* how far its chain has been asked for */
	bool gate;       /* only if it reads as it did the last time */
};

/* A stretch of one or more spaces. */
struct scan_slice {
	const struct scan_policy *policy;
	bool trust;  /* the marks of mm/quiet.h */
	bool reread; /* hints, too: two of one content may stand in the index */
	uint64_t budget;
	uint64_t looked, leaves, passed, written, merged; /* pages */
	uint64_t scanned, skipped, read, gated, sought;   /* as in struct scan_counts */
	uint64_t compared;                                /* the counter, at its beginning */
	struct space *space;
	gfn_t gfn;              /* next to look at */
	bool end;               /* the space has nothing more */
	bool stop;              /* the policy wants no more in this slice */
	bool owes_flush;        /* dirty or accessed bits of space were cleared */
	struct scan_page *page; /* what was noted: n of SCAN_CHUNK */
	unsigned n;
	uint32_t dropped[SCAN_CHUNK];  /* frames whose hints are stale and still in the index */
	index_ask_t asked[SCAN_CHUNK]; /* how far their chains have been */
	unsigned nr_dropped;
	struct p2m_cursor at;
	struct hash_group keys;
};

/* Begin anew: no region is half walked. Called by scan_init. */
void scan_walk_init(void);

/*
 * Look at pages of w->space from w->gfn on until the budget is used up, the chunk is
 * full, or the space ends: clear dirty bits, and note the pages that are to be read now.
 * Takes and drops the p2m lock; the scan lock is held.
 */
void scan_walk(struct scan_slice *w);

/* Look at these n pages of w->space alone, SCAN_CHUNK at most: those that the policy has picked. */
void scan_walk_picked(struct scan_slice *w, const struct scan_cursor *pick, unsigned n);

/* Both for a policy that is shown every page. */
void scan_look_walk(struct scan_slice *w);
void scan_look_picked(struct scan_slice *w, const struct scan_cursor *pick, unsigned n);

/* Note a page that is to be read; p2m lock held. */
void scan_note(struct scan_slice *w, gfn_t gfn, mfn_t mfn, bool gate);

/* Clear bits of a present entry, and set others. */
void scan_change(uint64_t *entry, uint64_t clear, uint64_t set);

/* Whether a leaf maps a private page of its guest. */
bool scan_is_private(uint64_t e, unsigned level);

/*
 * Whether the page is better left dirty: it would be write-protected in vain, as we hold a pointer
 * to it or the CPU writes there by itself. Only where clearing its dirty bit costs a fault.
 */
bool scan_leave_dirty(struct scan_slice *w, gfn_t gfn, mfn_t mfn);

#endif
