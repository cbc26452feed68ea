/* SPDX-License-Identifier: MIT */
/*
 * The store: where the packed bytes of a domain's compressed pages lie. mm/store.c opens with the
 * design. All calls with the p2m lock of s held.
 */
#ifndef MM_STORE_H
#define MM_STORE_H

#include "mm/p2m.h"

#define STORE_MOST 2048u /* bytes of an object at most */

struct store_item {
	gfn_t gfn;
	unsigned bytes; /* 1 .. STORE_MOST */
};

/*
 * How many frames it takes to keep these objects, whose pages are in ascending order, beside those
 * that are there: 0 if all fit where there is room.
 */
unsigned store_frames_needed(struct space *s, const struct store_item *items, unsigned n);

/* Frames for it, kind FRAME_STORE, that hold anything: as many as were needed, used from the end. */
struct store_frames {
	const mfn_t *frame;
	unsigned n;
};

/* Keep an object for the page of gfn, which has none, and whose table of leaves is there. */
void store_put(struct space *s, gfn_t gfn, const uint8_t *bytes, unsigned n,
               struct store_frames *frames);

/* The object of gfn, which there is; good while the lock is held. */
const uint8_t *store_get(struct space *s, gfn_t gfn, unsigned *bytes);

/* Forget it. A frame that holds nothing any more is scrubbed and free. */
void store_drop(struct space *s, gfn_t gfn);

/* ---- for the audit ---- */

/*
 * Whether gfn has a handle that names an object which no other names: NULL, and the object is marked
 * as seen; or what is wrong. store_unsee afterwards, if NULL.
 */
const char *store_see(struct space *s, gfn_t gfn);
void store_unsee(struct space *s, gfn_t gfn);

/* Of a frame of the store: whether it holds handles, and not objects; objects not seen. */
bool store_holds_handles(const struct frame *f);
unsigned store_unseen(const struct frame *f);

/* The handles that belong to a table of leaves, and how many it is said to have; false: none. */
bool store_handles_of(mfn_t leaves, mfn_t *handles, unsigned *counted, unsigned *found);

#endif
