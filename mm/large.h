/* SPDX-License-Identifier: MIT */
/* Large leaves, made: for balloon.c (mm_populate_large and mm_coalesce are in mm/space.h). */
#ifndef MM_LARGE_H
#define MM_LARGE_H

#include "mm/p2m.h"

/*
 * A zeroed large frame for 512 pages of promised RAM that hold no frame of their own; the entries
 * below are dropped, flushed, and their table goes back. The caller counts (other than
 * populates, private pages, large leaves). p2m lock held. MM_NOMEM: nothing changed.
 */
enum mm_status large_populate(struct space *s, gfn_t first) must_check;

/* The rights of a large leaf of private pages. */
unsigned large_access(void);

/* Writes through the large leaf at e are allowed from now on; what CPUs have set stays. `more`:
 * accessed and dirty bits. */
void large_open(uint64_t *e, uint64_t more);

/* The leaf is private, and clean: protected, where that is what a clean page is. */
void large_leave_clean(uint64_t *e);

#endif
