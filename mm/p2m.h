/* SPDX-License-Identifier: MIT */
/*
 * The p2m tree inside mm/: walking it, and the few changes that other files
 * make to leaves. Everything here is called with the p2m lock of s held
 * unless it says otherwise. Entries are changed by the CPU too (accessed and
 * dirty bits), so a present entry is only ever replaced by compare-and-exchange
 * or exchange, through p2m_entry.c: one place, which tests record.
 */
#ifndef MM_P2M_H
#define MM_P2M_H

#include "mm/core.h"
#include "mm/deferred.h"
#include "mm/index.h"

/* ---- entries: the only functions that write one (p2m_entry.c) ---- */

void p2m_entry_set(uint64_t *e, uint64_t value);          /* where nothing was present */
uint64_t p2m_entry_exchange(uint64_t *e, uint64_t value); /* returns what was there */
/* True if *e was `expected` and is now `value`; else *expected is what is there. */
bool p2m_entry_cas(uint64_t *e, uint64_t *expected, uint64_t value);

static inline uint64_t p2m_entry_get(const uint64_t *e)
{
	return __atomic_load_n(e, __ATOMIC_RELAXED);
}

/* ---- finding (changes nothing) ---- */

struct p2m_slot {
	uint64_t *entry; /* NULL: no table there, so every gfn around is empty */
	unsigned level;  /* 1, or 2 for a large leaf that covers the gfn */
};

struct p2m_slot p2m_find(struct space *s, gfn_t gfn);

/* A p2m_cursor (mm/space.h) is good while the lock is held; s->near longer.
 * The level-1 entry of gfn, or NULL if there is no table or a large leaf (then p2m_find). */
static inline uint64_t *p2m_at(struct space *s, struct p2m_cursor *c, gfn_t gfn)
{
	if (!c->table || c->index != gfn.n / LARGE_PAGES) {
		struct p2m_slot slot = p2m_find(s, gfn);

		if (!slot.entry || slot.level != 1)
			return NULL;
		c->table = slot.entry - gfn.n % LARGE_PAGES;
		c->index = gfn.n / LARGE_PAGES;
	}
	return &c->table[gfn.n % LARGE_PAGES];
}

/* The level-2 entry over gfn, whatever it says, or NULL if no level-2 table is there. */
uint64_t *p2m_find_over(struct space *s, gfn_t gfn);

/* The same, by a cursor. */
static inline uint64_t *p2m_over(struct space *s, struct p2m_cursor *c, gfn_t gfn)
{
	uint64_t i = gfn.n / LARGE_PAGES;

	if (!c->upper || c->upper_index != i / LARGE_PAGES) {
		uint64_t *e = p2m_find_over(s, gfn);

		if (!e)
			return NULL;
		c->upper = e - i % LARGE_PAGES;
		c->upper_index = i / LARGE_PAGES;
	}
	return &c->upper[i % LARGE_PAGES];
}

/* p2m_next of mm/space.h with the lock held already. For slices: remember a
 * gfn, not a pointer, between two holds of the lock. */
gfn_t p2m_next_locked(struct space *s, gfn_t from);

/* p2m_lookup with the lock held already. */
struct p2m_view p2m_lookup_locked(struct space *s, gfn_t gfn);

/* Whether gfn lies where RAM was promised at the start. */
static inline bool p2m_is_ram(const struct space *s, gfn_t gfn)
{
	return gfn.n < s->low_pages || gfn.n - s->high_first < s->high_pages;
}

/* ---- decoding a leaf at level 1 or 2 ---- */

static inline enum pte_kind pte_kind(uint64_t e, unsigned level)
{
	return mm.format->kind(e, level);
}

/* The small frame that gfn maps to through this leaf. */
static inline mfn_t pte_frame(uint64_t e, unsigned level, gfn_t gfn)
{
	uint64_t n = mm.format->frame(e, level).n;

	return MFN(level == 1 ? n : n + gfn.n % LARGE_PAGES);
}

/* The type of what an entry says (p2m_slot.entry == NULL counts as 0). */
enum p2m_type p2m_type_of(struct space *s, gfn_t gfn, uint64_t e, unsigned level);

/* Whether a level-1 leaf maps another domain's page, granted and pinned (granted.c). */
bool granted_leaf(const struct space *s, uint64_t entry);

/* ---- shape ---- */

/* The level-1 entry of gfn; makes tables, splits a large leaf. NULL: no table frame
 * left, which never happens where p2m_is_ram. */
uint64_t *p2m_make(struct space *s, gfn_t gfn) must_check;

