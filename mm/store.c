/* SPDX-License-Identifier: MIT */
/*
 * The store of a domain's compressed pages.
 *
 *	leaves of 2 MiB        handles               slab of 5 objects
 *	+-----------+  slot   +-----------+  frame  +---------------------+
 *	|   ...     | ------> |   ...     | ------> | obj | obj |   | obj |..
 *	| compressed| of the  | frame,    | , slot  +---------------------+
 *	|   ...     | record  | slot,bytes|
 *	+-----------+         +-----------+
 *
 * Handles. The leaf of a compressed page cannot say where its object is: the address bits of an
 * entry that is not present stay zero (L1TF, mm/pte_format.h), and what is left is too little. So
 * a table of leaves gets a second page beside it with its first object: 512 handles of 8
 * bytes. The record of the table's frame names it (slot). It goes with its last handle.
 *
 * Slabs. An object lies in a frame with others of its size class: 2, 3, ... 32 of them, each with
 * 4096 / n bytes, rounded down to 16. Which are in use is one word in the frame's record (slot), so
 * there are no headers; slabs with room are in a list of their class, through link and
 * fingerprint. A slab without objects is free again.
 *
 * What is lost. Inside of a slot: the difference to the next class, at most a third of the
 * slot, on average some 12 % if sizes are spread evenly. At the end of a slab: less than 16 bytes a
 * slot. Between slabs: new objects fill the room that old ones have left, but slabs
 * are not emptied into each other; at worst each has one object.
 *
 * Everything belongs to one domain: slabs are not shared between them. So what a domain's cold pages
 * still cost is its own, exactly (charge.h); what it leaves behind is its own too; and a
 * domain that goes gives back whole frames.
 *
 * Where the frames come from is the caller's business: it knows how many are needed before it
 * changes anything.
 */
#include "mm/store.h"
#include "mm/fund_batch.h"
#include "mm/lz4.h"

#define STORE_HANDLES STORE_CLASSES /* the age of a frame that holds handles; else: its class */

static const uint8_t store_slots[STORE_CLASSES] = {2,  3,  4,  5,  6,  7,  8, 10,
                                                   12, 14, 16, 20, 24, 28, 32};

static unsigned store_slot_bytes(unsigned class)
{
	return PAGE_SIZE / store_slots[class] & ~15u;
}

static unsigned store_class(unsigned bytes)
{
	unsigned class = STORE_CLASSES - 1;

	ASSERT(bytes >= 1 && bytes <= STORE_MOST);
	while (store_slot_bytes(class) < bytes)
		class --;
	return class;
}

/* All slots of a slab of this class. */
static uint32_t store_all(unsigned class)
{
	return (uint32_t)BITS(store_slots[class] - 1u, 0);
}

/* ---- handles: frame in bits 63..32, slot in 31..16, bytes in 15..0; never 0 ---- */

static uint64_t handle_make(mfn_t slab, unsigned slot, unsigned bytes)
{
	return slab.n << 32 | (uint64_t)slot << 16 | bytes;
}

static mfn_t handle_slab(uint64_t h)
{
	return MFN(h >> 32);
}

static unsigned handle_slot(uint64_t h)
{
	return h >> 16 & 0xffff;
}

static unsigned handle_bytes(uint64_t h)
{
	return h & 0xffff;
}

/* The record of the frame that holds the leaves around gfn. */
static struct frame *store_leaves(struct space *s, gfn_t gfn)
{
	uint64_t *over = p2m_over(s, &s->near, gfn);

	ASSERT(over && pte_kind(p2m_entry_get(over), 2) == PTE_TABLE);
	return frame_at(mm.format->frame(p2m_entry_get(over), 2));
}

static uint64_t *store_handle(const struct frame *leaves, gfn_t gfn)
{
	mfn_t handles = MFN(frame_slot(leaves));

	ASSERT(mfn_valid(handles));
	return (uint64_t *)env_frame(handles) + gfn.n % LARGE_PAGES;
}

static void record_set_slot(struct frame *f, uint32_t slot)
{
	atomic_store_explicit(&f->slot, slot, memory_order_relaxed);
}

