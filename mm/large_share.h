/* SPDX-License-Identifier: MIT */
/*
 * Large leaves that map shared frames: what is done to one (mm/large_share.c); mm/merge_large.c
 * is the protocol. The p2m lock of the space is held in every call. `first` is the guest
 * frame that the leaf begins at, `frames` the first of its 512 frames.
 */
#ifndef MM_LARGE_SHARE_H
#define MM_LARGE_SHARE_H

#include "mm/p2m.h"

/*
 * The frames of a large leaf of private pages, all of which may be merged: none is pinned or holds
 * a guest's page tables. Else MFN_NONE.
 */
mfn_t large_mergeable(struct space *s, gfn_t first);

/* p2m_protect for a leaf of `large_mergeable` frames: one that was dirty makes all 512 STALE. */
void large_protect(struct space *s, gfn_t first);

/* Whether the leaf maps these frames still, mergeable, protected, and none of them written since. */
bool large_protected(struct space *s, gfn_t first, mfn_t frames);

/* Give up: what large_protect has protected may be written again. No flush needed. */
void large_unprotect(struct space *s, gfn_t first);

/*
 * The protected leaf maps this run of shared frames from now on, read-only; the counters of
 * mappings follow. The run may be its own frames. Counts, funding and the old frames
 * are the caller's. The quiet marks of the region are gone.
 */
void large_set_shared(struct space *s, gfn_t first, mfn_t run);

/* Whether each of 512 shared frames is mapped once. No lock needed: it may change. */
bool large_is_alone(mfn_t run);

/*
 * If all 512 frames of a shared large leaf are mapped by nobody else, they become private, and
 * the leaf writable (without dirty flags: once it is written). False: nothing changed. The scan
 * lock is held, so that nobody looks them up.
 */
bool large_take_back(struct space *s, gfn_t first);

/* Whether 512 small leaves map shared frames of one large frame, in order. */
bool large_is_run(const uint64_t *leaves);

/* Make one large leaf of them; `over` is the level-2 entry above. Flushes. */
void large_join_shared(struct space *s, uint64_t *over);

#endif
