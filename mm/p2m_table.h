/* SPDX-License-Identifier: MIT */
/* The table frames of a space as a whole: for p2m.c, space.c and populate.c. */
#ifndef MM_P2M_TABLE_H
#define MM_P2M_TABLE_H

#include "mm/space.h"

/* Whether a table of this level that covers gfn lies over promised RAM. */
bool p2m_table_promised(const struct space *s, gfn_t gfn, unsigned level);

/* Where its RAM lies: low_pages, high_first, high_pages, memory_pages, max_pages (space.c). */
void space_place_ram(struct space *s, const struct space_config *c);

/*
 * Take the table frames, up to `budget` a call, and the root last. MM_MORE: not all are there;
 * MM_NOMEM: there is no frame now. Either way what was taken is kept (p2m_tables_free).
 */
enum mm_status p2m_pool_fill(struct space *s, uint64_t budget) must_check;

/* Up to `budget` of the pool's frames go back; whether all did. */
bool p2m_pool_drain(struct space *s, uint64_t budget) must_check;

/* Take down at most `budget` tables of a space without leaves; true when root and pool are gone. */
bool p2m_tables_free(struct space *s, uint64_t budget) must_check;

#endif
