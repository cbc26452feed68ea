/* SPDX-License-Identifier: MIT */
/*
 * The walk of guest page tables (SDM vol. 3, chapter 4; APM vol. 2, chapter 5).
 *
 * Problem: hypercall arguments are guest virtual addresses, and without
 * decode assists so is the address of an instruction whose length we need.
 * The tables belong to the guest: they may lie in any way, loop back to
 * themselves, point outside of memory, and change while they are read.
 *
 * Rule: each entry is read once, into a local, and only the local is used.
 * The number of reads is the number of levels, whatever the tables say. What
 * comes out is a guest-physical address, never trusted further than that:
 * mm/ checks it again at each access.
 *
 * Accessed and dirty flags. A CPU sets A in each entry that it used and D in
 * the leaf of a write, by a locked exchange. A guest that pages by these flags
 * would throw away a page that only a hypercall wrote, so we set them as well,
 * with an exchange that loses to any change by another vCPU (then the walk
 * starts again). Unlike the CPU we set them only when the walk has succeeded:
 * a fault must be seen with the tables untouched (A may be set early, SDM
 * 4.8, but need not be). Where the CPU itself has just walked the same way, as
 * for the bytes of an instruction that exited, `exchange` may be NULL: A is
 * set already and a read leaves D alone.
 */
#include "arch/x86_64/guest/gva.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

#define CR0_WP   BIT(16)
#define CR0_PG   BIT(31)
#define CR4_PSE  BIT(4)
#define CR4_PAE  BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define PTE_PRESENT  BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_USER     BIT(2)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY    BIT(6)
#define PTE_LARGE    BIT(7)
#define PTE_NX       BIT(63)

#define MAX_LEVELS  4u
#define MAX_RETRIES 8u

/* One paging mode. Level 1 is the lowest. */
struct mode {
	unsigned levels, entry_bytes, index_bits;
	unsigned large_levels; /* bit n: level n may hold a large leaf */
	bool pae_root;         /* the root's entries are PDPTEs with rules of their own */
};

static const struct mode mode_legacy = {2, 4, 10, 0, false};
static const struct mode mode_pse = {2, 4, 10, 1u << 2, false};
static const struct mode mode_pae = {3, 8, 9, 1u << 2, true};
static const struct mode mode_long = {4, 8, 9, 1u << 2 | 1u << 3, false};

/* An entry that the walk used. */
struct step {
	uint64_t gpa, entry;
};

struct walk {
	const struct gva_memory *m;
	const struct guest_state *s;
	const struct mode *mode;
	uint64_t gva;
	unsigned access;
	unsigned leaf_level, steps;
	struct step step[MAX_LEVELS];
	bool write, user, nx; /* rights of all levels together */
	uint32_t error;
};

static const struct mode *gva_mode(const struct guest_state *s)
{
	if (s->efer & EFER_LMA)
		return s->cr4 & CR4_LA57 ? NULL : &mode_long;
	if (s->cr4 & CR4_PAE)
		return &mode_pae;
	return s->cr4 & CR4_PSE ? &mode_pse : &mode_legacy;
}

static unsigned gva_shift(const struct mode *m, unsigned level)
{
	return PAGE_SHIFT + (level - 1) * m->index_bits;
}

