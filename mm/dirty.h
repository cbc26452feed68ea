/* SPDX-License-Identifier: MIT */
/*
 * Where the scanner learns which pages were written: one of three sources, chosen at boot
 * by what the CPU has (mm/dirty.c; each has a file of its own).
 *
 *	flags		the CPU sets a dirty flag in the leaf (mm/dirty_flags.c)
 *	log		it also writes the address into a log (mm/dirty_log.c)
 *	protect		it has neither: pages are write-protected (mm/dirty_protect.c)
 *
 * A source is what it makes of a page-table format (mm/pte_format.h): which bit of a leaf says
 * "written" (dirty_mask), what takes its place when it is cleared (clean_mask), and which
 * bit of the entry over 512 leaves says that one of them may have become dirty (sign_mask). All
 * else goes by these bits and knows no source.
 */
#ifndef MM_DIRTY_H
#define MM_DIRTY_H

#include "mm/core.h"

struct dirty_way {
	const char *name; /* as on the command line */
	/* What the page tables are to a scanner that goes by this source. */
	void (*adapt)(struct pte_format *f);
	bool needs_flags; /* accessed and dirty flags in the page tables */
};

extern const struct dirty_way dirty_flags, dirty_log, dirty_protect;

/* mm.format becomes this format, seen through this source. */
void dirty_choose(const struct pte_format *f, enum dirty_source source);

/* What a format can serve when nobody says: flags, or else write protection. */
enum dirty_source dirty_default(const struct pte_format *f);

/* A leaf under the level-2 entry over gfn has become dirty, by our own hand; p2m lock held. */
void dirty_sign(struct space *s, gfn_t gfn);

#endif
