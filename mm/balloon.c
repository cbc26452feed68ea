/* SPDX-License-Identifier: MIT */
/*
 * The balloon: a guest gives pages back and takes them again.
 *
 * Out: each leaf becomes a soft "ballooned" entry; then one flush for the whole
 * batch; then the frames go. A private frame is scrubbed and freed, a shared one loses a
 * count, a compressed page its object: none of it allocates, so giving back can never fail for want of memory, which is just
 * when it is needed. The table under a large leaf comes from the space's pool.
 * A large frame goes as it is: who gets it, or a part of it, zeroes it. So 2 MiB are given
 * back in some thousand instructions.
 *
 * In: only where nothing is mapped, so no flush. The page comes back zeroed; a
 * frame that was scrubbed when it was given back need not be zeroed again.
 *
 * A batch holds the p2m lock for at most DEFERRED_MAX pages at a time.
 */
#include "mm/balloon.h"
#include "mm/compress.h"
#include "mm/flush.h"
#include "mm/fund_batch.h"
#include "mm/large.h"
#include "mm/p2m_table.h"
#include "mm/pin.h"
#include "mm/quiet.h"
#include "mm/repay.h"
#include "mm/trace.h"

void balloon_unmap(struct space *s, gfn_t gfn, uint64_t *e, uint64_t value, struct deferred *d)
{
	uint64_t old = p2m_entry_exchange(e, value);

	trace_event(TRACE_OUT, s, gfn, 1);
	switch (p2m_type_of(s, gfn, old, 1)) {
	case P2M_PRIVATE:
		s->stats.private_pages--;
		break;
	case P2M_SHARED:
		s->stats.shared_mappings--;
		atomic_fetch_sub_explicit(&mm.count.shared_mappings, 1, memory_order_relaxed);
		break;
	case P2M_ZERO:
		s->stats.zero_mappings--;
		break;
	case P2M_ONES:
		s->stats.ones_mappings--;
		break;
	case P2M_UNTOUCHED:
		s->stats.untouched--;
		if (!old)
			return;
		s->stats.untouched_mapped--;
		break;
	case P2M_COMPRESSED:
		compress_forget(s, gfn, old);
		return;
	default:
		env_panic("mm/balloon.c: guest frame %#llx is no RAM", (unsigned long long)gfn.n);
	}
	deferred_add(d, mm.format->frame(old, 1));
}

/* ---- out ---- */

/* The level-1 entry of a page that may go: RAM of any type, not pinned. Else NULL. */
static uint64_t *balloon_can_go(struct space *s, struct p2m_cursor *c, gfn_t gfn)
{
	uint64_t *e, v;

	if (gfn.n >= GFN_LIMIT)
		return NULL;
	e = p2m_at(s, c, gfn);
	if (!e) {
		enum p2m_type type = p2m_lookup_locked(s, gfn).type;

		if (type != P2M_PRIVATE && type != P2M_UNTOUCHED && type != P2M_SHARED)
			return NULL;
		if (pin_in_range(s, gfn, 1))
			return NULL;
		return p2m_make(s, gfn); /* splits a large leaf */
	}
	v = p2m_entry_get(e);
	switch (pte_kind(v, 1)) {
	case PTE_LEAF:
		if (mm.format->sw(v) & PTE_SW_FOREIGN)
			return NULL;
		return frame_flag(frame_at(mm.format->frame(v, 1)), FRAME_PINNED) ? NULL : e;
	case PTE_EMPTY:
		return p2m_is_ram(s, gfn) ? e : NULL;
	default: /* soft: there is no table at level 1 */
		return compress_is(v) ? e : NULL;
	}
}

/*
 * The common case in few steps: a private page that nothing pins goes. False: look closer.
 * (An entry that is empty or soft leads to frame 0, which is never private.)
 */