/* Bits 47..63 all equal (SDM vol. 1, 3.3.7.1). */
static bool gva_canonical(uint64_t gva)
{
	return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

static enum gva_status gva_of_mm(enum mm_status st)
{
	switch (st) {
	case MM_OK:
		return GVA_OK;
	case MM_NOMEM:
		return GVA_NOMEM;
	default:
		return GVA_NO_RAM;
	}
}

static enum gva_status gva_fault(struct walk *w, uint32_t error)
{
	bool fetch_shown = (w->s->efer & EFER_NXE) || (w->s->cr4 & CR4_SMEP);

	w->error = error;
	if (w->access & GVA_WRITE)
		w->error |= PF_WRITE;
	if (w->access & GVA_USER)
		w->error |= PF_USER;
	if ((w->access & GVA_FETCH) && fetch_shown)
		w->error |= PF_FETCH;
	return GVA_FAULT;
}

/* Bits that must be zero in an 8-byte entry (SDM vol. 3, tables 4-8 to 4-20). */
static uint64_t gva_reserved64(const struct walk *w, unsigned level, bool large)
{
	const struct mode *m = w->mode;
	uint64_t reserved = BITS(51, 0) & ~BITS(w->m->phys_bits - 1, 0);

	if (m->pae_root && level == m->levels)
		return BITS(63, 0) & ~(BITS(w->m->phys_bits - 1, 9) | PTE_PRESENT | BITS(4, 3));
	if (m->pae_root)
		reserved |= BITS(62, 52);
	if (!(w->s->efer & EFER_NXE))
		reserved |= PTE_NX;
	if (large)
		reserved |= BITS(gva_shift(m, level) - 1, 13);
	else if (level == 4) /* below, the bit means a large leaf, or PAT */
		reserved |= PTE_LARGE;
	return reserved;
}

static uint64_t gva_reserved(const struct walk *w, unsigned level, bool large)
{
	if (w->mode->entry_bytes == 8)
		return gva_reserved64(w, level, large);
	/* PSE-36: bits 20..13 are address bits 39..32; bit 21 must be 0 (SDM 4.3). */
	return large ? BIT(21) : 0;
}

/* Where the entry's table or page begins. */
static uint64_t gva_address(const struct walk *w, unsigned level, uint64_t entry, bool large)
{
	uint64_t mask = BITS(51, 12);

	if (w->mode->entry_bytes == 4) {
		if (!large)
			return entry & BITS(31, 12);
		return (entry & BITS(31, 22)) | ((entry & BITS(20, 13)) << 19);
	}
	return entry & (large ? mask & ~BITS(gva_shift(w->mode, level) - 1, 0) : mask);
}

static void gva_combine(struct walk *w, unsigned level, uint64_t entry)
{
	if (w->mode->pae_root && level == w->mode->levels)
		return; /* a PDPTE has no rights of its own */
	w->write = w->write && (entry & PTE_WRITE);
	w->user = w->user && (entry & PTE_USER);
	w->nx = w->nx || ((entry & PTE_NX) && (w->s->efer & EFER_NXE));
}

/* Read one level; *next is the table or page it points at, *leaf whether it ends here. */
static enum gva_status gva_step(struct walk *w, unsigned level, uint64_t table, uint64_t *next,
                                bool *leaf)
{
	const struct mode *m = w->mode;
	unsigned bits = m->pae_root && level == m->levels ? 2 : m->index_bits;
	uint64_t index = (w->gva >> gva_shift(m, level)) & (BIT(bits) - 1);
	uint64_t gpa = table + index * m->entry_bytes, entry = 0;
	enum gva_status st = gva_of_mm(w->m->read(w->m->arg, gpa, &entry, m->entry_bytes));
	bool large;

	if (st != GVA_OK)
		return st;
	if (!(entry & PTE_PRESENT))
		return gva_fault(w, 0);
	large = (m->large_levels & 1u << level) && (entry & PTE_LARGE);
	if (entry & gva_reserved(w, level, large))
		return gva_fault(w, PF_PRESENT | PF_RESERVED);
	gva_combine(w, level, entry);
	w->step[w->steps++] = (struct step){gpa, entry};
	w->leaf_level = level;
	*leaf = large || level == 1;
	*next = gva_address(w, level, entry, large);
	return GVA_OK;
}

/* The rights of the whole path against the access (SDM vol. 3, 4.6.1). */
static enum gva_status gva_check(struct walk *w)
{
	const struct guest_state *s = w->s;
	bool user_access = w->access & GVA_USER;
	bool refused = user_access && !w->user;

	if (w->access & GVA_FETCH)
		refused = refused || w->nx || (!user_access && w->user && (s->cr4 & CR4_SMEP));
	else if (!user_access && w->user && (s->cr4 & CR4_SMAP) && !(w->access & GVA_AC))
		refused = true;
	if ((w->access & GVA_WRITE) && !w->write && (user_access || (s->cr0 & CR0_WP)))
		refused = true;
	return refused ? gva_fault(w, PF_PRESENT) : GVA_OK;
}

/* Set A on the path and D in a written leaf. *again: an entry had changed meanwhile. */
static enum gva_status gva_mark(struct walk *w, bool *again)
{
	bool done = true;

	for (unsigned i = 0; i < w->steps; i++) {
		uint64_t old = w->step[i].entry, want = old | PTE_ACCESSED;
		enum gva_status st;

		if (w->mode->pae_root && i == 0)
			continue; /* PDPTEs have no flags; bit 5 is reserved there */
		if (i == w->steps - 1 && (w->access & GVA_WRITE))
			want |= PTE_DIRTY;
		if (want == old)
			continue;
		st = gva_of_mm(w->m->exchange(w->m->arg, w->step[i].gpa, old, want,
		                              w->mode->entry_bytes, &done));
		if (st != GVA_OK)
			return st;
		if (!done) {
			*again = true;
			return GVA_OK;
		}
	}
	return GVA_OK;
}

static uint64_t gva_root(const struct walk *w)
{
	if (w->mode->pae_root)
		return w->s->cr3 & BITS(31, 5);
	if (w->mode->entry_bytes == 4)
		return w->s->cr3 & BITS(31, 12);
	return w->s->cr3 & BITS(51, 12);
}

static enum gva_status gva_once(struct walk *w, uint64_t *gpa)
{
	uint64_t table = gva_root(w);
	bool leaf = false;

	w->steps = 0;
	w->write = w->user = true;
	w->nx = false;
	for (unsigned level = w->mode->levels; !leaf; level--) {
		enum gva_status st;

		ASSERT(level >= 1);
		st = gva_step(w, level, table, &table, &leaf);
		if (st != GVA_OK)
			return st;
	}
	*gpa = table | (w->gva & (BIT(gva_shift(w->mode, w->leaf_level)) - 1));
	return gva_check(w);
}

enum gva_status gva_walk(const struct gva_memory *m, const struct guest_state *s, uint64_t gva,
                         unsigned access, struct gva_walk *out)
{
	struct walk w = {.m = m, .s = s, .access = access};

	*out = (struct gva_walk){0, 0};
	if (!(s->efer & EFER_LMA))
		gva = (uint32_t)gva;
	else if (!gva_canonical(gva))
		return GVA_REFUSED;
	if (!(s->cr0 & CR0_PG)) {
		out->gpa = gva;
		return GVA_OK;
	}
	w.mode = gva_mode(s);
	w.gva = gva;
	if (!w.mode)
		return GVA_REFUSED;
	for (unsigned i = 0; i < MAX_RETRIES; i++) {
		bool again = false;
		enum gva_status st = gva_once(&w, &out->gpa);

		if (st == GVA_OK && m->exchange)
			st = gva_mark(&w, &again);
		out->error = w.error;
		if (!again)
			return st;
	}
	/* Another vCPU rewrites the tables as fast as we read them: its own wish. */
	(void)gva_fault(&w, 0);
	out->error = w.error;
	return GVA_FAULT;
}
