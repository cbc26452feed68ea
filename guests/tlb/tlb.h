/* SPDX-License-Identifier: MIT */
/* Shared by the writer (tlb.c) and the reader (reader.c) of the guest tlb. */
#ifndef GUEST_TLB_H
#define GUEST_TLB_H

#include <stdbool.h>
#include <stdint.h>

#define TLB_PAGES  32u /* watched; few enough to stay in any TLB */
#define TLB_COPIES 4u  /* of each content among them */
#define TLB_FRESH  64u /* pages that go out and come back in each round */

/* Word 0 of a watched page counts rounds, word TLB_TAG names its content for good. */
#define TLB_ROUND 0u
#define TLB_TAG   5u

/* What the reader found. */
struct tlb_reading {
	uint64_t loops;
	uint64_t fresh;    /* first sight of a new round, no exit between announcement and look */
	uint64_t unproven; /* first sight, but an exit may have come in between */
	uint64_t gaps;     /* times when the reader was away: exits, seen from inside */
	uint64_t exits;    /* the hypervisor's own count for the same span */
	uint64_t
	    old_value;  /* a page read as it was before an announced write: no flush at a break */
	uint64_t alien; /* a page read with bytes that are not its own: no flush after a merge */
	uint64_t bad_page, bad_round, bad_word0, bad_tag;
};

extern volatile uint64_t *tlb_page[TLB_PAGES];     /* identity mapped, 4 KiB each */
extern volatile uint64_t tlb_announced[TLB_PAGES]; /* the round whose write is done */
extern volatile bool tlb_stop;
extern volatile uint64_t tlb_ready;

uint64_t tlb_tag(unsigned page);
void tlb_reader(void *reading); /* vCPU 1 */

#endif
