/* SPDX-License-Identifier: MIT */
/*
 * What is known of a region of 2 MiB as a whole, so that the scanner can pass over it:
 * quiet.c has the design. The mark stands in the level-2 entry over the region, be it a
 * table or a large leaf, and goes with it. Everything here is called with the p2m lock held.
 */
#ifndef MM_QUIET_H
#define MM_QUIET_H

#include "mm/p2m.h"

enum quiet_mark {
	QUIET_NOT,   /* nothing is known */
	QUIET_BEGUN, /* the scanner is on its way through it, and found nothing to come back for */
	QUIET_KNOWN, /* its pages need a look only if their leaves say so: dirty, or "look" */
	QUIET_CALM,  /* and none says so, unless the entry over it was accessed since */
};

static inline enum quiet_mark quiet_mark_of(uint64_t over)
{
	bool calm = over & mm.format->calm_mask;

	if (over & mm.format->known_mask)
		return calm ? QUIET_CALM : QUIET_KNOWN;
	return calm ? QUIET_BEGUN : QUIET_NOT;
}

/*
 * Whether the region under this level-2 entry (at level 2: table or leaf) needs no look at
 * all. A large leaf has a dirty bit itself, for all of its pages.
 */
static inline bool quiet_as_a_whole(uint64_t over)
{
	const struct pte_format *f = mm.format;

	if (f->kind(over, 2) == PTE_LEAF)
		return (over & (f->known_mask | f->dirty_mask)) == f->known_mask && f->known_mask;
	return quiet_mark_of(over) == QUIET_CALM && !(over & f->sign_mask);
}

/*
 * How many of these n level-2 entries, from the first on, are quiet as a whole by their bits alone: both
 * marks, so a table or a leaf is there, and no bit that would speak against it if it was
 * the one or the other. (With write protection "dirty" is a right, which every table has: then none.)
 */
static inline uint64_t quiet_run(const uint64_t *over, uint64_t n)
{
	const uint64_t marks = mm.format->known_mask | mm.format->calm_mask;
	const uint64_t bits = marks | mm.format->sign_mask | mm.format->dirty_mask;
	uint64_t i = 0;

	while (i < n && (p2m_entry_get(&over[i]) & bits) == marks)
		i++;
	return i;
}

/* Change the mark of a present level-2 entry, and clear other bits in it. */
void quiet_set(uint64_t *over, enum quiet_mark mark, uint64_t clear);

/* quiet_doubt where there is a mark. */
void quiet_forget(uint64_t *over);

/*
 * A page of this region needs a look that no dirty bit will call for: it was written by us,
 * or got another frame, or left the index, or was read and not placed.
 */
static inline void quiet_doubt(struct space *s, gfn_t gfn)
{
	uint64_t *over = p2m_over(s, &s->near, gfn);

	if (over && p2m_entry_get(over) & (mm.format->known_mask | mm.format->calm_mask))
		quiet_forget(over);
}

#endif
