/* SPDX-License-Identifier: MIT */
/*
 * What a scan policy decides. The mechanism (mm/scan.c) reads dirty bits, fingerprints,
 * looks up, merges and keeps everything right; a policy only says where to look,
 * when a page is worth reading, and when to rest. It cannot make anything
 * wrong, only slow or lazy.
 *
 * To add a policy: write one file here, and add its line to mm/policy/list.c.
 *
 * All calls come with the scan lock held; those about a page with the p2m lock
 * of its space as well. A policy has four bits for each frame
 * (frame_age, frame_set_age in mm/core.h) unless the frame is FRAME_GUEST_TABLE;
 * one that needs more brings a table of its own.
 */
#ifndef MM_POLICY_POLICY_H
#define MM_POLICY_POLICY_H

#include "mm/core.h"

/* Where the scan stands: the next page to look at. */
struct scan_cursor {
	domid_t domid;
	gfn_t gfn;
};

/* What one pass over all spaces came to. */
struct scan_pass {
	uint64_t looked;   /* pages */
	uint64_t written;  /* pages found to have been written since the last look */
	uint64_t placed;   /* pages merged, or put into the index */
	uint64_t cycles;   /* from its first slice to its last, pauses included */
	uint64_t busy;     /* cycles spent in its slices */
	uint64_t ended_at; /* env_cycles */
};

struct scan_policy {
	const char *name;

	/*
	 * A slice is about to begin at *at. The policy may move it (to a space that
	 * is not there: the next one is taken). False: nothing to do now. `last` is the
	 * last whole pass. Not asked by scan_settle.
	 */
	bool (*next)(struct scan_cursor *at, const struct scan_pass *last);

	/* The page was written since the last look. */
	void (*written)(struct frame *f);

	/* The page was not written since the last look and has no valid entry in the index:
	 * is it quiet enough to be read now? */
	bool (*quiet)(struct frame *f);
};

/* All policies, ended by NULL; the first is the default. */
extern const struct scan_policy *const scan_policies[];

extern const struct scan_policy policy_plain;

#endif
