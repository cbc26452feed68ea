/* SPDX-License-Identifier: MIT */
/*
 * The buddy allocator under fund.c: which frames are free. Whether a free frame
 * may be taken is fund.c's question. All calls with free_lock held.
 */
#ifndef MM_BUDDY_H
#define MM_BUDDY_H

#include "mm/frame.h"

#define BUDDY_ORDERS (LARGE_ORDER + 1)

void buddy_init(void);

/* Make [first, first + pages) free; the records must be FRAME_RESERVED until now. */
void buddy_add(mfn_t first, uint64_t pages);

/*
 * 2^order frames, aligned to their size, or MFN_NONE. Their records still say
 * FRAME_FREE (and FRAME_CLEAN if the frame is all zeroes): the caller sets them.
 */
mfn_t buddy_alloc(unsigned order) must_check;

/* Whether buddy_alloc has so many in one piece. */
bool buddy_has(unsigned order);

/* The caller's records say anything but FRAME_FREE. clean: every frame is all zeroes. */
void buddy_free(mfn_t mfn, unsigned order, bool clean);

uint64_t buddy_free_pages(void);

/* Walk the lists: their pages, or UINT64_MAX if a link is wrong; for the audit. */
uint64_t buddy_walk(void);

#endif
