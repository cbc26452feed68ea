/* SPDX-License-Identifier: MIT */
/* Making one page writable, whatever it is now: for fault.c, access.c and pin.c. */
#ifndef MM_COW_H
#define MM_COW_H

#include "mm/p2m.h"

/*
 * Make the page of gfn writable and this domain's own: populate, break, take
 * over or unprotect. *out is its frame. guest_walk: the CPU wants to write there because
 * guest page tables live there. p2m lock held; every CPU has flushed on return.
 * MM_NOMEM (nothing changed), MM_NORAM, MM_INVAL: a read-only foreign page.
 */
enum mm_status cow_writable(struct space *s, gfn_t gfn, bool guest_walk, mfn_t *out) must_check;

/*
 * The shared page of gfn, whose leaf is at e, is used by nobody else, and nobody looks it up now (the
 * scan lock is held): it becomes private where it is, unchanged, and a hint. p2m lock held.
 */
void cow_take_back(struct space *s, gfn_t gfn, uint64_t *e);

#endif
