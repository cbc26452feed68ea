/* SPDX-License-Identifier: MIT */
/*
 * The frame table, and the start of the memory core.
 *
 * A record's kind says who may touch its other fields:
 *
 *	free		buddy.c, under the free-list lock (slot = previous, link = next)
 *	private		the owner's p2m lock (slot = guest frame); link and
 *			fingerprint are index.c's while FRAME_INDEXED
 *	shared		the bucket lock of its fingerprint (slot = count)
 *	table		the owner's p2m lock (link = next of the pool; slot: store.c)
 *	store		the owner's p2m lock (store.c)
 *	others		who allocated it
 *
 *	       fund_take       index_insert_shared
 *	free ------------> private ------------> shared
 *	  ^ \  fund_give      |   index_take_over  |
 *	  |  <----------------+ <------------------+
 *	  |   fund_give_shared                     |
 *	  +----------------------------------------+
 *	  |  fund_release        fund_store
 *	  +------------- store <------------ private
 *
 * bits is atomic: flags of a private frame are set by who writes it (p2m
 * lock) while the index drops a hint of it (bucket lock).
 */
#include "mm/buddy.h"
#include "mm/charge.h"
#include "mm/compress.h"
#include "mm/core.h"
#include "mm/dirty.h"
#include "mm/fund.h"
#include "mm/hash.h"
#include "mm/index.h"
#include "mm/merge.h"
#include "mm/ranges.h"
#include "mm/repay.h"
#include "mm/scan.h"

struct mm_core mm;

struct frame *frame_of(mfn_t mfn)
{
	ASSERT(mfn_valid(mfn) && mfn.n < mm.nr_frames);
	return &mm.frames[mfn.n];
}

void frame_set_age(struct frame *f, unsigned age)
{
	uint16_t old = atomic_load_explicit(&f->bits, memory_order_relaxed), bits;

	ASSERT(age <= FRAME_AGE_MASK >> FRAME_AGE_SHIFT);
	do
		bits = (uint16_t)((old & ~FRAME_AGE_MASK) | age << FRAME_AGE_SHIFT);
	while (!atomic_compare_exchange_weak_explicit(&f->bits, &old, bits, memory_order_relaxed,
	                                              memory_order_relaxed));
}

/* A frame that is never given back: no owner, no count, no index entry. */
static mfn_t frame_make_constant(uint8_t byte)
{
	mfn_t mfn = buddy_alloc(0);

	ASSERT(mfn_valid(mfn)); /* a machine without two free frames runs nothing */
	frame_set_bits(frame_at(mfn), FRAME_CONSTANT, 0);
	atomic_store_explicit(&frame_at(mfn)->slot, 0, memory_order_relaxed);
	frame_at(mfn)->link = 0;
	frame_count(FRAME_FREE, FRAME_CONSTANT, 1);
	__builtin_memset(env_frame(mfn), byte, PAGE_SIZE);
	return mfn;
}

void mm_init(const struct mm_config *c)
{
	ASSERT(c->nr_cpus >= 1 && c->nr_cpus <= ENV_MAX_CPUS && c->nr_frames <= MFN_LIMIT);
	__builtin_memset(&mm, 0, sizeof(mm));
	lock_order_init();
	mm.frames = c->frames;
	mm.nr_frames = c->nr_frames;
	mm.nr_cpus = c->nr_cpus;
	if (c->format)
		mm_set_format(c->format, DIRTY_SOURCES);

	buddy_init();
	atomic_store_explicit(&mm.kinds[FRAME_RESERVED], c->nr_frames, memory_order_relaxed);
	ranges_init(c->free, c->nr_free);
	for (unsigned i = 0; i < c->nr_free; i++)
		buddy_add(c->free[i].first, c->free[i].pages);
	frame_count(FRAME_RESERVED, FRAME_FREE, buddy_free_pages());

	mm.zero = frame_make_constant(0x00);
	mm.ones = frame_make_constant(0xff);
	fund_init(c->reserve_pages);
	charge_init();
	repay_init();
	compress_init();
	hash_init();
	index_init(c->buckets, c->nr_buckets);
	merge_init();
	scan_init();
}

void mm_set_format(const struct pte_format *f, enum dirty_source source)
{
	for (unsigned i = 0; i < MM_MAX_SPACES; i++)
		ASSERT(!atomic_load_explicit(&mm.spaces[i], memory_order_relaxed));
	dirty_choose(f, source == DIRTY_SOURCES ? dirty_default(f) : source);
}

void mm_set_large_nx(bool on)
{
	mm.large_nx = on;
}
