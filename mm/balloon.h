/* SPDX-License-Identifier: MIT */
/* Taking one guest page out of the p2m: for balloon.c, service.c and space.c. p2m lock held. */
#ifndef MM_BALLOON_H
#define MM_BALLOON_H

#include "mm/p2m.h"

/*
 * Replace the level-1 entry at e, which holds RAM of gfn (any type but ballooned,
 * foreign, none; not pinned), by `value`. Counts the page as gone from what it was, but
 * not as gone to anything. A frame that was mapped goes to d.
 */
void balloon_unmap(struct space *s, gfn_t gfn, uint64_t *e, uint64_t value, struct deferred *d);

#endif
