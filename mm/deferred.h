/* SPDX-License-Identifier: MIT */
/*
 * Frames that were mapped and are to be given up: they may be used again only
 * after every CPU has flushed. So giving up is two steps that cannot be mixed up:
 *
 *	struct deferred d;
 *	deferred_init(&d, s);
 *	... change entries of s; deferred_add(&d, old frame) for each ...
 *	gen = deferred_seal(&d);	bumps the generation; must be used
 *	deferred_finish(&d, gen);	waits for the flush, then gives up each frame
 *
 * deferred_finish gives up by kind:
 *	private		leaves "held alone" of s (fund.h), is scrubbed and freed
 *	shared		loses one count; at zero it leaves the index and is freed
 *	constant	nothing
 *
 * deferred_add takes a private frame out of the index (call it with the p2m
 * lock of s held). deferred_finish may be called with or without p2m locks held
 * and with no bucket lock; freeing never allocates.
 */
#ifndef MM_DEFERRED_H
#define MM_DEFERRED_H

#include "mm/space.h"

#define DEFERRED_MAX 512u

struct deferred {
	struct space *space;
	unsigned n;
	uint32_t frames[DEFERRED_MAX]; /* mfns; a large frame is one entry (FRAME_ORDER says) */
	bool clean[DEFERRED_MAX];      /* all zeroes: needs no scrub */
};

void deferred_init(struct deferred *d, struct space *s);
void deferred_add(struct deferred *d, mfn_t mfn);
/* The same for a frame of which it is certain that it holds zeroes only, until it is free. */
void deferred_add_clean(struct deferred *d, mfn_t mfn);
/* The same for 512 private frames that begin at mfn, mapped by one large leaf. */
void deferred_add_large(struct deferred *d, mfn_t mfn);
uint64_t deferred_seal(struct deferred *d) must_check;
void deferred_finish(struct deferred *d, uint64_t generation);

static inline bool deferred_full(const struct deferred *d)
{
	return d->n == DEFERRED_MAX;
}

/* For a single frame: wait until s has flushed to `generation`, then give mfn up. */
void deferred_free(struct space *s, mfn_t mfn, uint64_t generation);

/*
 * Drop one count of a shared frame without waiting for a flush: for a lookup
 * that took a count and then did not map the frame. No p2m lock needed.
 */
void shared_put(mfn_t mfn);

#endif
