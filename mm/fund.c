/* SPDX-License-Identifier: MIT */
/*
 * Funding: see fund.h for the rule. Here is its arithmetic, once:
 *
 *	short(s) = max(0, min - held)
 *	debt     = sum over spaces of short(s) + credits(s)	kept incrementally
 *	free >= debt						invariant 11
 *
 * Who takes a frame must leave
 *
 *	debt less what it pays		below its min, or with a credit: it pays its own debt
 *					with the frame, and there is one, as debt > 0
 *	debt + the others' loans	a guest that was asked to give memory back, and borrows
 *	debt + loans			a break, once nothing is left to be repaid (repay.c)
 *	debt + loans + reserve		everyone else
 *
 * and while others stand in line for memory (fund_set_line) only the first two are served:
 * who is woken in turn has a credit, and nobody takes that frame away from it.
 */
#include "mm/fund.h"
#include "mm/buddy.h"
#include "mm/charge.h"
#include "mm/core.h"
#include "mm/fund_batch.h"
#include "mm/repay.h"
#include "mm/trace.h"

#define FUND_NEVER (UINT64_MAX / 4) /* more than any machine has */

/* fund_keep: what others than the payers of debt leave beyond debt and loans: the reserve, or all
 * while there is a line. */
static uint64_t fund_reserve, fund_loans, fund_keep, fund_debt;
static bool fund_line;
static bool fund_refused[ENV_MAX_CPUS]; /* what this CPU was refused last was a copy */

static void fund_lock(void)
{
	lock_take(&mm.free_lock, LOCK_FREE);
}

static void fund_unlock(void)
{
	lock_drop(&mm.free_lock, LOCK_FREE);
}

static uint64_t fund_short_of(const struct space *s)
{
	return s->min_pages > s->held ? s->min_pages - s->held : 0;
}

/* s holds more alone; what it was short of is paid. */
static inline void fund_add_held(struct space *s, uint64_t pages)
{
	if (s->held < s->min_pages)
		fund_debt -= min_u64(fund_short_of(s), pages);
	s->held += pages;
}

static inline void fund_drop_held(struct space *s, uint64_t pages)
{
	ASSERT(s->held >= pages);
	s->held -= pages;
	if (s->held < s->min_pages)
		fund_debt += min_u64(fund_short_of(s), pages);
}

static void fund_drop_credits(struct space *s, uint64_t n)
{
	s->credits -= n;
	fund_debt -= n;
}

/* s is about to take frames: what its min does not pay for, its credits do. */
static inline void fund_pay(struct space *s, uint64_t pages)
{
	uint64_t own;

	if (__builtin_expect(s->credits == 0, 1))
		return;
	own = min_u64(fund_short_of(s), pages);
	fund_drop_credits(s, min_u64(s->credits, pages - own));
}

static void fund_set_keep(void)
{
	fund_keep = fund_line ? FUND_NEVER : fund_reserve;
}

void fund_init(uint64_t reserve_pages)
{
	fund_reserve = reserve_pages;
	fund_debt = fund_loans = 0;
	fund_line = false;
	fund_set_keep();
}

void fund_set_reserve(uint64_t pages)
{
	fund_lock();
	fund_reserve = pages;
	fund_set_keep();
	fund_unlock();
}

void fund_set_line(bool somebody_waits)
{
	fund_lock();
	fund_line = somebody_waits;
	fund_set_keep();
	fund_unlock();
}

/* ---- loans ---- */

static uint64_t fund_to_borrow(const struct space *s)
{
	return s->borrows ? s->loan - s->borrowed : 0;
}

static void fund_borrow(struct space *s, uint64_t pages)
{
	s->borrowed += pages;
	fund_loans -= pages;
}

/* So many frames are free, and are no debt. */
static void fund_pay_back(struct space *s, uint64_t pages)
{
	pages = min_u64(pages, s->borrowed);
	s->borrowed -= pages;
	fund_loans += pages;
}

void fund_lend(struct space *s, bool may)
{
	fund_lock();
	s->borrows = may;
	fund_unlock();
}

bool fund_can_borrow(const struct space *s)
{
	bool can;

	fund_lock();
	can = fund_to_borrow(s) > 0;
	fund_unlock();
	return can;
}

/* ---- taking ---- */

bool fund_refused_break(void)
{
	return fund_refused[env_cpu()];
}

/*
 * Not enough is free for everybody: may s have it all the same? If so it may have borrowed for it: the
 * frames are there, and are taken.
 */
static bool fund_allows_scarce(struct space *s, uint64_t pages, enum fund_use use)
{
	uint64_t free = buddy_free_pages();
	uint64_t own = use == FUND_MOVE ? 0 : min_u64(fund_short_of(s) + s->credits, pages);
	bool is_break = use == FUND_BREAK && !fund_line && !repay_pending();

	if (free >= pages && free - pages >= fund_debt - own) {
		uint64_t left = free - pages - (fund_debt - own);

		if (own == pages || (is_break && left >= fund_loans))
			return true;
		if (use != FUND_MOVE && fund_to_borrow(s) >= pages - own) {
			fund_borrow(s, pages - own);
			return true;
		}
	}
	fund_refused[env_cpu()] = use == FUND_BREAK;
	return false;
}

