/* SPDX-License-Identifier: MIT */
/* Which frames were ever ours to hand out: a walk of the frame table goes over these only. */
#ifndef MM_RANGES_H
#define MM_RANGES_H

#include "mm/mm.h"

void ranges_init(const struct mm_range *r, unsigned n);

/* The first frame at or above `from` that has a record, or MFN_NONE: for loops. */
mfn_t ranges_next(mfn_t from);

#endif
