/* SPDX-License-Identifier: MIT */
/*
 * The p2m: from guest frame to machine frame. One radix tree a space, in the very
 * format that the CPU walks (mm/pte_format.h), 512 entries a table:
 *
 *	root --> level 3 --> level 2 --+--> level 1 --> small frame
 *	                               +--> large frame (2 MiB)
 *
 * Where there is no entry inside promised RAM, the page was never touched.
 *
 * Rule: looking never changes anything; making a table, splitting a large leaf
 * and changing a leaf are verbs of their own. Every write goes through p2m_entry.c.
 * The tree is read and changed under the space's p2m lock; the CPU reads it
 * at any time, so each single write leaves a tree that says the old or the new thing.
 */
#include "mm/p2m.h"
#include "mm/p2m_table.h"

static unsigned p2m_index(gfn_t gfn, unsigned level)
{
	return (unsigned)(gfn.n >> (9 * (level - 1))) & (LARGE_PAGES - 1);
}

static uint64_t *p2m_entry_in(mfn_t table, gfn_t gfn, unsigned level)
{
	return (uint64_t *)env_frame(table) + p2m_index(gfn, level);
}

/* The lowest entry over gfn that there is: a leaf, one at level 1, or one with no table below. */
static struct p2m_slot p2m_descend(struct space *s, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	unsigned level = f->levels;
	uint64_t *e = p2m_entry_in(s->root, gfn, level);

	for (; level > 1; level--) {
		uint64_t v = p2m_entry_get(e);

		if (f->kind(v, level) != PTE_TABLE)
			break;
		e = p2m_entry_in(f->frame(v, level), gfn, level - 1);
	}
	return (struct p2m_slot){e, level};
}

struct p2m_slot p2m_find(struct space *s, gfn_t gfn)
{
	struct p2m_slot p;

	if (!mfn_valid(s->root)) /* the last of a dying space */
		return (struct p2m_slot){NULL, mm.format->levels};
	p = p2m_descend(s, gfn);
	if (p.level > 1 && mm.format->kind(p2m_entry_get(p.entry), p.level) != PTE_LEAF)
		p.entry = NULL;
	return p;
}

uint64_t *p2m_find_over(struct space *s, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	mfn_t table = s->root;

	if (!mfn_valid(table)) /* the last of a dying space */
		return NULL;
	for (unsigned level = f->levels; level > 2; level--) {
		uint64_t v = p2m_entry_get(p2m_entry_in(table, gfn, level));

		if (f->kind(v, level) != PTE_TABLE)
			return NULL;
		table = f->frame(v, level);
	}
	return p2m_entry_in(table, gfn, 2);
}

/* Whether there is something at, or below, this entry. */
static bool p2m_leads_on(uint64_t v, unsigned level)
{
	enum pte_kind kind;

	if (!v || level == 1)
		return v;
	kind = mm.format->kind(v, level);
	return kind == PTE_TABLE || kind == PTE_LEAF;
}

/* The first entry of p's table, from that of gfn on, which leads on: returns its gfn, and
 * makes p->entry it; or the gfn after the table, and NULL. */
static gfn_t p2m_next_in_table(struct p2m_slot *p, gfn_t gfn)
{
	uint64_t span = UINT64_C(1) << (9 * (p->level - 1));
	unsigned first = p2m_index(gfn, p->level), i = first;

	while (i < LARGE_PAGES && !p2m_leads_on(p2m_entry_get(p->entry), p->level)) {
		i++;
		p->entry++;
	}
	if (i == LARGE_PAGES)
		p->entry = NULL;
	return i == first ? gfn : GFN(align_down(gfn.n, span) + (i - first) * span);
}

gfn_t p2m_next_locked(struct space *s, gfn_t gfn)
{
	while (gfn.n < s->end) {
		struct p2m_slot p = p2m_descend(s, gfn);

		gfn = p2m_next_in_table(&p, gfn);
		if (p.entry &&
		    (p.level == 1 || mm.format->kind(p2m_entry_get(p.entry), p.level) == PTE_LEAF))
			return gfn;
	}
	return GFN(GFN_LIMIT);
}

gfn_t p2m_next(struct space *s, gfn_t from)
{
	gfn_t gfn;

	p2m_lock(s);
	gfn = p2m_next_locked(s, from);
	p2m_unlock(s);
	return gfn;
}

static enum p2m_type p2m_type_of_leaf(uint64_t e, unsigned level)
{
	unsigned sw = mm.format->sw(e);
	mfn_t mfn;

	if (sw & PTE_SW_FOREIGN)
		return P2M_FOREIGN;
	if (sw & PTE_SW_UNTOUCHED)
		return P2M_UNTOUCHED;
	if (!(sw & PTE_SW_SHARED))
		return P2M_PRIVATE;
	mfn = mm.format->frame(e, level);
	if (mfn_eq(mfn, zero_frame()))
		return P2M_ZERO;
	return mfn_eq(mfn, ones_frame()) ? P2M_ONES : P2M_SHARED;
}

enum p2m_type p2m_type_of(struct space *s, gfn_t gfn, uint64_t e, unsigned level)
{
	switch (pte_kind(e, level)) {
	case PTE_LEAF:
		return p2m_type_of_leaf(e, level);
	case PTE_SOFT:
		return mm.format->soft_state(e) == P2M_SOFT_BALLOONED ? P2M_BALLOONED
		                                                      : P2M_COMPRESSED;
	default:
		return p2m_is_ram(s, gfn) ? P2M_UNTOUCHED : P2M_NONE;
	}
}

