/* SPDX-License-Identifier: MIT */
/*
 * The index: fingerprint -> frames that hold such a content.
 *
 *	bucket heads (uint32)          frame table
 *	+---+
 *	| 7 | ---> frame 7 {fp a} --link--> frame 31 {fp b} --link--> 0
 *	| 0 |
 *	| 9 | ---> frame 9 {fp c} --link--> 0
 *	+---+
 *
 * The heads take 4 bytes a frame and the links live in the frame records, so
 * the whole costs 20 bytes a frame and inserting, sharing and releasing never
 * allocate. A frame is in at most one chain. New entries go to the head: what
 * was seen last is likeliest to be seen again, and the last of a kind in a
 * chain is the oldest.
 *
 * Measured (make bench-hash, docs/hash-and-index.md): chains against open addressing in
 * buckets of four at load 1/2. A miss, the common case while memory fills, costs the
 * same (0.20 and 0.19 of a cold read of a page at best), a hit 0.50 against 0.36; but a
 * hit is followed by a compare of two pages, and open addressing takes 16 bytes a
 * frame beside the record where chains take 4.
 *
 * Exclusion: an array of locks, hashed by bucket. A lock guards the chain, the
 * link, the fingerprint and FRAME_INDEXED of the frames in it, and the count of
 * shared ones. An indexed private frame leaves its chain before it is freed, so
 * its owner's space is alive while it is in it (index_group).
 *
 * Why no guest can grow a chain: fingerprints are keyed (mm/hash.c), so that a
 * guest cannot aim at a bucket, and of one fingerprint and group there are at
 * most INDEX_SAME_MAX entries. Different contents of one fingerprint stand side
 * by side as entries of their own; who merges compares.
 */
#include "mm/index.h"
#include "mm/core.h"
#include "mm/leaf/assert.h"

#define INDEX_LOCKS 256u

static uint32_t *index_heads;
static uint64_t index_mask;
static struct spinlock index_locks[INDEX_LOCKS];
static _Atomic uint64_t index_shared, index_hints;
static _Atomic uint64_t index_inserted, index_dropped, index_stale_dropped;

/* A chain whose lock is held. */
struct index_chain {
	uint32_t *head;
	struct spinlock *lock;
};

void index_init(uint32_t *buckets, uint64_t nr_buckets)
{
	ASSERT(is_power_of_2(nr_buckets));
	index_heads = buckets;
	index_mask = nr_buckets - 1;
	atomic_store(&index_shared, 0);
	atomic_store(&index_hints, 0);
	atomic_store(&index_inserted, 0);
	atomic_store(&index_dropped, 0);
	atomic_store(&index_stale_dropped, 0);
}

/*
 * Fingerprints are linear in the words of a page (mm/hash.c): those of pages that count up are equal
 * steps apart, and might step round in few buckets. So the bits are scattered first, by a map of
 * 32 bits onto themselves (each step can be undone): no two fingerprints become one.
 */
static uint64_t index_bucket(uint32_t fingerprint)
{
	const uint32_t odd = UINT32_C(0x9e3779b1);
	uint32_t x = fingerprint;

	x = (x ^ x >> 16) * odd;
	x = (x ^ x >> 15) * odd; /* once leaves steps of 2^13 in half of the buckets */
	return (x ^ x >> 16) & index_mask;
}

static struct index_chain index_lock(uint32_t fingerprint)
{
	uint64_t bucket = index_bucket(fingerprint);
	struct index_chain c = {&index_heads[bucket], &index_locks[bucket % INDEX_LOCKS]};

	lock_take(c.lock, LOCK_BUCKET);
	return c;
}

static void index_unlock(struct index_chain c)
{
	lock_drop(c.lock, LOCK_BUCKET);
}

/* Written under a chain's lock, read without it by index_get. */
static uint32_t index_fingerprint(const struct frame *f)
{
	return __atomic_load_n(&f->fingerprint, __ATOMIC_ACQUIRE);
}

/* The share group that an entry belongs to; the chain's lock is held. */
static uint16_t index_group(const struct frame *f)
{
	struct space *s;

	if (frame_kind(f) == FRAME_SHARED)
		return frame_owner(f);
	s = space_find(frame_owner(f));
	ASSERT(s);
	return s->share_group;
}

static void index_set_kind(struct frame *f, enum frame_kind kind)
{
	uint16_t bits = atomic_load_explicit(&f->bits, memory_order_relaxed);
	uint16_t next;

	do {
		next = (uint16_t)((bits & ~15u) | kind);
	} while (!atomic_compare_exchange_weak(&f->bits, &bits, next));
}

