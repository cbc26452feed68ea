/* SPDX-License-Identifier: MIT */
/* References in use: the flags in the owner's table, and the pin of the page that they stand for.
 */
#include "kernel/grant_ref.h"

#define RETRIES 5u /* of a compare-and-exchange that the guest disturbs, as Xen */
#define IN_USE  (GTF_reading | GTF_writing)

ASSERT_STATIC(sizeof(struct grant_entry_v1) == 8);
ASSERT_STATIC((REFS & (REFS - 1)) == 0);

/* ref is below the table's end */
static struct grant_entry_v1 *entry_of(const struct grants *g, uint32_t ref)
{
	ref &= REFS - 1;
	return &g->table[ref / REFS_PER_FRAME].entry[ref % REFS_PER_FRAME];
}

/* ---- "in use", in the table ---- */

/* The flags and the domain that it is for are the first 32 bits of an entry. */
static int16_t entry_take(struct grant_entry_v1 *e, domid_t user, bool write)
{
	uint32_t *word = (uint32_t *)(void *)e;
	uint32_t old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
	uint32_t want = GTF_reading | (write ? GTF_writing : 0);

	for (unsigned i = 0; i < RETRIES; i++) {
		uint16_t flags = (uint16_t)old;

		if ((flags & GTF_type_mask) != GTF_permit_access || old >> 16 != user)
			return GNTST_bad_gntref;
		if (write && (flags & GTF_readonly))
			return GNTST_general_error;
		if (__atomic_compare_exchange_n(word, &old, old | want, false, __ATOMIC_SEQ_CST,
		                                __ATOMIC_SEQ_CST))
			return GNTST_okay;
	}
	return GNTST_general_error;
}

static void entry_clear(struct grant_entry_v1 *e, uint16_t flags)
{
	__atomic_fetch_and(&e->flags, (uint16_t)~flags, __ATOMIC_SEQ_CST);
}

/* ---- references in use ---- */

struct grant_active *grant_active_of(struct grants *g, uint32_t ref)
{
	struct grant_active *empty = NULL;

	for (unsigned i = 0; i < GRANT_ACTIVE; i++) {
		struct grant_active *a = &g->active[i];

		if (!a->readers && !a->writers)
			empty = empty ? empty : a;
		else if (a->ref == ref)
			return a;
	}
	if (empty)
		*empty = (struct grant_active){.ref = ref};
	return empty;
}

/* Pin the page that the entry names, and be sure that it is the owner's own memory. */
static int16_t active_pin(struct domain *owner, struct grant_active *a, gfn_t gfn)
{
	struct p2m_view view;
	void *page;
	enum mm_status st = mm_pin(&owner->space, gfn, &page);

	if (st != MM_OK)
		return st == MM_NOMEM ? GNTST_eagain : GNTST_bad_page;
	view = p2m_lookup(&owner->space, gfn);
	if (view.type != P2M_PRIVATE) {
		mm_unpin(&owner->space, gfn);
		return GNTST_bad_page;
	}
	a->gfn = gfn;
	a->mfn = view.mfn;
	return GNTST_okay;
}

static int16_t active_begin(struct domain *owner, struct grant_active *a, domid_t user, bool write)
{
	struct grant_entry_v1 *e = entry_of(owner->grants, a->ref);
	int16_t rc = entry_take(e, user, write);

	if (rc)
		return rc;
	rc = active_pin(owner, a, GFN(__atomic_load_n(&e->frame, __ATOMIC_SEQ_CST)));
	if (rc)
		entry_clear(e, IN_USE);
	else
		a->user = user;
	return rc;
}

int16_t grant_acquire(struct domain *owner, uint32_t ref, domid_t user, bool write,
                      struct grant_active **out)
{
	struct grants *g = owner->grants;
	struct grant_active *a;
	int16_t rc = GNTST_okay;

	if (ref >= g->nr_frames * REFS_PER_FRAME)
		return GNTST_bad_gntref;
	a = grant_active_of(g, ref);
	if (!a)
		return GNTST_no_space;
	if (!a->readers && !a->writers)
		rc = active_begin(owner, a, user, write);
	else if (a->user != user)
		rc = GNTST_general_error;
	else if (write && !a->writers)
		rc = entry_take(entry_of(g, ref), user, write);
	if (rc)
		return rc;
	if (write)
		a->writers++;
	else
		a->readers++;
	*out = a;
	return GNTST_okay;
}

void grant_release(struct domain *owner, struct grant_active *a, bool write)
{
	struct grant_entry_v1 *e = entry_of(owner->grants, a->ref);

	ASSERT(write ? a->writers : a->readers);
	if (write)
		a->writers--;
	else
		a->readers--;
	if (a->readers || a->writers) {
		if (write && !a->writers)
			entry_clear(e, GTF_writing);
		return;
	}
	mm_unpin(&owner->space, a->gfn);
	entry_clear(e, IN_USE); /* last: from here on the owner may use the page for other things */
}

struct domain *grant_owner(domid_t id)
{
	struct domain *owner = domain_find(id);

	return owner && !owner->dying && owner->grants ? owner : NULL;
}
