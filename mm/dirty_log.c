/* SPDX-License-Identifier: MIT */
/*
 * Dirty source: page-modification logging (SDM vol. 3, 28.2.6; 29.3.6 in later editions).
 *
 * When a CPU sets the dirty flag of a leaf it also writes the guest-physical address into a
 * log of 512 entries that belongs to the vCPU. The leaf is what is believed; the log
 * only tells where to look: each entry makes the level-2 entry over its page say "one of
 * mine was written" (a software bit, our sign). So a region that is read and not written is passed
 * over, which accessed flags cannot do, and a lost or doubled entry is harmless.
 *
 * Who holds entries that the scanner has not seen? A CPU that is in guest mode, and no other: the
 * back end empties the log at each exit (vmx_run.c), *before* it says flush_leave(). So
 *
 *  - whoever has waited for a flush has also waited for the log: what was written before is signed
 *  - the walk to the level-2 entry needs no lock. It is made by a CPU that counts as being in guest
 *    mode still, and a table that it may meet is not used for anything else before
 *    that CPU has left, just as with the hardware's own walks
 *  - a log lies full for as long as its vCPU runs without an exit. At the end of each
 *    pass whoever has not come out since the end of the last one is asked to (flush_ask_out).
 *    Until then its writes are seen late, not lost
 *
 * The sign comes *after* the dirty flag. A walk of a region takes the sign away first and looks at
 * the leaves then: a flag that was set later than the look is signed later than the look.
 * So one walk that finds nothing is enough (sign_after), where accessed flags need two.
 *
 * The log of a large leaf has one entry for all of its pages; that leaf's flag is in the level-2
 * entry itself, and needs no sign.
 */
#include "mm/dirty.h"
#include "mm/p2m.h"

static void log_adapt(struct pte_format *f)
{
	f->clean_mask = 0;
	f->sign_mask = f->sw_mask & -f->sw_mask; /* of a table's entry no CPU looks at it either */
	f->sign_after = true;
}

const struct dirty_way dirty_log = {
    .name = "pml",
    .adapt = log_adapt,
    .needs_flags = true,
};

/* Set the sign in an entry that points at a table; it may change at any time. */
static void sign_entry(uint64_t *e)
{
	uint64_t v = p2m_entry_get(e), sign = mm.format->sign_mask;

	while (pte_kind(v, 2) == PTE_TABLE && !(v & sign) && !p2m_entry_cas(e, &v, v | sign))
		;
}

void dirty_sign(struct space *s, gfn_t gfn)
{
	uint64_t *over = p2m_over(s, &s->near, gfn);

	if (over)
		sign_entry(over);
}

void dirty_logged(struct space *s, gfn_t gfn)
{
	uint64_t *over = gfn.n < GFN_LIMIT ? p2m_find_over(s, gfn) : NULL;

	counter_add(&mm.count.pages_logged, 1);
	if (over && mm.dirty == DIRTY_LOG)
		sign_entry(over);
}
