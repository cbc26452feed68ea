/* SPDX-License-Identifier: MIT */
/*
 * A share of time: who works by it asks before each piece of work, and says what the piece took.
 * Over any stretch of time since pace_init the work comes to no more than the share of it, as long
 * as no piece takes longer than the longest one of late. No clock of its own.
 */
#ifndef KERNEL_PACE_H
#define KERNEL_PACE_H

#include "mm/leaf/types.h"

#define PACE_WHOLE 100000u /* a share of one is so many thousandths of a per cent */

struct pace {
	uint32_t share;      /* of PACE_WHOLE */
	uint64_t last_ns;    /* up to here time is accounted for */
	uint64_t credit;     /* ns * PACE_WHOLE that may be spent */
	uint64_t longest_ns; /* piece of work of late */
};

void pace_init(struct pace *p, uint32_t share, uint64_t now_ns);

/* Another share; what was saved up at the old one is forgotten. */
void pace_set(struct pace *p, uint32_t share, uint64_t now_ns);

/* Whether a piece of work may begin now. */
bool pace_may(struct pace *p, uint64_t now_ns) must_check;

/* It took so long. */
void pace_spent(struct pace *p, uint64_t ns);

#endif