/*
 * Replace the large leaf that covers gfn by 512 small ones with the same rights;
 * its accessed and dirty bits go to all of them, and a dirty one makes all 512
 * frames STALE; hints among them leave the index. Cannot fail. The level changed: the caller flushes s before it relies
 * on rights taken away below (a batch of splits and protects needs one flush).
 * Of one that is shared, 512 shared small ones are made.
 * Returns whether there was a large leaf.
 */
bool p2m_split(struct space *s, gfn_t gfn);

/* The same where there is a large leaf, by who looks after its hints (shape.c): they stay. */
void p2m_split_known(struct space *s, gfn_t gfn);

/* The level-2 entry over gfn, whatever it says; makes the tables above. NULL: no table frame. */
uint64_t *p2m_make_large(struct space *s, gfn_t gfn) must_check;

/* Table frames from the space's pool, zeroed; promised: see p2m_table.c. */
mfn_t p2m_table_alloc(struct space *s, bool promised) must_check;
/* The same, holding anything: for who fills all of it at once. */
mfn_t p2m_table_take(struct space *s, bool promised) must_check;
/* Back into the pool: nothing points at it any more, and that is flushed. */
void p2m_table_release(struct space *s, mfn_t table, bool promised);

/* ---- what a merge does to one small page (p2m_share.c) ---- */

/*
 * The page of gfn may be merged: small leaf, private frame, not pinned, not a
 * guest's page table (FRAME_GUEST_TABLE), not FOREIGN. Returns its frame or
 * MFN_NONE. A page under a large leaf answers MFN_NONE: p2m_split first.
 */
mfn_t p2m_mergeable(struct space *s, gfn_t gfn);

/*
 * Write-protect the small private leaf of gfn (PTE_SW_PROTECTED, no PTE_W). The dirty bit
 * is harvested: set, it makes the frame STALE. False if !p2m_mergeable. Protecting
 * twice is fine. Until s is flushed the guest may still write. A write
 * fault makes the leaf writable again and clears PTE_SW_PROTECTED.
 */
bool p2m_protect(struct space *s, gfn_t gfn);

/* The same for a small private leaf at e, whatever its frame's flags say. */
void p2m_protect_leaf(uint64_t *e);

/* Whether gfn still maps private frame mfn, write-protected by p2m_protect. */
bool p2m_protected(struct space *s, gfn_t gfn, mfn_t mfn);

/* Give up: make the protected leaf writable again (mm/dirty_protect.c: unless it is unchanged). No
 * flush needed. */
void p2m_unprotect(struct space *s, gfn_t gfn);

/* The same for a private leaf at e; accessed and dirty bits stay. */
void p2m_allow_write(uint64_t *e, unsigned level);

/* Give the small RAM leaf at e the right to execute. It takes nothing away: no flush. */
void p2m_allow_exec(uint64_t *e);

/*
 * The protected private frame of gfn is about to become a shared one with this leaf as its
 * first mapping: the leaf says PTE_SW_SHARED, the counters and the funding follow. The
 * frame record is not touched: at once, under the same p2m lock, call
 * index_insert_shared (references >= 1, this leaf's included). False, and
 * nothing changed: invariant 11 forbids it.
 */
bool p2m_share(struct space *s, gfn_t gfn, mfn_t mfn) must_check;

/*
 * Switch the protected private leaf of gfn to `survivor` (kind SHARED, on which
 * the caller holds a count that becomes this leaf's) or to a constant frame
 * (zero_frame(), ones_frame(); no count), whose content is equal. The old frame goes to d (of
 * space s).
 */
void p2m_switch(struct space *s, gfn_t gfn, mfn_t survivor, struct deferred *d);

/*
 * Clear the dirty bits of [first, first + pages), large leaves included, and make
 * what was dirty FRAME_STALE. Returns how many leaves were dirty; if any,
 * flush s before a fingerprint is taken: clear D -> flush -> only then fingerprint.
 *
 * Who holds no scan lock flushes before the p2m lock is dropped. Where "dirty" is the write right
 * the leaves are left PTE_SW_PROTECTED, and to a merge whose own flush is done that says "nobody can
 * write" (mm/merge.c); to the scanner a page that is STALE and not dirty is one to be read. A merge
 * asserts that there was a flush (p2m_assert_flushed).
 */
uint64_t p2m_harvest(struct space *s, gfn_t first, uint64_t pages);

/* No harvest still owes its flush. */
static inline void p2m_assert_flushed(const struct space *s)
{
	ASSERT(atomic_load_explicit(&s->generation, memory_order_relaxed) >= s->harvest_owes);
}

/*
 * A write by the hypervisor to gfn, which maps mfn; it sets no dirty bit: the frame becomes
 * STALE and a private one leaves the index.
 */
void p2m_mark_dirty(struct space *s, gfn_t gfn, mfn_t mfn);

#endif
