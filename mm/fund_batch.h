/* SPDX-License-Identifier: MIT */
/* The part of funding that only balloon.c, deferred.c and space.c use. */
#ifndef MM_FUND_BATCH_H
#define MM_FUND_BATCH_H

#include "mm/fund.h"

struct fund_frame {
	mfn_t mfn;
	bool clean;
};

/* fund_take with FUND_POPULATE for up to n pages, under one hold of the lock; returns for
 * how many of them, from the first on, there was a frame. */
unsigned fund_take_batch(struct space *s, const gfn_t *gfns, struct fund_frame *frames,
                         unsigned n) must_check;

/* fund_give for n single frames that hold zeroes already, under one hold of the lock. */
void fund_give_batch(struct space *s, const uint32_t *frames, unsigned n);

/* fund_give without the scrubbing: the frames hold what they held, and are not FRAME_CLEAN. */
void fund_give_dirty(struct space *s, mfn_t mfn, unsigned order);

/* frame_alloc and frame_free for any kind that is no guest page; page tables too. */
mfn_t fund_alloc(unsigned order, enum frame_kind kind, domid_t owner) must_check;
void fund_release(mfn_t mfn, unsigned order);

#endif