static uint8_t *store_object(uint64_t handle)
{
	const struct frame *f = frame_at(handle_slab(handle));

	return (uint8_t *)env_frame(handle_slab(handle)) +
	       handle_slot(handle) * store_slot_bytes(frame_age(f));
}

/* ---- slabs with room, by class ---- */

static void store_list(struct space *s, struct frame *f)
{
	uint32_t *first = &s->store.partial[frame_age(f)];

	f->link = *first;
	f->fingerprint = 0;
	if (*first)
		frame_at(MFN(*first))->fingerprint = (uint32_t)frame_mfn(f).n;
	*first = (uint32_t)frame_mfn(f).n;
}

static void store_unlist(struct space *s, struct frame *f)
{
	if (f->fingerprint)
		frame_at(MFN(f->fingerprint))->link = f->link;
	else
		s->store.partial[frame_age(f)] = f->link;
	if (f->link)
		frame_at(MFN(f->link))->fingerprint = f->fingerprint;
	f->link = f->fingerprint = 0;
}

/* ---- frames come and go ---- */

static struct frame *store_take_frame(struct space *s, struct store_frames *frames, unsigned age)
{
	struct frame *f;

	ASSERT(frames->n > 0); /* store_frames_needed has counted them */
	f = frame_at(frames->frame[--frames->n]);
	ASSERT(frame_kind(f) == FRAME_STORE && frame_owner(f) == s->domid);
	record_set_slot(f, 0);
	frame_set_age(f, age);
	s->stats.store_frames++;
	return f;
}

static void store_free_frame(struct space *s, struct frame *f)
{
	fund_release(frame_mfn(f), 0);
	s->stats.store_frames--;
}

/* ---- putting ---- */

unsigned store_frames_needed(struct space *s, const struct store_item *items, unsigned n)
{
	unsigned wanted[STORE_CLASSES] = {0}, frames = 0;

	for (unsigned i = 0; i < n; i++) {
		bool new_region =
		    !i || items[i].gfn.n / LARGE_PAGES != items[i - 1].gfn.n / LARGE_PAGES;

		wanted[store_class(items[i].bytes)]++;
		frames += new_region && !frame_slot(store_leaves(s, items[i].gfn));
	}
	for (unsigned c = 0; c < STORE_CLASSES; c++) {
		uint64_t more = wanted[c] - min_u64(wanted[c], s->store.room[c]);

		frames += (unsigned)((more + store_slots[c] - 1) / store_slots[c]);
	}
	return frames;
}

/* A slab of this class with room. */
static struct frame *store_slab(struct space *s, unsigned class, struct store_frames *frames)
{
	struct frame *f;

	if (s->store.partial[class])
		return frame_at(MFN(s->store.partial[class]));
	f = store_take_frame(s, frames, class);
	s->store.room[class] += store_slots[class];
	store_list(s, f);
	return f;
}

static uint64_t *store_make_handle(struct space *s, gfn_t gfn, struct store_frames *frames)
{
	struct frame *leaves = store_leaves(s, gfn);
	uint64_t *handle;

	if (!frame_slot(leaves)) {
		struct frame *f = store_take_frame(s, frames, STORE_HANDLES);

		env_page_zero(env_frame(frame_mfn(f)));
		record_set_slot(leaves, (uint32_t)frame_mfn(f).n);
	}
	handle = store_handle(leaves, gfn);
	ASSERT(*handle == 0);
	record_set_slot(frame_at(MFN(frame_slot(leaves))),
	                frame_slot(frame_at(MFN(frame_slot(leaves)))) + 1);
	return handle;
}

void store_put(struct space *s, gfn_t gfn, const uint8_t *bytes, unsigned n,
               struct store_frames *frames)
{
	unsigned class = store_class(n), slot;
	struct frame *f = store_slab(s, class, frames);

	slot = (unsigned)__builtin_ctz(~frame_slot(f));
	record_set_slot(f, frame_slot(f) | 1u << slot);
	s->store.room[class]--;
	if (frame_slot(f) == store_all(class))
		store_unlist(s, f);
	*store_make_handle(s, gfn, frames) = handle_make(frame_mfn(f), slot, n);
	__builtin_memcpy(store_object(handle_make(frame_mfn(f), slot, n)), bytes, n);
	s->stats.store_bytes += n;
}

/* ---- getting and forgetting ---- */

