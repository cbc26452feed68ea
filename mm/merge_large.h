/* SPDX-License-Identifier: MIT */
/*
 * Merging 2 MiB as a whole: mm/merge_large.c has the protocol. The scan lock is held in
 * every call.
 */
#ifndef MM_MERGE_LARGE_H
#define MM_MERGE_LARGE_H

#include "mm/p2m.h"

/* What a large leaf may be equal to, page by page. */
struct merge_run {
	mfn_t frames;  /* MFN_NONE: nothing was found */
	domid_t owner; /* 0: the frames are shared; else under a large leaf of this domain ... */
	gfn_t first;   /* ... here */
	bool later;    /* nothing was found, but may be when more pages have been read */
};

/*
 * Seek, by what the frame records say alone, what a large leaf of s (private, its 512
 * frames from `frames` on) is equal to, where a merge as a whole saves no less than
 * a split. p2m lock of s held.
 */
struct merge_run merge_large_seek(struct space *s, mfn_t frames) must_check;

/*
 * Merge the leaf with it: both end with one run of 512 shared frames under a read-only
 * large leaf. No p2m lock is held, and no batch is under way (merge_commit). False: one of the two was written, or
 * changed, or may not be merged now, and nothing changed.
 */
bool merge_large(struct space *s, gfn_t first, mfn_t frames, struct merge_run run) must_check;

#endif
