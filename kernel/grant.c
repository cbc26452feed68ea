/* SPDX-License-Identifier: MIT */
/*
 * Grants. A domain writes into its table, a page that it shares with us: "domain D may use my
 * page G", perhaps read-only. D then maps that page, or copies to or from it.
 *
 *	owner's table		what we keep of the owner	what we keep of the user
 *	entry[ref]: D, G	active[]: ref in use,		map[]: handle ->
 *	  + in use (by us)	  G pinned, how often		  owner, ref, where
 *
 * The table lies in guest memory and may change at any moment. So "may use" and "is in
 * use" are one word, which is read and changed by compare-and-exchange: either the owner
 * sees that its page is in use before it takes the grant back, or we see that it has
 * taken it back. The frame number is read once, after that, and what we pinned is
 * what counts from then on, whatever the table says.
 *
 * Nothing here can hold a domain up. When the owner dies, each page that it lent is
 * replaced by a copy, made of a frame that the user has provided at the time of mapping
 * (mm/granted.c). When the user dies, what it has mapped goes back. In any order.
 *
 * Every function holds the peer lock, so no domain goes away meanwhile.
 */
#include "kernel/grant_ref.h"

static struct grant_map *map_slot(struct grants *g)
{
	for (unsigned i = 0; i < GRANT_MAPS; i++)
		if (!g->map[i].used)
			return &g->map[i];
	return NULL;
}

static int16_t map_into(struct domain *d, struct domain *owner, struct grant_map *m)
{
	struct grant_active *a;
	int16_t rc = grant_acquire(owner, m->ref, d->id, m->writable, &a);

	if (rc)
		return rc;
	m->mfn = a->mfn;
	switch (mm_map_granted(&d->space, m->gfn, m->mfn, m->writable)) {
	case MM_OK:
		return GNTST_okay;
	case MM_LIMIT:
		rc = GNTST_no_space;
		break;
	default:
		rc = GNTST_bad_virt_addr;
	}
	grant_release(owner, a, m->writable);
	return rc;
}

static int16_t map_locked(struct domain *d, struct gnttab_map_grant_ref *op)
{
	struct domain *owner = grant_owner(op->dom);
	struct grants *g = grants_of(d);
	struct grant_map *m = g ? map_slot(g) : NULL;
	int16_t rc;

	if (!owner || owner == d)
		return GNTST_bad_domain;
	if (!m || d->dying)
		return GNTST_no_space;
	*m = (struct grant_map){.used = true,
	                        .writable = !(op->flags & GNTMAP_readonly),
	                        .owner = op->dom,
	                        .ref = op->ref,
	                        .gfn = gfn_of_addr(op->host_addr)};
	m->own = frame_alloc(0, FRAME_SERVICE, d->id);
	rc = mfn_valid(m->own) ? map_into(d, owner, m) : GNTST_no_space;
	if (rc && mfn_valid(m->own))
		frame_free(m->own, 0);
	if (rc)
		m->used = false;
	else
		op->handle = (uint32_t)(m - g->map);
	return rc;
}

int16_t grant_map(struct domain *d, struct gnttab_map_grant_ref *op)
{
	const uint32_t known = GNTMAP_host_map | GNTMAP_readonly | GNTMAP_guest_avail_mask;
	int16_t rc;

	op->handle = UINT32_MAX;
	op->dev_bus_addr = 0;
	if (!(op->flags & GNTMAP_host_map) || (op->flags & ~known))
		return GNTST_general_error;
	if (op->host_addr & ~PAGE_MASK)
		return GNTST_bad_virt_addr;
	domain_peers_lock();
	rc = map_locked(d, op);
	domain_peers_unlock();
	return rc;
}

/* The page goes back to its owner, which lives: one that dies replaces what it lent. */
static void map_give_back(struct domain *d, struct grant_map *m)
{
	struct domain *owner = domain_find(m->owner);

	ASSERT(owner && owner->grants);
	mm_unmap_granted(&d->space, m->gfn, m->mfn);
	grant_release(owner, grant_active_of(owner->grants, m->ref), m->writable);
}

static int16_t unmap_locked(struct domain *d, const struct gnttab_unmap_grant_ref *op)
{
	struct grant_map *m;

	if (!d->grants || op->handle >= GRANT_MAPS)
		return GNTST_bad_handle;
	m = &d->grants->map[op->handle & (GRANT_MAPS - 1)];
	if (!m->used)
		return GNTST_bad_handle;
	if (op->host_addr != gfn_to_addr(m->gfn))
		return GNTST_bad_virt_addr;
	if (!m->replaced)
		map_give_back(d, m);
	else if (mm_unmap_service(&d->space, m->gfn) == MM_PINNED)
		return GNTST_general_error;
	frame_free(m->own, 0);
	m->used = false;
	return GNTST_okay;
}

int16_t grant_unmap(struct domain *d, const struct gnttab_unmap_grant_ref *op)
{
	int16_t rc;

	domain_peers_lock();
	rc = unmap_locked(d, op);
	domain_peers_unlock();
	return rc;
}

/* ---- the end ---- */

/* Every page of d that `user` has mapped becomes user's own. */
static void lent_end(struct domain *user, void *arg)
{
	struct domain *d = arg;

	for (unsigned i = 0; user->grants && i < GRANT_MAPS; i++) {
		struct grant_map *m = &user->grants->map[i];

		if (!m->used || m->replaced || m->owner != d->id)
			continue;
		mm_replace_granted(&user->space, m->gfn, m->mfn, m->own);
		m->replaced = true;
		grant_release(d, grant_active_of(d->grants, m->ref), m->writable);
	}
}

void grant_end(struct domain *d)
{
	if (!d->grants)
		return;
	domain_peers_lock();
	for (unsigned i = 0; i < GRANT_MAPS; i++) {
		struct grant_map *m = &d->grants->map[i];

		if (!m->used || m->replaced)
			continue;
		map_give_back(d, m);
		frame_free(m->own, 0);
		m->used = false;
	}
	domain_each(lent_end, d);
	for (unsigned i = 0; i < GRANT_ACTIVE; i++)
		ASSERT(!d->grants->active[i].readers && !d->grants->active[i].writers);
	domain_peers_unlock();
}
