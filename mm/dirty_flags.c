/* SPDX-License-Identifier: MIT */
/*
 * Dirty source: the accessed and dirty flags of EPT (since Haswell) and of nested page tables.
 *
 * The leaf says "dirty" itself. That something below a level-2 entry may have become dirty is told
 * by its accessed flag, which a CPU sets *before* it gets to the leaf, and not again while it
 * remembers the table: hence the two steps of mm/quiet.c. It is set for reads
 * too, so a region that is read all the time is walked in each pass, 512 leaves of 8 bytes.
 */
#include "mm/dirty.h"

static void flags_adapt(struct pte_format *f)
{
	f->clean_mask = 0;
	f->sign_mask = f->accessed_mask;
	f->sign_after = false;
}

const struct dirty_way dirty_flags = {
    .name = "flags",
    .adapt = flags_adapt,
    .needs_flags = true,
};
