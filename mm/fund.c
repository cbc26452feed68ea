/* SPDX-License-Identifier: MIT */
/*
 * Funding: see fund.h for the rule. Here is its arithmetic, once:
 *
 *	debt = sum over spaces of max(0, min - held)	kept incrementally
 *	free >= debt					invariant 11
 *
 * A space that takes a frame below its min pays its own debt with it, so it is
 * served as long as one frame is free at all, and there is one, as debt > 0.
 * Anyone else must leave `debt` frames behind, and a populate
 * or an allocation of the hypervisor must leave the reserve behind too.
 */
#include "mm/fund.h"
#include "mm/buddy.h"
#include "mm/core.h"
#include "mm/fund_batch.h"
#include "mm/trace.h"

static uint64_t fund_reserve, fund_debt;

static void fund_lock(void)
{
	lock_take(&mm.free_lock, LOCK_FREE);
}

static void fund_unlock(void)
{
	lock_drop(&mm.free_lock, LOCK_FREE);
}

static uint64_t fund_debt_of(const struct space *s)
{
	return s->min_pages > s->held ? s->min_pages - s->held : 0;
}

static void fund_set_held(struct space *s, uint64_t held)
{
	fund_debt -= fund_debt_of(s);
	s->held = held;
	fund_debt += fund_debt_of(s);
}

void fund_init(uint64_t reserve_pages)
{
	fund_reserve = reserve_pages;
	fund_debt = 0;
}

/* Whether s may take `pages` frames for `use` and keep invariant 11 true. */
static bool fund_allows(const struct space *s, uint64_t pages, enum fund_use use)
{
	uint64_t free = buddy_free_pages();
	uint64_t own = use == FUND_MOVE ? 0 : min_u64(fund_debt_of(s), pages);

	if (free < pages || free - pages < fund_debt - own)
		return false;
	return use == FUND_BREAK || own == pages || free - pages >= fund_reserve;
}

static void fund_make_private(struct space *s, mfn_t mfn, gfn_t gfn)
{
	struct frame *f = frame_at(mfn);

	atomic_store_explicit(&f->slot, (uint32_t)gfn.n, memory_order_relaxed);
	atomic_store_explicit(&f->owner, s->domid, memory_order_relaxed);
	f->link = 0;
	frame_set_bits(f, FRAME_PRIVATE, FRAME_STALE);
	trace_written(f);
}

/* One frame for s, lock held. */
static inline mfn_t fund_take_locked(struct space *s, gfn_t gfn, enum fund_use use, bool *clean)
{
	mfn_t mfn;

	if (!fund_allows(s, 1, use))
		return MFN_NONE;
	mfn = buddy_alloc(0);
	ASSERT(mfn_valid(mfn)); /* any free block can be split */
	fund_set_held(s, s->held + 1);
	*clean = frame_flag(frame_at(mfn), FRAME_CLEAN);
	fund_make_private(s, mfn, gfn);
	return mfn;
}

mfn_t fund_take(struct space *s, gfn_t gfn, enum fund_use use, bool *clean)
{
	mfn_t mfn;

	env_point(POINT_ALLOC);
	if (env_refuse_alloc())
		return MFN_NONE;
	fund_lock();
	mfn = fund_take_locked(s, gfn, use, clean);
	fund_unlock();
	if (mfn_valid(mfn))
		frame_count(FRAME_FREE, FRAME_PRIVATE, 1);
	return mfn;
}

unsigned fund_take_batch(struct space *s, const gfn_t *gfns, struct fund_frame *frames, unsigned n)
{
	unsigned got = 0;

	fund_lock();
	for (; got < n; got++) {
		struct fund_frame *f = &frames[got];

		env_point(POINT_ALLOC);
		if (env_refuse_alloc())
			break;
		f->mfn = fund_take_locked(s, gfns[got], FUND_POPULATE, &f->clean);
		if (!mfn_valid(f->mfn))
			break;
	}
	fund_unlock();
	frame_count(FRAME_FREE, FRAME_PRIVATE, got);
	return got;
}

mfn_t fund_take_large(struct space *s, gfn_t gfn, enum fund_use use)
{
	mfn_t mfn = MFN_NONE;

	env_point(POINT_ALLOC);
	if (env_refuse_alloc())
		return MFN_NONE;
	fund_lock();
	if (fund_allows(s, LARGE_PAGES, use))
		mfn = buddy_alloc(LARGE_ORDER);
	if (mfn_valid(mfn)) {
		fund_set_held(s, s->held + LARGE_PAGES);
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			fund_make_private(s, MFN(mfn.n + i), GFN(gfn.n + i));
	}
	fund_unlock();
	if (mfn_valid(mfn))
		frame_count(FRAME_FREE, FRAME_PRIVATE, LARGE_PAGES);
	return mfn;
}

static void fund_scrub(mfn_t mfn, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		env_page_zero(env_frame(MFN(mfn.n + i)));
}

