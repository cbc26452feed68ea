/* SPDX-License-Identifier: MIT */
/*
 * Merging pages, in batches: mm/merge.c opens with the protocol. There is one
 * batch, which belongs to whoever holds the scan lock; every call needs it.
 */
#ifndef MM_MERGE_H
#define MM_MERGE_H

#include "mm/core.h"
#include "mm/index.h"

#define MERGE_PAGES  64u /* pages of one batch */
#define MERGE_SPACES 16u /* spaces of one batch: two flushes each */

/* A quiet page: read, and not written since its dirty bit was last cleared and flushed. */
struct merge_page {
	gfn_t gfn;
	mfn_t mfn;
	uint32_t fingerprint;
};

/* An empty batch, and no coin thrown yet. Called by mm_init. */
void merge_init(void);

/* Whether any page can be added; if not, merge_commit first. */
bool merge_has_room(void);

/*
 * Add a page of s that may equal `match`: a shared frame or a hint of its
 * fingerprint and group. Protects it; what is under a large leaf is split off.
 * The p2m lock of s is held. False: it cannot be merged now; nothing was added.
 */
bool merge_add(struct space *s, struct merge_page page, struct index_match match);

/* The same for a page that may equal a constant frame (zero_frame or ones_frame). */
bool merge_add_constant(struct space *s, struct merge_page page, mfn_t constant);

/*
 * Do the batch. No p2m lock held. Returns how many pages were merged: the
 * frames that were freed. The batch is empty afterwards.
 */
uint64_t merge_commit(void);

/* ---- for mm/merge_large.c, which merges 512 pages at a time ---- */

/* A random bit: which of two survives. */
bool merge_coin(void);

/* Both p2m locks, in order; a and b may be the same space. */
void merge_lock_both(struct space *a, struct space *b);
void merge_unlock_both(struct space *a, struct space *b);

#endif
