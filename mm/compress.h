/* SPDX-License-Identifier: MIT */
/* Compressed pages: mm/compress.c opens with the design. p2m lock of s held, but for compress_some
 * (mm/space.h). */
#ifndef MM_COMPRESS_H
#define MM_COMPRESS_H

#include "mm/p2m.h"

void compress_init(void);

/* Whether a level-1 entry stands for a compressed page. */
static inline bool compress_is(uint64_t e)
{
	return pte_kind(e, 1) == PTE_SOFT && mm.format->soft_state(e) != P2M_SOFT_BALLOONED;
}

/*
 * The page of gfn, compressed, whose entry is at e, gets a frame of its own again: private and
 * writable. MM_NOMEM: nothing changed.
 */
enum mm_status compress_expand(struct space *s, gfn_t gfn, uint64_t *e, mfn_t *out) must_check;

/* Copy a part of it, which stays compressed: for a read that cannot wait. Needs no memory. */
void compress_peek(struct space *s, gfn_t gfn, uint64_t e, unsigned at, void *dst, unsigned bytes);

/* The page is given up: its entry was e and is something else now. Needs no flush. */
void compress_forget(struct space *s, gfn_t gfn, uint64_t e);

#endif