void fund_give(struct space *s, mfn_t mfn, unsigned order)
{
	fund_scrub(mfn, BIT(order));
	fund_lock();
	ASSERT(s->held >= BIT(order) && frame_kind(frame_at(mfn)) == FRAME_PRIVATE);
	buddy_free(mfn, order, true);
	fund_set_held(s, s->held - BIT(order));
	fund_unlock();
	frame_count(FRAME_PRIVATE, FRAME_FREE, BIT(order));
}

void fund_give_batch(struct space *s, const uint32_t *frames, unsigned n)
{
	fund_lock();
	for (unsigned i = 0; i < n; i++)
		buddy_free(MFN(frames[i]), 0, true);
	ASSERT(s->held >= n);
	fund_set_held(s, s->held - n);
	fund_unlock();
	frame_count(FRAME_PRIVATE, FRAME_FREE, n);
}

void fund_give_shared(mfn_t mfn)
{
	ASSERT(frame_kind(frame_at(mfn)) == FRAME_SHARED && frame_slot(frame_at(mfn)) == 0);
	fund_scrub(mfn, 1);
	fund_lock();
	buddy_free(mfn, 0, true);
	fund_unlock();
	frame_count(FRAME_SHARED, FRAME_FREE, 1);
}

bool fund_unhold(struct space *s)
{
	bool ok;

	fund_lock();
	ASSERT(s->held > 0);
	ok = s->held > s->min_pages || buddy_free_pages() > fund_debt;
	if (ok)
		fund_set_held(s, s->held - 1);
	fund_unlock();
	return ok;
}

void fund_hold(struct space *s)
{
	fund_lock();
	fund_set_held(s, s->held + 1);
	fund_unlock();
}

enum mm_status fund_set_min(struct space *s, uint64_t min_pages)
{
	uint64_t before = s->min_pages;
	bool ok;

	fund_lock();
	fund_debt -= fund_debt_of(s);
	s->min_pages = min_pages;
	fund_debt += fund_debt_of(s);
	ok = min_pages <= before || fund_debt <= buddy_free_pages();
	if (!ok) {
		fund_debt -= fund_debt_of(s);
		s->min_pages = before;
		fund_debt += fund_debt_of(s);
	}
	fund_unlock();
	return ok ? MM_OK : MM_NOMEM;
}

struct fund_view fund_look(void)
{
	struct fund_view v;

	fund_lock();
	v.free = buddy_free_pages();
	v.reserve = min_u64(v.free, fund_reserve);
	v.debt = fund_debt;
	fund_unlock();
	return v;
}

/* ---- frames that belong to no page of a guest ---- */

mfn_t fund_alloc(unsigned order, enum frame_kind kind, domid_t owner)
{
	uint64_t pages = BIT(order), keep;
	mfn_t mfn = MFN_NONE;

	env_point(POINT_ALLOC);
	if (env_refuse_alloc())
		return MFN_NONE;
	fund_lock();
	keep = max_u64(fund_debt, fund_reserve);
	if (buddy_free_pages() >= pages && buddy_free_pages() - pages >= keep)
		mfn = buddy_alloc(order);
	for (uint64_t i = 0; mfn_valid(mfn) && i < pages; i++) {
		struct frame *f = frame_at(MFN(mfn.n + i));

		atomic_store_explicit(&f->owner, owner, memory_order_relaxed);
		atomic_store_explicit(&f->slot, 0, memory_order_relaxed);
		f->link = 0;
		frame_set_bits(f, kind, 0);
	}
	fund_unlock();
	if (mfn_valid(mfn))
		frame_count(FRAME_FREE, kind, pages);
	return mfn;
}

void fund_release(mfn_t mfn, unsigned order)
{
	enum frame_kind kind = frame_kind(frame_of(mfn));

	ASSERT(kind == FRAME_HYPERVISOR || kind == FRAME_SERVICE || kind == FRAME_TABLE);
	for (uint64_t i = 0; i < BIT(order); i++)
		ASSERT(frame_kind(frame_at(MFN(mfn.n + i))) == kind);
	if (kind == FRAME_SERVICE) /* a guest wrote there */
		fund_scrub(mfn, BIT(order));
	fund_lock();
	buddy_free(mfn, order, kind == FRAME_SERVICE);
	fund_unlock();
	frame_count(kind, FRAME_FREE, BIT(order));
}

mfn_t frame_alloc(unsigned order, enum frame_kind kind, domid_t owner)
{
	ASSERT(order < BUDDY_ORDERS && (kind == FRAME_HYPERVISOR || kind == FRAME_SERVICE));
	return fund_alloc(order, kind, owner);
}

void frame_free(mfn_t mfn, unsigned order)
{
	ASSERT(frame_kind(frame_of(mfn)) != FRAME_TABLE);
	fund_release(mfn, order);
}
