/* SPDX-License-Identifier: MIT */
/*
 * Granted frames: one domain's page in another domain's p2m, because the owner
 * said so (kernel/grant.c). The owner's page is pinned for as long, so it stays private,
 * where it is, and out of every merge: to the owner nothing has changed. In the other's
 * p2m it is a foreign leaf. That leaf is the only exception to invariant 4, so it is counted
 * apart, and the audit asks of each that the frame be pinned and somebody else's.
 *
 * When the owner dies its page must go, and the other's leaf cannot wait: a page of
 * ours, allocated when the grant was mapped, takes its place with the last content.
 * Ending a grant therefore never fails and needs no memory.
 *
 * A granted page cannot be pinned by its borrower: the hypervisor would hold a pointer
 * to memory that goes when somebody else likes.
 */
#include "mm/flush.h"
#include "mm/p2m.h"
#include "mm/pin.h"

static bool granted_frame(const struct space *s, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	return frame_kind(f) == FRAME_PRIVATE && frame_flag(f, FRAME_PINNED) &&
	       frame_owner(f) != s->domid;
}

bool granted_leaf(const struct space *s, uint64_t entry)
{
	return (mm.format->sw(entry) & PTE_SW_FOREIGN) &&
	       granted_frame(s, mm.format->frame(entry, 1));
}

static enum mm_status granted_map(struct space *s, gfn_t gfn, mfn_t frame, bool writable)
{
	unsigned access = writable ? PTE_R | PTE_W : PTE_R;
	uint64_t *e;
	enum p2m_type type;

	if (s->dying || gfn.n >= GFN_LIMIT || !granted_frame(s, frame))
		return MM_INVAL;
	type = p2m_lookup_locked(s, gfn).type;
	if (type != P2M_NONE && type != P2M_BALLOONED)
		return MM_INVAL;
	e = p2m_make(s, gfn);
	if (!e)
		return MM_LIMIT;
	p2m_entry_set(e, mm.format->leaf(frame, 1, access, PTE_SW_FOREIGN));
	s->stats.ballooned -= type == P2M_BALLOONED;
	s->stats.granted++;
	return MM_OK;
}

enum mm_status mm_map_granted(struct space *s, gfn_t gfn, mfn_t frame, bool writable)
{
	enum mm_status st;

	p2m_lock(s);
	st = granted_map(s, gfn, frame, writable);
	p2m_unlock(s);
	return st;
}

/* The entry of gfn, which maps this frame: nobody but the two calls below takes it out. */
static uint64_t *granted_entry(struct space *s, gfn_t gfn, mfn_t frame)
{
	struct p2m_slot p = p2m_find(s, gfn);

	ASSERT(p.entry && p.level == 1);
	ASSERT(granted_leaf(s, p2m_entry_get(p.entry)));
	ASSERT(mfn_eq(mm.format->frame(p2m_entry_get(p.entry), 1), frame));
	return p.entry;
}

void mm_unmap_granted(struct space *s, gfn_t gfn, mfn_t frame)
{
	p2m_lock(s);
	p2m_entry_exchange(granted_entry(s, gfn, frame), mm.format->soft(P2M_SOFT_BALLOONED));
	flush_space(s);
	s->stats.granted--;
	s->stats.ballooned++;
	p2m_unlock(s);
}

void mm_replace_granted(struct space *s, gfn_t gfn, mfn_t frame, mfn_t own)
{
	uint64_t *e, v;

	p2m_lock(s);
	e = granted_entry(s, gfn, frame);
	v = p2m_entry_get(e);
	ASSERT(frame_kind(frame_at(own)) == FRAME_SERVICE &&
	       frame_owner(frame_at(own)) == s->domid);
	/* Nobody writes while it is copied; what a CPU read before stays true after. */
	p2m_entry_exchange(e, mm.format->leaf(frame, 1, PTE_R, PTE_SW_FOREIGN));
	flush_space(s);
	env_page_copy(env_frame(own), env_frame(frame));
	p2m_entry_exchange(e, mm.format->leaf(own, 1, mm.format->access(v), PTE_SW_FOREIGN));
	flush_space(s);
	s->stats.granted--;
	s->stats.foreign++;
	p2m_unlock(s);
}