static inline bool balloon_out_private(uint64_t *e, uint64_t hole, struct deferred *d)
{
	uint64_t v = e ? p2m_entry_get(e) : 0;
	unsigned bits;
	mfn_t mfn;

	if (!v || mm.format->sw(v))
		return false;
	mfn = mm.format->frame(v, 1);
	bits = atomic_load_explicit(&frame_at(mfn)->bits, memory_order_relaxed);
	if ((bits & (15u | FRAME_PINNED)) != FRAME_PRIVATE)
		return false;
	p2m_entry_exchange(e, hole);
	deferred_add(d, mfn);
	d->space->stats.private_pages--;
	return true;
}

static bool balloon_out_one(struct space *s, struct p2m_cursor *c, gfn_t gfn, uint64_t hole,
                            struct deferred *d)
{
	uint64_t *e = gfn.n < GFN_LIMIT ? p2m_at(s, c, gfn) : NULL;

	if (balloon_out_private(e, hole, d)) {
		trace_event(TRACE_OUT, s, gfn, 1);
		return true;
	}
	e = balloon_can_go(s, c, gfn);
	if (e)
		balloon_unmap(s, gfn, e, hole, d);
	return e;
}

/* Up to DEFERRED_MAX pages, p2m lock held; d is the caller's to seal. Returns how many went. */
static uint64_t balloon_out_locked(struct space *s, const gfn_t *gfns, uint64_t n,
                                   struct deferred *d)
{
	uint64_t hole = mm.format->soft(P2M_SOFT_BALLOONED), done = 0;
	struct p2m_cursor c = {0};

	while (done < n && !s->dying && balloon_out_one(s, &c, gfns[done], hole, d))
		done++;
	s->stats.ballooned += done;
	s->memory_pages -= done;
	return done;
}

static uint64_t balloon_out_batch(struct space *s, const gfn_t *gfns, uint64_t n)
{
	uint64_t done, generation;
	struct deferred d;

	deferred_init(&d, s);
	p2m_lock(s);
	done = balloon_out_locked(s, gfns, n, &d);
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
	return done;
}

/* Every entry of a table says that its page is ballooned. */
static void balloon_fill_holes(uint64_t *e)
{
	uint64_t hole = mm.format->soft(P2M_SOFT_BALLOONED);

	for (unsigned i = 0; i < LARGE_PAGES; i += 4)
		e[i] = e[i + 1] = e[i + 2] = e[i + 3] = hole;
}

/* A whole large leaf goes: a table full of holes takes its place. */
static void balloon_out_leaf(struct space *s, gfn_t first, uint64_t *e, struct deferred *d)
{
	mfn_t table = p2m_table_take(s, p2m_table_promised(s, first, 1));
	uint64_t old;

	ASSERT(mfn_valid(table)); /* set aside while the large leaf is there */
	balloon_fill_holes(env_frame(table));
	old = p2m_entry_exchange(e, mm.format->table(table));
	deferred_add_large(d, mm.format->frame(old, 2));
	trace_event(TRACE_OUT, s, first, LARGE_PAGES);
	s->stats.large_leaves--;
	s->stats.private_pages -= LARGE_PAGES;
}

/*
 * The large leaf that begins at gfn and may go as it is, or NULL. Large leaves are RAM, all of them;
 * one that is shared goes page by page, each of which loses a count.
 */
static uint64_t *balloon_leaf_can_go(struct space *s, gfn_t first)
{
	struct p2m_slot p;

	if (s->dying || first.n >= GFN_LIMIT || first.n % LARGE_PAGES)
		return NULL;
	p = p2m_find(s, first);
	if (!p.entry || p.level != 2 || pin_in_range(s, first, LARGE_PAGES))
		return NULL;
	return mm.format->sw(p2m_entry_get(p.entry)) & PTE_SW_SHARED ? NULL : p.entry;
}

/* Extents that are large leaves, with one flush; stops at the first that is not. */
static uint64_t balloon_out_leaves(struct space *s, const gfn_t *gfns, uint64_t n)
{
	uint64_t done = 0, generation, *e;
	struct deferred d;

	deferred_init(&d, s);
	p2m_lock(s);
	while (done < n && !deferred_full(&d) && (e = balloon_leaf_can_go(s, gfns[done])))
		balloon_out_leaf(s, gfns[done++], e, &d);
	s->stats.ballooned += done * LARGE_PAGES;
	s->memory_pages -= done * LARGE_PAGES;
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
	return done;
}

