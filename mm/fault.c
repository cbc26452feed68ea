/* SPDX-License-Identifier: MIT */
/*
 * A guest access that the second-level tables refused. The answer is a
 * verdict; the vCPU is the caller's business. Two vCPUs may fault on one page
 * at once: the second finds the leaf as it wants it, and simply goes on.
 */
#include "mm/compress.h"
#include "mm/cow.h"
#include "mm/flush.h"
#include "mm/populate.h"
#include "mm/repay.h"

static enum mm_verdict fault_verdict(enum mm_status st)
{
	switch (st) {
	case MM_OK:
		return VERDICT_RESUME;
	case MM_NOMEM:
		return VERDICT_WAIT;
	case MM_INVAL:
		return VERDICT_REFUSE;
	default:
		return VERDICT_DEVICE;
	}
}

/*
 * A fetch that the leaf does not allow. RAM lacks the right only under a large leaf, or
 * since one was split (mm_set_large_nx): the one small page may have it.
 */
static enum mm_verdict fault_fetch(struct space *s, gfn_t gfn, struct p2m_slot p)
{
	if (mm.format->sw(p2m_entry_get(p.entry)) & PTE_SW_FOREIGN)
		return VERDICT_REFUSE;
	if (p2m_split(s, gfn)) {
		flush_space(s); /* the level changed */
		p = p2m_find(s, gfn);
	}
	p2m_allow_exec(p.entry);
	return VERDICT_RESUME;
}

/* A read or fetch: the leaf allows it, or nobody ever wrote there, or it is compressed, or there
 * is no memory. */
static enum mm_verdict fault_read(struct space *s, gfn_t gfn, unsigned access)
{
	struct p2m_slot p = p2m_find(s, gfn);
	uint64_t v = p.entry ? p2m_entry_get(p.entry) : 0;
	enum pte_kind kind = p.entry ? pte_kind(v, p.level) : PTE_EMPTY;
	mfn_t mfn;

	if (kind == PTE_LEAF) {
		bool ok = !(access & FAULT_EXEC) || mm.format->access(v) & PTE_X;

		return ok ? VERDICT_RESUME : fault_fetch(s, gfn, p);
	}
	if (kind == PTE_SOFT && compress_is(v))
		return fault_verdict(compress_expand(s, gfn, p.entry, &mfn));
	if (kind != PTE_EMPTY || !p2m_is_ram(s, gfn))
		return VERDICT_DEVICE;
	populate_zero(s, gfn);
	return VERDICT_RESUME;
}

static enum mm_verdict fault_try(struct space *s, gfn_t gfn, unsigned access)
{
	enum mm_verdict verdict;
	mfn_t mfn;

	p2m_lock(s);
	if (s->dying)
		verdict = VERDICT_DEVICE;
	else if (access & FAULT_WRITE)
		verdict = fault_verdict(cow_writable(s, gfn, access & FAULT_GUEST_WALK, &mfn));
	else
		verdict = fault_read(s, gfn, access);
	p2m_unlock(s);
	return verdict;
}

enum mm_verdict mm_fault(struct space *s, gfn_t gfn, unsigned access)
{
	enum mm_verdict verdict;
	unsigned turns = 0;

	if (gfn.n >= GFN_LIMIT)
		return VERDICT_DEVICE;
	do
		verdict = fault_try(s, gfn, access);
	while (verdict == VERDICT_WAIT && repay_for(&turns));
	if (verdict == VERDICT_WAIT) {
		p2m_lock(s);
		s->stats.waits++;
		p2m_unlock(s);
	}
	return verdict;
}
