/* SPDX-License-Identifier: MIT */
/* Memory for pages that have none. p2m lock held. */
#ifndef MM_POPULATE_H
#define MM_POPULATE_H

#include "mm/p2m.h"

/*
 * Give the never-touched page of gfn, in promised RAM, a zeroed frame. e is its level-1
 * entry, or NULL if there is no table yet. MM_NOMEM: nothing changed.
 */
enum mm_status populate_page(struct space *s, gfn_t gfn, uint64_t *e, mfn_t *out) must_check;

/* Map the zero frame there, read-only: somebody reads a page that was never written. */
void populate_zero(struct space *s, gfn_t gfn);

#endif