static bool balloon_small_can_go(struct space *s, gfn_t first)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		enum p2m_type t = p2m_lookup_locked(s, GFN(first.n + i)).type;

		if (t == P2M_NONE || t == P2M_BALLOONED || t == P2M_FOREIGN)
			return false;
	}
	return !pin_in_range(s, first, LARGE_PAGES);
}

/* An extent of 512 small pages, all or none. */
static bool balloon_out_small(struct space *s, gfn_t first)
{
	struct p2m_cursor c = {0};
	struct deferred d;
	uint64_t generation;
	bool ok;

	deferred_init(&d, s);
	p2m_lock(s);
	ok = !s->dying && first.n < GFN_LIMIT && first.n % LARGE_PAGES == 0 &&
	     balloon_small_can_go(s, first);
	for (unsigned i = 0; ok && i < LARGE_PAGES; i++) {
		gfn_t gfn = GFN(first.n + i);

		balloon_unmap(s, gfn, balloon_can_go(s, &c, gfn),
		              mm.format->soft(P2M_SOFT_BALLOONED), &d);
	}
	s->stats.ballooned += ok ? LARGE_PAGES : 0;
	s->memory_pages -= ok ? LARGE_PAGES : 0;
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
	return ok;
}

/* Large leaves, many at a time; an extent of small pages, each of which is scrubbed, ends the turn. */
static uint64_t balloon_out_large(struct space *s, const gfn_t *gfns, uint64_t n, bool *again)
{
	uint64_t done = 0, went;

	do {
		went = balloon_out_leaves(s, gfns + done, n - done);
		done += went;
	} while (went && done < n);
	if (done < n && balloon_out_small(s, gfns[done]))
		*again = ++done < n;
	return done;
}

uint64_t balloon_out_part(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order,
                          bool *again)
{
	uint64_t done = 0, went = 0;

	*again = false;
	if (order == LARGE_ORDER)
		return balloon_out_large(s, gfns, n, again);
	while (order == 0 && done < n) {
		uint64_t batch = min_u64(n - done, DEFERRED_MAX);

		went = balloon_out_batch(s, gfns + done, batch);
		done += went;
		if (went < batch)
			break;
	}
	return done;
}

/* ---- in ---- */

#define BALLOON_CHUNK 64u /* frames taken at a time */

/* The entry where a page may come back: a hole, or nothing at all outside of promised RAM. */
static uint64_t *balloon_hole(struct space *s, struct p2m_cursor *c, gfn_t gfn)
{
	uint64_t *e;

	if (gfn.n >= GFN_LIMIT)
		return NULL;
	e = p2m_at(s, c, gfn);
	if (e && p2m_entry_get(e) == mm.format->soft(P2M_SOFT_BALLOONED))
		return e;
	if ((e && p2m_entry_get(e)) || p2m_is_ram(s, gfn))
		return NULL;
	if (!e && p2m_find(s, gfn).entry)
		return NULL; /* a large leaf */
	return p2m_make(s, gfn);
}

static bool balloon_in_one(struct space *s, struct p2m_cursor *c, gfn_t gfn, struct fund_frame f)
{
	uint64_t *e = balloon_hole(s, c, gfn);

	if (!e)
		return false;
	if (!f.clean)
		env_page_zero(env_frame(f.mfn));
	s->stats.ballooned -= p2m_entry_get(e) != 0;
	p2m_entry_set(e, mm.format->leaf(f.mfn, 1, PTE_R | PTE_W | PTE_X, 0));
	quiet_doubt(s, gfn);
	return true;
}

/*
 * Up to BALLOON_CHUNK pages; the frames of those that may not come back go again. *refused is set if
 * fewer frames were to be had than s has room for.
 */