static void index_count(struct frame *f, int64_t by)
{
	_Atomic uint64_t *n = frame_kind(f) == FRAME_SHARED ? &index_shared : &index_hints;

	atomic_fetch_add_explicit(n, (uint64_t)by, memory_order_relaxed);
}

/* ---- chains; the lock is held ---- */

/* Read without the lock by index_ask_next. */
static inline void index_point(uint32_t *link, uint32_t mfn)
{
	__atomic_store_n(link, mfn, __ATOMIC_RELAXED);
}

static void index_link(struct index_chain c, mfn_t mfn, uint32_t fingerprint)
{
	struct frame *f = frame_at(mfn);

	ASSERT(!frame_flag(f, FRAME_INDEXED));
	__atomic_store_n(&f->fingerprint, fingerprint, __ATOMIC_RELEASE);
	index_point(&f->link, *c.head);
	index_point(c.head, (uint32_t)mfn.n);
	frame_set_flag(f, FRAME_INDEXED);
	index_count(f, 1);
}

static void index_unlink(struct index_chain c, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	uint32_t *link = c.head;

	while (*link != mfn.n) {
		ASSERT(*link); /* FRAME_INDEXED says that it is in this chain */
		link = &frame_at(MFN(*link))->link;
	}
	index_point(link, f->link);
	index_point(&f->link, 0);
	frame_clear_flag(f, FRAME_INDEXED);
	index_count(f, -1);
}

/* ---- looking ---- */

static bool index_matches(const struct frame *f, uint32_t fingerprint, uint16_t group)
{
	return index_fingerprint(f) == fingerprint && index_group(f) == group;
}

static struct index_match index_describe(uint32_t mfn, const struct frame *f)
{
	return (struct index_match){
	    .mfn = MFN(mfn),
	    .owner = frame_owner(f),
	    .gfn = frame_slot(f),
	    .shared = frame_kind(f) == FRAME_SHARED,
	    .large = frame_flag(f, FRAME_LARGE),
	};
}

static struct index_found index_search(uint32_t fingerprint, uint16_t group, bool only_shared)
{
	struct index_found found;
	struct index_chain c = index_lock(fingerprint);

	found.n = 0;
	for (uint32_t m = *c.head; m; m = frame_at(MFN(m))->link) {
		const struct frame *f = frame_at(MFN(m));
		bool shared = frame_kind(f) == FRAME_SHARED;

		if (!shared && (only_shared || (frame_flag(f, FRAME_STALE) && !mm.blind)))
			continue;
		if (!index_matches(f, fingerprint, group))
			continue;
		ASSERT(found.n < INDEX_SAME_MAX);
		found.match[found.n++] = index_describe(m, f);
	}
	index_unlock(c);
	return found;
}

struct index_found index_lookup(uint32_t fingerprint, uint16_t group)
{
	return index_search(fingerprint, group, false);
}

struct index_found index_lookup_shared(uint32_t fingerprint, uint16_t group)
{
	return index_search(fingerprint, group, true);
}

index_ask_t index_ask(uint32_t fingerprint)
{
	index_ask_t at = &index_heads[index_bucket(fingerprint)];

	__builtin_prefetch(at);
	return at;
}

/*
 * Who comes next is seen without the lock: it may have left the chain and be free by now,
 * so its link may be the allocator's. Whatever is read is a frame number, and is only
 * asked for. ThreadSanitizer is told, as C has no words for it. (Frame 0, the end mark, has a
 * record too.)
 */
__attribute__((no_sanitize("thread"))) index_ask_t index_ask_next(index_ask_t at)
{
	at = &frame_at(MFN(__atomic_load_n(at, __ATOMIC_RELAXED)))->link;
	__builtin_prefetch(at);
	return at;
}

/* ---- references ---- */

bool index_get(mfn_t mfn, uint32_t fingerprint, uint16_t group)
{
	struct frame *f = frame_at(mfn);
	struct index_chain c = index_lock(fingerprint);
	bool ok;

	/*
	 * In this order: a frame becomes shared, gets its fingerprint and is marked
	 * as indexed under the lock of that fingerprint's chain. Were it in another
	 * chain by now, its fingerprint would differ; were it in none, it would not
	 * be a shared frame. So all three hold only where our lock holds them.
	 */
	ok = frame_flag(f, FRAME_INDEXED) && index_fingerprint(f) == fingerprint &&
	     frame_kind(f) == FRAME_SHARED && frame_owner(f) == group &&
	     atomic_load(&f->slot) != UINT32_MAX;
	if (ok)
		atomic_fetch_add(&f->slot, 1);
	index_unlock(c);
	return ok;
}

bool index_put(mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	struct index_chain c = index_lock(index_fingerprint(f)); /* fixed: we hold a reference */
	bool last;

	ASSERT(frame_kind(f) == FRAME_SHARED);
	ASSERT(atomic_load(&f->slot) > 0);
	last = atomic_fetch_sub(&f->slot, 1) == 1;
	if (last)
		index_unlink(c, mfn);
	index_unlock(c);
	return last;
}