/* Whether s may take `pages` frames for `use` and keep invariant 11 true. If so it does, now. */
static inline bool fund_allows(struct space *s, uint64_t pages, enum fund_use use)
{
	return __builtin_expect(buddy_free_pages() >= pages + fund_debt + fund_loans + fund_keep,
	                        1) ||
	       fund_allows_scarce(s, pages, use);
}

static void fund_make_private(struct space *s, mfn_t mfn, gfn_t gfn, unsigned flags)
{
	struct frame *f = frame_at(mfn);

	atomic_store_explicit(&f->slot, (uint32_t)gfn.n, memory_order_relaxed);
	atomic_store_explicit(&f->owner, s->domid, memory_order_relaxed);
	f->link = 0;
	frame_set_bits(f, FRAME_PRIVATE, FRAME_STALE | flags);
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
	fund_pay(s, 1);
	fund_add_held(s, 1);
	*clean = frame_flag(frame_at(mfn), FRAME_CLEAN);
	fund_make_private(s, mfn, gfn, 0);
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
	/* In one piece, first: what fund_allows has s borrow, it is to have a frame for. */
	if (buddy_has(LARGE_ORDER) && fund_allows(s, LARGE_PAGES, use)) {
		mfn = buddy_alloc(LARGE_ORDER);
		ASSERT(mfn_valid(mfn));
		if (use != FUND_MOVE)
			fund_pay(s, LARGE_PAGES);
		fund_add_held(s, LARGE_PAGES);
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			fund_make_private(s, MFN(mfn.n + i), GFN(gfn.n + i), FRAME_LARGE);
	}
	fund_unlock();
	if (mfn_valid(mfn))
		frame_count(FRAME_FREE, FRAME_PRIVATE, LARGE_PAGES);
	return mfn;
}

/* ---- giving ---- */

/* So many private frames of s are free: they pay its debt first, then what it has borrowed. */
static inline void fund_got_back(struct space *s, uint64_t pages)
{
	uint64_t was_short = fund_short_of(s);

	fund_drop_held(s, pages);
	if (__builtin_expect(s->borrowed, 0))
		fund_pay_back(s, pages - (fund_short_of(s) - was_short));
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
	ASSERT(frame_kind(frame_at(mfn)) == FRAME_PRIVATE);
	buddy_free(mfn, order, true);
	fund_got_back(s, BIT(order));
	fund_unlock();
	frame_count(FRAME_PRIVATE, FRAME_FREE, BIT(order));
}

void fund_give_dirty(struct space *s, mfn_t mfn, unsigned order)
{
	fund_lock();
	buddy_free(mfn, order, false);
	fund_got_back(s, BIT(order));
	fund_unlock();
	frame_count(FRAME_PRIVATE, FRAME_FREE, BIT(order));
}

