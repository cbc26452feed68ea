/* SPDX-License-Identifier: MIT */
/*
 * Dirty source: write protection, for CPUs without dirty flags (EPT before Haswell).
 *
 * "Dirty" is the leaf's write right. To clear it is to take the right away, and to say that it was
 * us (PTE_SW_PROTECTED); after the flush that any clearing owes, a write faults, and the
 * fault (mm/cow.c) gives the right back, marks the frame stale, and signs the level-2 entry
 * above. All of that happens under the p2m lock, and the sign comes with the
 * dirty bit: one walk that finds nothing is enough (sign_after).
 *
 * A merge protects pages in the same way. One that is given up leaves its pages protected here if
 * they are unchanged, since that is what a clean page looks like.
 *
 * The price is a fault for each page that is written after it was looked at, some thousand
 * cycles. So pages that are certain to be written, or of no use to us, keep their right: pinned
 * ones and those that hold guest page tables. A page table that the guest's CPU walks faults here
 * although nobody writes to it only where the tables have accessed flags; these are off.
 *
 * A large leaf is protected, and given its right back, as a whole: one fault for 512 pages.
 */
#include "mm/dirty.h"

static void protect_adapt(struct pte_format *f)
{
	uint64_t none = f->leaf(MFN(0), 1, PTE_R, 0);

	f->accessed_mask = 0;
	f->dirty_mask = f->leaf(MFN(0), 1, PTE_R | PTE_W, 0) ^ none;
	f->clean_mask = f->leaf(MFN(0), 1, PTE_R, PTE_SW_PROTECTED) ^ none;
	f->sign_mask = f->sw_mask & -f->sw_mask;
	f->sign_after = true;
}

const struct dirty_way dirty_protect = {
    .name = "wp",
    .adapt = protect_adapt,
    .needs_flags = false,
};