bool index_take_over(mfn_t mfn, domid_t owner, gfn_t gfn)
{
	struct frame *f = frame_at(mfn);
	struct index_chain c;
	bool alone;

	ASSERT(frame_kind(f) == FRAME_SHARED);
	ASSERT(gfn.n < GFN_LIMIT);
	/* A no needs no lock. Two who both see two of them both copy, and who puts last frees the frame. */
	if (atomic_load_explicit(&f->slot, memory_order_relaxed) > 1)
		return false;
	c = index_lock(index_fingerprint(f));
	alone = atomic_load(&f->slot) == 1;
	if (alone) {
		index_unlink(c, mfn);
		atomic_store(&f->slot, (uint32_t)gfn.n);
		atomic_store(&f->owner, owner);
		index_set_kind(f, FRAME_PRIVATE);
	}
	index_unlock(c);
	return alone;
}

/* ---- entries ---- */

/* Make room for one more of this fingerprint and group; false if all are shared. */
static bool index_make_room(struct index_chain c, uint32_t fingerprint, uint16_t group)
{
	uint32_t oldest_hint = 0;
	unsigned n = 0;

	for (uint32_t m = *c.head; m; m = frame_at(MFN(m))->link) {
		const struct frame *f = frame_at(MFN(m));

		if (!index_matches(f, fingerprint, group))
			continue;
		n++;
		if (frame_kind(f) == FRAME_PRIVATE)
			oldest_hint = m;
	}
	ASSERT(n <= INDEX_SAME_MAX);
	if (n < INDEX_SAME_MAX)
		return true;
	counter_add(&index_dropped, 1);
	if (!oldest_hint)
		return false;
	index_unlink(c, MFN(oldest_hint));
	return true;
}

bool index_insert_hint(mfn_t mfn, uint32_t fingerprint, uint16_t group)
{
	struct index_chain c;
	bool room;

	ASSERT(mfn_valid(mfn));
	ASSERT(frame_kind(frame_at(mfn)) == FRAME_PRIVATE);
	index_remove(mfn);
	c = index_lock(fingerprint);
	room = index_make_room(c, fingerprint, group);
	if (room) {
		index_link(c, mfn, fingerprint);
		counter_add(&index_inserted, 1);
	}
	index_unlock(c);
	return room;
}

void index_insert_shared(mfn_t mfn, uint32_t fingerprint, uint16_t group, uint32_t references)
{
	struct frame *f = frame_at(mfn);
	struct index_chain c;
	bool room;

	ASSERT(mfn_valid(mfn));
	ASSERT(frame_kind(f) == FRAME_PRIVATE);
	ASSERT(references > 0);
	index_remove(mfn);
	c = index_lock(fingerprint);
	room = index_make_room(c, fingerprint, group);
	ASSERT(room);
	atomic_store(&f->slot, references);
	atomic_store(&f->owner, group);
	index_set_kind(f, FRAME_SHARED);
	index_link(c, mfn, fingerprint);
	index_unlock(c);
}

/*
 * Only the owner puts a frame in, and it holds its p2m lock here: so a flag that
 * is clear stays clear, and the chain's lock need not be taken to see it.
 */
void index_remove(mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	struct index_chain c;

	if (!frame_flag(f, FRAME_INDEXED))
		return;
	c = index_lock(index_fingerprint(f));
	if (frame_flag(f, FRAME_INDEXED)) {
		ASSERT(frame_kind(f) == FRAME_PRIVATE); /* a shared one goes by index_put */
		index_unlink(c, mfn);
	}
	index_unlock(c);
}

bool index_drop_stale(mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	if (frame_kind(f) != FRAME_PRIVATE || !frame_flag(f, FRAME_INDEXED) ||
	    !frame_flag(f, FRAME_STALE))
		return false;
	index_remove(mfn);
	counter_add(&index_stale_dropped, 1);
	return true;
}

/* ---- counters ---- */

struct index_stats index_stats(void)
{
	return (struct index_stats){
	    .shared = counter_read(&index_shared),
	    .hints = counter_read(&index_hints),
	    .hints_inserted = counter_read(&index_inserted),
	    .hints_dropped = counter_read(&index_dropped),
	    .stale_dropped = counter_read(&index_stale_dropped),
	};
}

void index_each(void (*f)(mfn_t mfn, void *arg), void *arg)
{
	for (uint64_t b = 0; b <= index_mask; b++)
		for (uint32_t m = index_heads[b]; m; m = frame_at(MFN(m))->link)
			f(MFN(m), arg);
}
