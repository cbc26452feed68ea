/* SPDX-License-Identifier: MIT */
/*
 * Regions that the scanner passes over.
 *
 * Most memory is at rest most of the time, and even a glance at each page's leaf is too
 * much when nothing changed. A CPU that walks to a leaf marks every entry on its way as
 * accessed (mm/pte_format.h), so the level-2 entry over 2 MiB tells of all 512 leaves at once:
 * while it is not accessed, none of them has become dirty.
 *
 * The race. A CPU keeps entries that point at tables in its paging-structure caches. After
 * we have cleared "accessed" it may go on from there, and set the dirty bit of a leaf
 * without a sign in the entry above, until it is flushed. So with
 *
 *	clear accessed -> look at the leaves -> flush
 *
 * a leaf can become dirty between the second and the third step: "not accessed" would then
 * hide it for ever. What may be concluded is this. A slice that clears "accessed" ends
 * with a flush. If a *later* slice finds it still clear, no CPU has the entry cached: it
 * would have read it after the flush, and marked it. So whatever is dirty below is dirty
 * already, or the mark will come back. If from then on all 512 leaves are looked at, and none
 * is dirty, then none is for as long as the entry is not accessed.
 *
 * What a leaf says. Dirty: written since the last look. "Look" (a bit of our own): it was
 * dirty, or the policy or the dice put it off, so it is to be looked at in the next pass too.
 * When it calls for neither, and its region is known, there is no need to look at the
 * frame record.
 *
 *	NOT --walked whole: each page is in its place, is being placed, or calls--> KNOWN
 *	KNOWN --walked whole: not accessed at its beginning, and none calls--> CALM
 *
 * (one walk can make both steps), and
 *
 *	CALM, not accessed	passed over, for one look at one entry
 *	KNOWN			its leaves are looked at, and of those that call the records
 *	else			leaves and frame records, all
 *
 * A walk may take several slices, and faults and other CPUs come between. It counts as
 * whole if it began at the first page, left out none, and nobody had a doubt meanwhile:
 * BEGUN is the mark that stands until then, and that a doubt takes away like any other.
 * The rest of a walk that was broken off is an ordinary one.
 *
 * Who doubts. A page that needs a look without being dirty in its leaf: written by the
 * hypervisor (p2m_mark_dirty), populated, broken, taken over or unprotected (cow.c),
 * come back from the balloon, harvested by somebody else (p2m_harvest), given up by a
 * merge, lost from the index, refused by the policy or by the dice of a page of guest
 * tables. Whoever changes a leaf to a private frame, or takes a private page out of the
 * index, calls quiet_doubt under the same p2m lock. What gives pages away (balloon, merge)
 * need not. A level-2 entry that is replaced (split, made large again, a table put in) comes
 * without a mark. A hint that the index drops by itself (mm/index.h) belongs to anybody: the
 * scanner then trusts no mark for a whole pass.
 *
 * A large leaf speaks for itself: its own dirty bit is for all its pages, and clearing
 * it follows the order of mm/scan.c. It needs KNOWN only, and has no "look".
 *
 * A doubt too many costs a walk. A doubt too few, or an accessed bit that some CPU did not set,
 * costs savings: a page that was written is not read again, so it is not merged, or its hint
 * stands in the index with an old fingerprint. It cannot cost correctness: a merge believes
 * no mark and no fingerprint, but protects, flushes, and compares whole pages (mm/merge.c).
 * The audit checks the marks (invariant 12).
 *
 * The level above (1 GiB) has no mark: 16 GiB are 8192 entries of 8 bytes side by side, and
 * passing over them takes the time of reading some hundred pages.
 */
#include "mm/quiet.h"

static uint64_t quiet_bits(enum quiet_mark mark)
{
	const struct pte_format *f = mm.format;

	return (mark >= QUIET_KNOWN ? f->known_mask : 0) |
	       (mark == QUIET_CALM || mark == QUIET_BEGUN ? f->calm_mask : 0);
}

void quiet_set(uint64_t *over, enum quiet_mark mark, uint64_t clear)
{
	uint64_t e = p2m_entry_get(over), bits = quiet_bits(mark);

	clear |= mm.format->known_mask | mm.format->calm_mask;
	/* Again if the CPU has set a bit meanwhile. */
	while ((e & clear) != bits && !p2m_entry_cas(over, &e, (e & ~clear) | bits))
		;
}

void quiet_forget(uint64_t *over)
{
	quiet_set(over, QUIET_NOT, 0);
}