void fund_give_batch(struct space *s, const uint32_t *frames, unsigned n)
{
	fund_lock();
	for (unsigned i = 0; i < n; i++)
		buddy_free(MFN(frames[i]), 0, true);
	fund_got_back(s, n);
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

bool fund_unhold(struct space *s, uint64_t pages)
{
	uint64_t before;
	bool ok;

	fund_lock();
	before = fund_debt;
	fund_drop_held(s, pages);
	ok = fund_debt == before || buddy_free_pages() >= fund_debt + fund_loans;
	if (!ok)
		fund_add_held(s, pages);
	fund_unlock();
	return ok;
}

void fund_hold(struct space *s, uint64_t pages)
{
	fund_lock();
	fund_add_held(s, pages);
	fund_unlock();
}

/* ---- the store of compressed pages ---- */

uint64_t fund_above_min(struct space *s)
{
	uint64_t above;

	fund_lock();
	above = s->held - min_u64(s->held, s->min_pages);
	fund_unlock();
	return above;
}

bool fund_store(struct space *s, const mfn_t *frames, unsigned n)
{
	bool ok;

	fund_lock();
	ok = s->held >= s->min_pages + n && charge_add(FRAME_STORE, s->domid, n);
	if (ok)
		fund_drop_held(s, n); /* no debt: see above */
	for (unsigned i = 0; ok && i < n; i++) {
		struct frame *f = frame_at(frames[i]);

		ASSERT(frame_kind(f) == FRAME_PRIVATE && !frame_flag(f, FRAME_INDEXED));
		frame_set_bits(f, FRAME_STORE, 0);
		f->link = 0;
	}
	fund_unlock();
	if (ok)
		frame_count(FRAME_PRIVATE, FRAME_STORE, n);
	return ok;
}

/* ---- the guarantee ---- */

/* The promises to s change, lock held. A new one leaves the reserve alone; what was promised before
 * may not. */
static enum mm_status fund_promise(struct space *s, uint64_t min_pages, uint64_t loan_pages)
{
	uint64_t before = s->min_pages, owed = fund_debt - fund_short_of(s);
	uint64_t loans = fund_loans - s->loan + loan_pages;

	s->min_pages = min_pages;
	owed += fund_short_of(s);
	if ((min_pages > before || loan_pages > s->loan) &&
	    owed + loans + fund_reserve > buddy_free_pages()) {
		s->min_pages = before;
		return MM_NOMEM;
	}
	fund_debt = owed;
	fund_loans = loans;
	s->loan = loan_pages;
	return MM_OK;
}

enum mm_status fund_set_min(struct space *s, uint64_t min_pages)
{
	enum mm_status st;

	fund_lock();
	st = fund_promise(s, min_pages, s->loan);
	fund_unlock();
	return st;
}

enum mm_status fund_open(struct space *s, uint64_t min_pages, uint64_t loan_pages)
{
	enum mm_status st;

	fund_lock();
	st = fund_promise(s, min_pages, loan_pages);
	fund_unlock();
	return st;
}

void fund_close(struct space *s)
{
	fund_lock();
	s->borrows = false;
	fund_pay_back(s, s->borrowed);
	ASSERT(fund_promise(s, 0, 0) == MM_OK);
	s->grants = 0;
	fund_drop_credits(s, s->credits);
	fund_unlock();
}

struct fund_view fund_look(void)
{
	struct fund_view v;

	fund_lock();
	v.free = buddy_free_pages();
	v.debt = fund_debt;
	v.reserve_level = fund_reserve;
	v.loans = fund_loans;
	v.reserve = min_u64(v.free - min_u64(v.free, v.debt + v.loans), fund_reserve);
	fund_unlock();
	return v;
}

/* ---- credits: a frame for who is woken ---- */

bool fund_grant(struct space *s, bool from_reserve)
{
	bool within, ok;

	if (env_refuse_alloc())
		return false;
	fund_lock();
	within = s->held + s->grants < s->min_pages; /* each of them has a frame in the debt */
	ok = within ||
	     buddy_free_pages() > fund_debt + fund_loans + (from_reserve ? 0 : fund_reserve);
	if (!ok && fund_to_borrow(s)) {
		fund_borrow(s, 1);
		ok = true;
	}
	if (ok && !within) {
		s->credits++;
		fund_debt++;
	}
	if (ok)
		s->grants++;
	fund_unlock();
	return ok;
}

bool fund_grants_left(const struct space *s)
{
	bool left;

	fund_lock();
	left = s->credits >= s->grants;
	fund_unlock();
	return left;
}

void fund_ungrant(struct space *s)
{
	fund_lock();
	if (s->grants)
		s->grants--;
	if (s->credits > s->grants) {
		uint64_t unused = s->credits - s->grants;

		fund_drop_credits(s, unused);
		fund_pay_back(s, unused);
	}
	fund_unlock();
}

/* ---- frames that belong to no page of a guest ---- */

/* keeps: the reserve is left alone. */
static mfn_t fund_alloc_if(unsigned order, enum frame_kind kind, domid_t owner, bool keeps)
{
	uint64_t pages = BIT(order);
	mfn_t mfn = MFN_NONE;

	env_point(POINT_ALLOC);
	if (env_refuse_alloc())
		return MFN_NONE;
	fund_lock();
	if (buddy_has(order) && /* memory may be in pieces */
	    buddy_free_pages() >= pages + fund_debt + (keeps ? fund_reserve : 0) + fund_loans &&
	    charge_add(kind, owner, pages)) {
		mfn = buddy_alloc(order);
		ASSERT(mfn_valid(mfn));
	}
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

mfn_t fund_alloc(unsigned order, enum frame_kind kind, domid_t owner)
{
	return fund_alloc_if(order, kind, owner, true);
}

void fund_release(mfn_t mfn, unsigned order)
{
	enum frame_kind kind = frame_kind(frame_of(mfn));
	domid_t owner = frame_owner(frame_at(mfn));

	bool scrub = kind == FRAME_SERVICE || kind == FRAME_STORE; /* what a guest wrote is there */

	ASSERT(scrub || kind == FRAME_HYPERVISOR || kind == FRAME_TABLE);
	for (uint64_t i = 0; i < BIT(order); i++)
		ASSERT(frame_kind(frame_at(MFN(mfn.n + i))) == kind);
	if (scrub)
		fund_scrub(mfn, BIT(order));
	fund_lock();
	charge_drop(kind, owner, BIT(order));
	buddy_free(mfn, order, scrub);
	fund_unlock();
	frame_count(kind, FRAME_FREE, BIT(order));
}

mfn_t frame_alloc(unsigned order, enum frame_kind kind, domid_t owner)
{
	unsigned turns = 0;
	mfn_t mfn;

	ASSERT(order < BUDDY_ORDERS && (kind == FRAME_HYPERVISOR || kind == FRAME_SERVICE));
	/* What it gives back itself goes to the reserve, if that is not full: it may have it from there. */
	do
		mfn = fund_alloc_if(order, kind, owner, turns == 0);
	while (!mfn_valid(mfn) && repay_for(&turns));
	return mfn;
}

void frame_free(mfn_t mfn, unsigned order)
{
	ASSERT(frame_kind(frame_of(mfn)) != FRAME_TABLE);
	fund_release(mfn, order);
}
