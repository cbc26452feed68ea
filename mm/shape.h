/* SPDX-License-Identifier: MIT */
/*
 * Whether a region of 2 MiB is one large leaf or 512 small ones, as far as the scanner decides:
 * shape.c has the design. The scan lock is held in every call.
 */
#ifndef MM_SHAPE_H
#define MM_SHAPE_H

#include "mm/index.h"
#include "mm/merge.h"
#include "mm/scan_walk.h"

/* Begin anew. Called by scan_init. */
void shape_init(void);

extern const struct scan_knob shape_knobs[];

/*
 * A slice begins; settling: whatever can be saved is to be. True: leaves that were kept
 * large may be worth a split by now, and all are to be looked at again, quiet or not.
 */
bool shape_begin(bool settling) must_check;

/* Leaves wait to be weighed. */
bool shape_is_wanted(void);

/*
 * Some leaf was kept that would not be, were less to be gained, or was not weighed at all, or is
 * still to be.
 */
bool shape_has_kept(void);

/* The leaf over gfn, if it is large, is weighed when the slice ends. Any lock of mm/ may be held.
 */
void shape_want(domid_t domid, gfn_t gfn);

/*
 * A page under a large leaf was read; `found`: what else has its fingerprint, `constant`: it is
 * all zeroes or ones. What is known of it is kept, and the leaf weighed if that
 * is news. p2m lock of s held.
 */
void shape_keep(struct space *s, struct merge_page page, const struct index_found *found,
                bool constant);

/*
 * A pass found the large leaf at first (whose dirty bits are clear again) written. It may be
 * split now: then what was known of the region is gone. p2m lock held.
 */
void shape_written(struct space *s, gfn_t first);

/* A pass found nothing written, and nothing new, under the table over `first`. p2m lock held. */
void shape_still(struct space *s, gfn_t first);

/* A pass came by a large leaf that maps this run of shared frames. p2m lock held. */
void shape_shared(struct space *s, gfn_t first, mfn_t run);

/*
 * The slice ends, no p2m lock is held: weigh some of the leaves that are wanted, share one as a
 * whole, split those that are worth it and merge their pages, and make one region whole again. `at`: where the scan goes
 * on; the leaf that it is in the middle of is left for later.
 */
void shape_work(struct scan_slice *w, const struct scan_cursor *at);

#endif
