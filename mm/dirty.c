/* SPDX-License-Identifier: MIT */
/*
 * The choice of a dirty source, and what is true of each of them.
 *
 * A consumer (the scanner, a trace, the making of large pages) does
 *
 *	clear "dirty" -> flush -> only then read
 *
 * with any source: until the flush a CPU may write through what it has cached and say
 * nothing; after it the next write says so again. Clearing is batched: a slice of the scan clears
 * as many as it meets and then flushes the space once (mm/scan.c).
 *
 * Why a lost flag costs savings and never correctness. Suppose that a page was written and
 * nobody was told: an erratum, a race, a bug of ours. Then its fingerprint in the
 * index is of an older content. Somebody may find it there, and ask for a merge: the merge
 * write-protects both pages, flushes every CPU that runs the guests, and compares all 4096 bytes
 * of what is there now (mm/merge.c). It believes no flag, no fingerprint and no mark. So
 * either they differ, and the page stays apart until it is written once more; or they are equal,
 * and may be shared. Nothing else in Quire goes by these flags: a copy-on-write break goes by the
 * leaf's write right, which the CPU itself enforces.
 *
 * Our own writes to a guest's page set no flag and are in no log. They go through four doors only,
 * each of which marks the page (p2m_mark_dirty): mm_write, a pin and its end (a page that
 * the hypervisor holds a pointer to is never merged or read while it does), a grant copy, which is
 * mm_write, and the replacement of a service page, whose leaf is foreign and not scanned.
 */
#include "mm/dirty.h"
#include "mm/quiet.h"

static const struct dirty_way *const ways[DIRTY_SOURCES] = {
    [DIRTY_FLAGS] = &dirty_flags,
    [DIRTY_LOG] = &dirty_log,
    [DIRTY_PROTECT] = &dirty_protect,
};

static struct pte_format seen; /* the format as the source has adapted it */

enum dirty_source dirty_default(const struct pte_format *f)
{
	return f->dirty_mask ? DIRTY_FLAGS : DIRTY_PROTECT;
}

void dirty_choose(const struct pte_format *f, enum dirty_source source)
{
	ASSERT(source < DIRTY_SOURCES);
	ASSERT(!ways[source]->needs_flags || (f->accessed_mask && f->dirty_mask));
	ASSERT(f->known_mask && f->calm_mask && f->look_mask);
	seen = *f;
	ways[source]->adapt(&seen);
	ASSERT(seen.dirty_mask && seen.sign_mask);
	mm.format = &seen;
	mm.dirty = source;
}

/* A log spares walks of what was only read; write protection costs faults. */
enum dirty_source dirty_best(unsigned there)
{
	if (there & BIT(DIRTY_LOG))
		return DIRTY_LOG;
	return there & BIT(DIRTY_FLAGS) ? DIRTY_FLAGS : DIRTY_PROTECT;
}

const char *dirty_name(enum dirty_source source)
{
	return source < DIRTY_SOURCES ? ways[source]->name : "?";
}

enum dirty_source mm_dirty_source(void)
{
	return mm.dirty;
}