const uint8_t *store_get(struct space *s, gfn_t gfn, unsigned *bytes)
{
	uint64_t handle = *store_handle(store_leaves(s, gfn), gfn);

	ASSERT(handle);
	*bytes = handle_bytes(handle);
	return store_object(handle);
}

static void store_drop_object(struct space *s, uint64_t handle)
{
	struct frame *f = frame_at(handle_slab(handle));
	unsigned class = frame_age(f);
	uint32_t bit = 1u << handle_slot(handle);

	ASSERT(frame_slot(f) & bit);
	if (frame_slot(f) == store_all(class))
		store_list(s, f);
	record_set_slot(f, frame_slot(f) & ~bit);
	s->store.room[class]++;
	s->stats.store_bytes -= handle_bytes(handle);
	if (frame_slot(f))
		return;
	store_unlist(s, f);
	s->store.room[class] -= store_slots[class];
	store_free_frame(s, f);
}

void store_drop(struct space *s, gfn_t gfn)
{
	struct frame *leaves = store_leaves(s, gfn);
	uint64_t *handle = store_handle(leaves, gfn);
	struct frame *f = frame_at(MFN(frame_slot(leaves)));

	ASSERT(*handle && frame_slot(f) > 0);
	store_drop_object(s, *handle);
	*handle = 0;
	record_set_slot(f, frame_slot(f) - 1);
	if (frame_slot(f))
		return;
	record_set_slot(leaves, 0);
	store_free_frame(s, f);
}

/* ---- the audit: a bit of a slab is off while its object has been seen ---- */

bool store_holds_handles(const struct frame *f)
{
	return frame_age(f) == STORE_HANDLES;
}

unsigned store_unseen(const struct frame *f)
{
	unsigned n = 0;

	for (uint32_t slots = frame_slot(f); slots; slots &= slots - 1)
		n++;
	return n;
}

static bool store_handle_sound(const struct space *s, uint64_t handle)
{
	mfn_t slab = handle_slab(handle);
	const struct frame *f = frame_at(slab);

	return slab.n < mm.nr_frames && frame_kind(f) == FRAME_STORE &&
	       frame_owner(f) == s->domid && !store_holds_handles(f) &&
	       handle_slot(handle) < store_slots[frame_age(f)] &&
	       handle_bytes(handle) <= store_slot_bytes(frame_age(f));
}

const char *store_see(struct space *s, gfn_t gfn)
{
	static uint8_t page[PAGE_SIZE]; /* nobody else is in mm/ */
	uint64_t handle;
	struct frame *f;

	if (!frame_slot(store_leaves(s, gfn)))
		return "invariant 13: domain #, guest frame # is compressed, without handles";
	handle = *store_handle(store_leaves(s, gfn), gfn);
	if (!store_handle_sound(s, handle))
		return "invariant 13: domain #, guest frame # has a handle of no object";
	f = frame_at(handle_slab(handle));
	if (!(frame_slot(f) & 1u << handle_slot(handle)))
		return "invariant 13: domain #, guest frame # has an object that is free or "
		       "another's";
	if (lz4_unpack(store_object(handle), handle_bytes(handle), page, PAGE_SIZE) != PAGE_SIZE)
		return "invariant 13: domain #, guest frame # has an object that is no page";
	record_set_slot(f, frame_slot(f) & ~(1u << handle_slot(handle)));
	return NULL;
}

void store_unsee(struct space *s, gfn_t gfn)
{
	uint64_t handle;

	if (!frame_slot(store_leaves(s, gfn)))
		return;
	handle = *store_handle(store_leaves(s, gfn), gfn);
	if (store_handle_sound(s, handle))
		record_set_slot(frame_at(handle_slab(handle)),
		                frame_slot(frame_at(handle_slab(handle))) |
		                    1u << handle_slot(handle));
}

bool store_handles_of(mfn_t leaves, mfn_t *handles, unsigned *counted, unsigned *found)
{
	const uint64_t *h;

	*handles = MFN(frame_slot(frame_at(leaves)));
	if (!mfn_valid(*handles) || handles->n >= mm.nr_frames)
		return false;
	h = env_frame(*handles);
	*counted = frame_slot(frame_at(*handles));
	*found = 0;
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		*found += h[i] != 0;
	return true;
}
