/* SPDX-License-Identifier: MIT */
/*
 * A walk of a guest's page tables, remembered.
 *
 * A walk is four reads of guest memory, each with a look into the p2m: some two
 * thousand instructions. A guest makes its hypercalls from the same page, with
 * arguments on the same stack, again and again, so the last walks are kept:
 *
 *	linear page, CR3, rules -> the guest's table entries on the way (where they
 *	                           lie, what they held) -> the page's contents
 *
 * It holds again if (1) no p2m entry of the space has lost a right or its frame
 * since: the space's generation is the same, so each of these addresses is
 * still that guest's memory; and (2) each table entry still has its value. This
 * is exact: what the walk would read now is what it read then, accessed flags
 * too. Who reads the page compares the generation once more afterwards: the
 * frame may have been given away meanwhile, and then what was read is thrown
 * away.
 */
#ifndef ARCH_GUEST_GVA_MEMO_H
#define ARCH_GUEST_GVA_MEMO_H

#include "arch/x86_64/regs.h"
#include "mm/space.h"

#define GVA_MEMO_STEPS 4u
#define GVA_MEMO_NONE  1u /* no page begins there */

/* All zeroes is nothing, too: generations begin with 1. */
struct gva_memo {
	uint64_t page, cr3;  /* linear page, table root; GVA_MEMO_NONE: nothing is remembered */
	uint64_t rules;      /* gva_rules(), if the owner needs them */
	uint64_t generation; /* of the space, before the walk */
	const uint8_t *at;   /* the page's contents */
	unsigned steps;      /* guest table entries on the way, 8 bytes each */
	bool complete;       /* and all of them are here */
	/* Past `steps` an entry is its own value, so that all are compared without a count. */
	const uint64_t *entry[GVA_MEMO_STEPS];
	uint64_t value[GVA_MEMO_STEPS];
};

static inline uint64_t gva_memo_generation(struct space *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

/* All that decides what a walk finds, but for CR3 and the tables; `access` as for gva_walk. */
static inline uint64_t gva_rules(const struct guest_state *s, unsigned access)
{
	const uint64_t wp = s->cr0 >> 16 & 1, pg = s->cr0 >> 31 & 1;
	const uint64_t lma_nxe = s->efer >> 10 & 3;

	return (uint32_t)s->cr4 | wp << 32 | pg << 33 | lma_nxe << 34 | (uint64_t)access << 36;
}

/* Forget, and take the steps of a new walk: gva_memo_step() for each, gva_memo_end() if it
 * succeeded. */
static inline void gva_memo_begin(struct gva_memo *m, struct space *s)
{
	m->page = GVA_MEMO_NONE;
	m->generation = gva_memo_generation(s);
	m->steps = 0;
	m->complete = true;
}

/* One entry was read; NULL: from nowhere that can be looked at again. */
static inline void gva_memo_step(struct gva_memo *m, const void *at, uint64_t value, unsigned bytes)
{
	if (!at || bytes != 8 || m->steps >= GVA_MEMO_STEPS) {
		m->complete = false;
		return;
	}
	m->entry[m->steps] = at;
	m->value[m->steps++] = value;
}

/* It led to the page that holds `at`. */
static inline void gva_memo_end(struct gva_memo *m, uint64_t linear, uint64_t cr3, uint64_t rules,
                                const uint8_t *at)
{
	if (!m->complete || !at)
		return;
	for (unsigned i = m->steps; i < GVA_MEMO_STEPS; i++)
		m->entry[i] = &m->value[i];
	m->at = at - linear % PAGE_SIZE;
	m->cr3 = cr3;
	m->rules = rules;
	m->page = linear & PAGE_MASK;
}

static inline bool gva_memo_same(const struct gva_memo *m, unsigned i)
{
	return *(const volatile uint64_t *)m->entry[i] == m->value[i];
}
ASSERT_STATIC(GVA_MEMO_STEPS == 4);

/* Is it what a walk would find now? */
static inline bool gva_memo_holds(const struct gva_memo *m, uint64_t linear, uint64_t cr3,
                                  uint64_t rules, uint64_t generation)
{
	if (m->page != (linear & PAGE_MASK) || m->cr3 != cr3 || m->rules != rules ||
	    m->generation != generation)
		return false;
	return gva_memo_same(m, 0) && gva_memo_same(m, 1) && gva_memo_same(m, 2) &&
	       gva_memo_same(m, 3);
}

#endif