struct p2m_view p2m_lookup_locked(struct space *s, gfn_t gfn)
{
	struct p2m_view view = {.type = P2M_NONE};
	struct p2m_slot p;
	uint64_t v;

	if (gfn.n >= GFN_LIMIT || !mfn_valid(s->root))
		return view;
	p = p2m_find(s, gfn);
	v = p.entry ? p2m_entry_get(p.entry) : 0;
	view.type = p2m_type_of(s, gfn, v, p.level);
	if (!p.entry || pte_kind(v, p.level) != PTE_LEAF)
		return view;
	view.mfn = pte_frame(v, p.level, gfn);
	view.access = mm.format->access(v);
	view.large = p.level > 1;
	if (view.mfn.n >= mm.nr_frames) /* corrupt, or a device: it has no record */
		return view;
	view.pinned = frame_flag(frame_at(view.mfn), FRAME_PINNED);
	view.guest_table = frame_flag(frame_at(view.mfn), FRAME_GUEST_TABLE);
	return view;
}

struct p2m_view p2m_lookup(struct space *s, gfn_t gfn)
{
	struct p2m_view view;

	p2m_lock(s);
	view = p2m_lookup_locked(s, gfn);
	p2m_unlock(s);
	return view;
}

/* ---- shape ---- */

/* Fill a fresh table with 512 small leaves that say what the large one says. */
static void p2m_fill_split(uint64_t *children, uint64_t large)
{
	const struct pte_format *f = mm.format;
	uint64_t ad = large & (f->accessed_mask | f->dirty_mask);
	unsigned access = f->access(large), sw = f->sw(large);
	mfn_t first = f->frame(large, 2);

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		children[i] = f->leaf(MFN(first.n + i), 1, access, sw) | ad;
}

/*
 * What the records of 512 private frames say of their leaf.
 *
 * known: the caller looks at the pages' hints. They may have had their likes in the index for long, as
 * nothing under a large leaf is merged (mm/shape.c); if nobody looks they leave the index, and so
 * the next pass reads the pages once more and finds them a place.
 */
static void p2m_split_frames(mfn_t first, bool dirty, bool known)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		mfn_t mfn = MFN(first.n + i);

		frame_clear_flag(frame_at(mfn), FRAME_LARGE);
		if (dirty)
			frame_set_flag(frame_at(mfn), FRAME_STALE);
		if (!known)
			index_remove(mfn);
	}
}

static void p2m_split_at(struct space *s, gfn_t gfn, uint64_t *e, bool known)
{
	mfn_t table = p2m_table_alloc(s, p2m_table_promised(s, gfn, 1));
	uint64_t v = p2m_entry_get(e);

	ASSERT(mfn_valid(table)); /* the table was given back, or set aside, for the large leaf */
	do                        /* again if the CPU has set A or D meanwhile */
		p2m_fill_split(env_frame(table), v);
	while (!p2m_entry_cas(e, &v, mm.format->table(table)));
	s->stats.large_leaves--;
	s->stats.splits++;
	if (mm.format->sw(v) & PTE_SW_SHARED)
		s->stats.large_shared--; /* the frames count mappings, and not their size */
	else
		p2m_split_frames(mm.format->frame(v, 2), v & mm.format->dirty_mask, known);
}

static bool p2m_split_if_large(struct space *s, gfn_t gfn, bool known)
{
	struct p2m_slot p = p2m_find(s, gfn);

	if (!p.entry || p.level == 1)
		return false;
	p2m_split_at(s, gfn, p.entry, known);
	return true;
}

bool p2m_split(struct space *s, gfn_t gfn)
{
	return p2m_split_if_large(s, gfn, false);
}

void p2m_split_known(struct space *s, gfn_t gfn)
{
	bool large = p2m_split_if_large(s, gfn, true);

	ASSERT(large);
}

/* The level-1 table over gfn, or a leaf in its place, is there, or is about to be. */
static void p2m_note_end(struct space *s, gfn_t gfn)
{
	s->end = max_u64(s->end, align_down(gfn.n, LARGE_PAGES) + LARGE_PAGES);
}

uint64_t *p2m_make(struct space *s, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	unsigned level = f->levels;
	mfn_t table = s->root;

	p2m_note_end(s, gfn);
	for (; level > 1; level--) {
		uint64_t *e = p2m_entry_in(table, gfn, level);
		enum pte_kind kind = f->kind(p2m_entry_get(e), level);

		if (kind == PTE_LEAF) {
			p2m_split_at(s, gfn, e, false);
		} else if (kind != PTE_TABLE) {
			bool promised = p2m_table_promised(s, gfn, level - 1);

			table = p2m_table_alloc(s, promised);
			if (!mfn_valid(table))
				return NULL;
			p2m_entry_set(e, f->table(table));
		}
		table = f->frame(p2m_entry_get(e), level);
	}
	return p2m_entry_in(table, gfn, 1);
}

uint64_t *p2m_make_large(struct space *s, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	mfn_t table = s->root;

	p2m_note_end(s, gfn);
	for (unsigned level = f->levels; level > 2; level--) {
		uint64_t *e = p2m_entry_in(table, gfn, level);

		if (f->kind(p2m_entry_get(e), level) != PTE_TABLE) {
			bool promised = p2m_table_promised(s, gfn, level - 1);

			table = p2m_table_alloc(s, promised);
			if (!mfn_valid(table))
				return NULL;
			p2m_entry_set(e, f->table(table));
		}
		table = f->frame(p2m_entry_get(e), level);
	}
	return p2m_entry_in(table, gfn, 2);
}
