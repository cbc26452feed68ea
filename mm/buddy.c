/* SPDX-License-Identifier: MIT */
/*
 * Free frames, in blocks of 2^0 .. 2^9, each aligned to its size.
 *
 *	head[9] -> block -> block ...	link = next, slot = previous, 0 = end
 *	head[8] -> ...
 *
 * A block is known by its head's record: kind FREE and its order. The records of its
 * other frames say FREE and the order TAIL, so that nothing is ever
 * joined to the middle of a block. Two blocks are buddies if their numbers
 * differ in the one bit of their order. FRAME_CLEAN belongs to each frame by
 * itself and survives joining and splitting.
 *
 * Frames of holes and of RAM that is not ours have zeroed records: FRAME_RESERVED. They are
 * never free, so looking at a buddy's record is enough to not cross a border. A buddy lies in the
 * same 2 MiB, and of these all have records if one frame is RAM (mm_config).
 */
#include "mm/buddy.h"
#include "mm/core.h"

#define TAIL 15u /* order of a free frame that is not the head of its block */

static struct {
	uint32_t head[BUDDY_ORDERS];
	uint64_t pages;
} buddy;

static uint16_t bits_of(const struct frame *f)
{
	return atomic_load_explicit(&f->bits, memory_order_relaxed);
}

static void set_free(struct frame *f, unsigned order, unsigned clean)
{
	frame_set_bits(f, FRAME_FREE, clean | order << FRAME_ORDER_SHIFT);
}

/* Four tails at once, all of one kind before: a large frame has 512, and this is most of its cost.
 */
static inline void set_free_four(struct frame *f, enum frame_kind kind, unsigned clean)
{
	unsigned differ = (bits_of(&f[0]) ^ kind) | (bits_of(&f[1]) ^ kind) |
	                  (bits_of(&f[2]) ^ kind) | (bits_of(&f[3]) ^ kind);

	ASSERT(!(differ & 15u));
	set_free(&f[0], TAIL, clean);
	set_free(&f[1], TAIL, clean);
	set_free(&f[2], TAIL, clean);
	set_free(&f[3], TAIL, clean);
}

static void list_insert(uint64_t n, unsigned order)
{
	struct frame *f = &mm.frames[n];
	uint32_t next = buddy.head[order];

	set_free(f, order, bits_of(f) & FRAME_CLEAN);
	f->link = next;
	atomic_store_explicit(&f->slot, 0, memory_order_relaxed);
	if (next)
		atomic_store_explicit(&mm.frames[next].slot, (uint32_t)n, memory_order_relaxed);
	buddy.head[order] = (uint32_t)n;
}

static void list_remove(uint64_t n, unsigned order)
{
	struct frame *f = &mm.frames[n];
	uint32_t prev = frame_slot(f), next = f->link;

	if (prev)
		mm.frames[prev].link = next;
	else
		buddy.head[order] = next;
	if (next)
		atomic_store_explicit(&mm.frames[next].slot, prev, memory_order_relaxed);
}

void buddy_init(void)
{
	for (unsigned order = 0; order < BUDDY_ORDERS; order++)
		buddy.head[order] = 0;
	buddy.pages = 0;
}

uint64_t buddy_free_pages(void)
{
	return buddy.pages;
}

/* Put a block whose records are already FREE into a list, joined with its buddies. */
static void buddy_join(uint64_t n, unsigned order)
{
	while (order < LARGE_ORDER) {
		uint64_t other = n ^ (UINT64_C(1) << order);
		uint16_t is_head = (uint16_t)(FRAME_FREE | order << FRAME_ORDER_SHIFT);
		struct frame *upper;

		if (other >= mm.nr_frames ||
		    (bits_of(&mm.frames[other]) & (15u | FRAME_ORDER_MASK)) != is_head)
			break;
		list_remove(other, order);
		upper = &mm.frames[n | other];
		set_free(upper, TAIL, bits_of(upper) & FRAME_CLEAN);
		n &= other;
		order++;
	}
	list_insert(n, order);
}

void buddy_free(mfn_t mfn, unsigned order, bool clean)
{
	unsigned flag = clean ? FRAME_CLEAN : 0;
	struct frame *f = &mm.frames[mfn.n];
	enum frame_kind kind = frame_kind(f);

	ASSERT(order < BUDDY_ORDERS && mfn.n && !(mfn.n & (BIT(order) - 1)));
	ASSERT(kind != FRAME_FREE);
	if (order < 2)
		for (uint64_t i = 0; i < BIT(order); i++)
			set_free(&f[i], TAIL, flag);
	else
		for (uint64_t i = 0; i < BIT(order); i += 4)
			set_free_four(&f[i], kind, flag);
	buddy.pages += BIT(order);
	buddy_join(mfn.n, order);
}

void buddy_add(mfn_t first, uint64_t pages)
{
	uint64_t n = first.n, end = first.n + pages;

	ASSERT(end <= mm.nr_frames);
	if (n == 0) /* frame 0 is the end mark of every chain */
		n = 1;
	while (n < end) {
		unsigned order = (unsigned)min_u64((uint64_t)__builtin_ctzll(n), LARGE_ORDER);

		while (n + BIT(order) > end)
			order--;
		buddy_free(MFN(n), order, false);
		n += BIT(order);
	}
}

/* The smallest block that a piece of this order can be cut from; BUDDY_ORDERS: there is none. */
static unsigned buddy_from(unsigned order)
{
	while (order < BUDDY_ORDERS && !buddy.head[order])
		order++;
	return order;
}

bool buddy_has(unsigned order)
{
	return buddy_from(order) < BUDDY_ORDERS;
}

mfn_t buddy_alloc(unsigned order)
{
	unsigned from = buddy_from(order);
	uint64_t n;

	if (from >= BUDDY_ORDERS)
		return MFN_NONE;
	n = buddy.head[from];
	list_remove(n, from);
	while (from > order) { /* keep the lower half, give back the upper */
		from--;
		list_insert(n + BIT(from), from);
	}
	buddy.pages -= BIT(order);
	return MFN(n);
}

/* Whether frame n is the head of a free block of this order and follows prev in its list. */
static bool list_link_ok(uint32_t n, uint32_t prev, unsigned order)
{
	const struct frame *f = &mm.frames[n];

	return n < mm.nr_frames && frame_kind(f) == FRAME_FREE && frame_slot(f) == prev &&
	       (bits_of(f) & FRAME_ORDER_MASK) >> FRAME_ORDER_SHIFT == order;
}

uint64_t buddy_walk(void)
{
	uint64_t pages = 0;

	for (unsigned order = 0; order < BUDDY_ORDERS; order++) {
		uint32_t prev = 0;

		for (uint32_t n = buddy.head[order]; n; n = mm.frames[n].link) {
			if (!list_link_ok(n, prev, order))
				return UINT64_MAX;
			pages += BIT(order);
			prev = n;
		}
	}
	return pages;
}
