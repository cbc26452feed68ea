/* SPDX-License-Identifier: MIT */
/* The part of funding that only deferred.c and space.c use. */
#ifndef MM_FUND_BATCH_H
#define MM_FUND_BATCH_H

#include "mm/fund.h"

/* fund_give for n single frames, under one hold of the lock. */
void fund_give_batch(struct space *s, const uint32_t *frames, unsigned n);

/* frame_alloc and frame_free for any kind that is no guest page; page tables too. */
mfn_t fund_alloc(unsigned order, enum frame_kind kind, domid_t owner) must_check;
void fund_release(mfn_t mfn, unsigned order);

#endif