static uint64_t balloon_in_chunk(struct space *s, struct p2m_cursor *c, const gfn_t *gfns,
                                 uint64_t n, bool *refused)
{
	struct fund_frame frames[BALLOON_CHUNK];
	uint64_t room = s->max_pages - min_u64(s->memory_pages, s->max_pages), done = 0;
	unsigned want = (unsigned)min_u64(n, room), got = fund_take_batch(s, gfns, frames, want);

	while (done < got && balloon_in_one(s, c, gfns[done], frames[done]))
		done++;
	for (uint64_t i = done; i < got; i++)
		fund_give(s, frames[i].mfn, 0);
	s->stats.private_pages += done;
	s->stats.populates += done;
	s->memory_pages += done;
	*refused |= done == got && got < want; /* else more frames would not help */
	return done;
}

static uint64_t balloon_in_locked(struct space *s, const gfn_t *gfns, uint64_t n, bool *refused)
{
	struct p2m_cursor c = {0};
	uint64_t done = 0, came, chunk;

	do {
		chunk = s->dying ? 0 : min_u64(n - done, BALLOON_CHUNK);
		came = balloon_in_chunk(s, &c, gfns + done, chunk, refused);
		done += came;
	} while (chunk && came == chunk && done < n);
	return done;
}

static uint64_t balloon_in_batch(struct space *s, const gfn_t *gfns, uint64_t n, bool *refused)
{
	uint64_t done;

	p2m_lock(s);
	done = balloon_in_locked(s, gfns, n, refused);
	p2m_unlock(s);
	return done;
}

/*
 * 512 pages one by one, all or none. Those that came are taken back under the same lock, so nobody else
 * can have pinned or given up one of them; a vCPU may have touched it, so it goes as any page does.
 */
static bool balloon_in_small(struct space *s, gfn_t first, bool *refused)
{
	gfn_t gfns[LARGE_PAGES];
	struct deferred d;
	uint64_t done, generation;
	bool all;

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		gfns[i] = GFN(first.n + i);
	deferred_init(&d, s);
	p2m_lock(s);
	done = balloon_in_locked(s, gfns, LARGE_PAGES, refused);
	all = done == LARGE_PAGES;
	if (!all) {
		done -= balloon_out_locked(s, gfns, done, &d);
		ASSERT(done == 0);
	}
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
	return all;
}

/* Whether all 512 pages are holes in promised RAM. */
static bool balloon_all_holes(struct space *s, gfn_t first)
{
	uint64_t hole = mm.format->soft(P2M_SOFT_BALLOONED);
	struct p2m_slot p = p2m_find(s, first);
	unsigned i = 0;

	if (!p.entry || p.level != 1)
		return false;
	while (i < LARGE_PAGES && p2m_entry_get(&p.entry[i]) == hole)
		i++;
	return i == LARGE_PAGES;
}

static bool balloon_in_leaf(struct space *s, gfn_t first, bool *refused)
{
	bool ok = first.n % LARGE_PAGES == 0 && first.n < GFN_LIMIT, promised;

	p2m_lock(s);
	ok = ok && !s->dying && s->memory_pages + LARGE_PAGES <= s->max_pages;
	promised = ok && p2m_table_promised(s, first, 1) && balloon_all_holes(s, first);
	promised = promised && large_populate(s, first) == MM_OK;
	if (promised) {
		s->stats.ballooned -= LARGE_PAGES;
		s->memory_pages += LARGE_PAGES;
	}
	p2m_unlock(s);
	return promised || (ok && balloon_in_small(s, first, refused));
}

static uint64_t balloon_in_large(struct space *s, const gfn_t *gfns, uint64_t n, bool *refused)
{
	uint64_t done = 0;

	while (done < n && balloon_in_leaf(s, gfns[done], refused))
		done++;
	return done;
}

uint64_t balloon_in_part(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order,
                         bool *again)
{
	uint64_t done = 0, batch = 0, came = 0;
	bool refused = false;

	if (order == LARGE_ORDER)
		done = balloon_in_large(s, gfns, n, &refused);
	while (order == 0 && done < n && came == batch) {
		batch = min_u64(n - done, DEFERRED_MAX);
		came = balloon_in_batch(s, gfns + done, batch, &refused);
		done += came;
	}
	*again = refused && repay_some();
	return done;
}
