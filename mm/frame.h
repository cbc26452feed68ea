/* SPDX-License-Identifier: MIT */
/*
 * The frame table: one 16-byte record for each 4 KiB machine frame. Links
 * live in the table itself, so that indexing, sharing and releasing never
 * allocate.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include <stdatomic.h>
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"
#include "mm/status.h"

enum frame_kind {
	FRAME_RESERVED, /* not ours to hand out: firmware, the hypervisor image, holes */
	FRAME_FREE,
	FRAME_HYPERVISOR, /* the hypervisor's own allocations */
	FRAME_TABLE,      /* page table of a space, owner = domain */
	FRAME_PRIVATE,    /* one domain's page; slot = gfn */
	FRAME_SHARED,     /* write-protected, counted; slot = mappings, owner = share group */
	FRAME_SERVICE,    /* hypervisor plus exactly one domain: shared_info, rings */
	FRAME_STORE,      /* one domain's compressed pages (mm/store.c) */
	FRAME_CONSTANT,   /* the zero and the ones frame: no owner, no count */
	FRAME_KINDS
};

/*
 * Flags of a record, beside its kind. Age: while FRAME_GUEST_TABLE is set, the
 * back-off exponent: a scan pass clears the flag with probability 1 / 2^age,
 * and each break by a walk of guest page tables makes age one more (up to 15).
 * A merge keeps the larger age in the survivor. mm/guest_table.c has the rest.
 */
#define FRAME_INDEXED     BIT(4) /* is in an index chain (shared, or private hint) */
#define FRAME_STALE       BIT(5) /* written since the scanner last fingerprinted it */
#define FRAME_CLEAN       BIT(5) /* of a free frame: its contents are all zeroes */
#define FRAME_PINNED      BIT(6)
#define FRAME_GUEST_TABLE BIT(7) /* holds guest page tables: not merged for a while */
#define FRAME_AGE_SHIFT   8      /* 4 bits: what the policy makes of them */
#define FRAME_AGE_MASK    BITS(11, 8)
#define FRAME_ORDER_SHIFT 12 /* 4 bits: order of a free block's head, of a large frame's */
#define FRAME_ORDER_MASK  BITS(15, 12)
#define FRAME_LARGE       BIT(13) /* of a private frame that is mapped: by a large leaf */

struct frame {
	_Atomic uint32_t slot;
	uint32_t fingerprint;
	uint32_t link;
	_Atomic uint16_t owner;
	_Atomic uint16_t bits; /* kind in bits 3..0, flags above */
};

_Static_assert(sizeof(struct frame) == 16, "a frame record is 16 bytes");

/* The record of a frame; mfn must be inside the table. */
struct frame *frame_of(mfn_t mfn);

static inline enum frame_kind frame_kind(const struct frame *f)
{
	return (enum frame_kind)(atomic_load_explicit(&f->bits, memory_order_relaxed) & 15u);
}

/*
 * Take 2^order frames (order 0 .. 9) for the hypervisor's own use or for a service page;
 * contents undefined. MFN_NONE if that would eat into what backs a promise
 * (invariant 11) or nothing is free. kind: FRAME_HYPERVISOR or FRAME_SERVICE.
 */
mfn_t frame_alloc(unsigned order, enum frame_kind kind, domid_t owner) must_check;

/* Give back what frame_alloc gave. */
void frame_free(mfn_t mfn, unsigned order);

#endif
