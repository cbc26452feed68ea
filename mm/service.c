/* SPDX-License-Identifier: MIT */
/*
 * Service frames: pages of the hypervisor that exactly one guest may map, such
 * as shared_info. They are no RAM of the guest: never merged, never ballooned,
 * and they stay allocated when they are unmapped.
 */
#include "mm/balloon.h"
#include "mm/flush.h"
#include "mm/pin.h"

static enum mm_status service_map_at(struct space *s, gfn_t gfn, uint64_t *e, mfn_t frame)
{
	uint64_t leaf = mm.format->leaf(frame, 1, PTE_R | PTE_W, PTE_SW_FOREIGN);
	struct deferred d;

	deferred_init(&d, s);
	switch (p2m_type_of(s, gfn, p2m_entry_get(e), 1)) {
	case P2M_NONE:
		p2m_entry_set(e, leaf);
		break;
	case P2M_BALLOONED:
		p2m_entry_set(e, leaf);
		s->stats.ballooned--;
		break;
	case P2M_FOREIGN:
		p2m_entry_exchange(e, leaf);
		flush_space(s);
		return MM_OK;
	default:
		balloon_unmap(s, gfn, e, leaf, &d);
		s->memory_pages--;
		deferred_finish(&d, deferred_seal(&d));
	}
	s->stats.foreign++;
	return MM_OK;
}

/* A granted page goes by mm_unmap_granted only: somebody keeps count of it. */
static bool service_finds_granted(struct space *s, gfn_t gfn)
{
	struct p2m_view v = p2m_lookup_locked(s, gfn);

	return v.type == P2M_FOREIGN && frame_kind(frame_at(v.mfn)) != FRAME_SERVICE;
}

enum mm_status mm_map_service(struct space *s, gfn_t gfn, mfn_t frame)
{
	enum mm_status st = MM_INVAL;
	struct frame *f = frame_of(frame);
	uint64_t *e;

	if (frame_kind(f) != FRAME_SERVICE || frame_owner(f) != s->domid || gfn.n >= GFN_LIMIT)
		return MM_INVAL;
	p2m_lock(s);
	if (s->dying)
		st = MM_INVAL;
	else if (pin_in_range(s, gfn, 1) || service_finds_granted(s, gfn))
		st = MM_PINNED;
	else
		st = (e = p2m_make(s, gfn)) ? service_map_at(s, gfn, e, frame) : MM_LIMIT;
	p2m_unlock(s);
	return st;
}

enum mm_status mm_unmap_service(struct space *s, gfn_t gfn)
{
	enum mm_status st = MM_OK;
	struct p2m_view v;

	p2m_lock(s);
	v = p2m_lookup_locked(s, gfn);
	if (v.type != P2M_FOREIGN)
		st = MM_NORAM;
	else if (pin_in_range(s, gfn, 1) || service_finds_granted(s, gfn))
		st = MM_PINNED;
	if (st == MM_OK) {
		p2m_entry_exchange(p2m_find(s, gfn).entry, mm.format->soft(P2M_SOFT_BALLOONED));
		flush_space(s);
		s->stats.foreign--;
		s->stats.ballooned++;
	}
	p2m_unlock(s);
	return st;
}
