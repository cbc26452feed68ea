/* SPDX-License-Identifier: MIT */
/* The pages of a domain's grant table, and all that is kept of its grants. */
#include "kernel/grant_ref.h"
#include "kernel/string.h"

#define GRANTS_ORDER 1u

ASSERT_STATIC(sizeof(struct grants) <= PAGE_SIZE << GRANTS_ORDER);

struct grants *grants_of(struct domain *d)
{
	struct grants *g;
	mfn_t frame;

	if (d->grants)
		return d->grants;
	frame = frame_alloc(GRANTS_ORDER, FRAME_HYPERVISOR, d->id);
	if (!mfn_valid(frame))
		return NULL;
	g = env_frame(frame);
	memset(g, 0, sizeof(*g));
	g->frame = frame;
	d->grants = g;
	return g;
}

/* ---- the table ---- */

static unsigned grow_locked(struct domain *d, unsigned frames)
{
	struct grants *g = grants_of(d);

	if (!g)
		return 0;
	while (g->nr_frames < frames && g->nr_frames < GRANT_FRAMES) {
		mfn_t frame = frame_alloc(0, FRAME_SERVICE, d->id);

		if (!mfn_valid(frame))
			break;
		memset(env_frame(frame), 0, PAGE_SIZE);
		g->table[g->nr_frames].frame = frame;
		g->table[g->nr_frames].entry = env_frame(frame);
		g->nr_frames++;
	}
	return g->nr_frames;
}

unsigned grant_grow(struct domain *d, unsigned frames)
{
	unsigned n;

	domain_peers_lock();
	n = grow_locked(d, frames);
	domain_peers_unlock();
	return n;
}

unsigned grant_frames(const struct domain *d)
{
	return d->grants ? d->grants->nr_frames : 0;
}

static enum mm_status place_locked(struct domain *d, unsigned index, gfn_t gfn)
{
	struct grants *g;
	enum mm_status st;
	bool there;

	if (index >= GRANT_FRAMES || grow_locked(d, index + 1) <= index)
		return index >= GRANT_FRAMES ? MM_INVAL : MM_LIMIT;
	g = d->grants;
	index &= GRANT_FRAMES - 1;
	/* The guest may have put another page of ours in its place since. */
	there = g->table[index].placed &&
	        mfn_eq(p2m_lookup(&d->space, g->table[index].gfn).mfn, g->table[index].frame);
	if (there && gfn_eq(g->table[index].gfn, gfn))
		return MM_OK;
	/* Two leaves of one page would do no harm; one is what is expected. */
	if (there) {
		st = mm_unmap_service(&d->space, g->table[index].gfn);
		if (st != MM_OK)
			return st; /* pinned: it stays where it is */
	}
	st = mm_map_service(&d->space, gfn, g->table[index].frame);
	g->table[index].placed = st == MM_OK;
	g->table[index].gfn = gfn;
	return st;
}

enum mm_status grant_place(struct domain *d, unsigned index, gfn_t gfn)
{
	enum mm_status st;

	domain_peers_lock();
	st = place_locked(d, index, gfn);
	domain_peers_unlock();
	return st;
}

bool grant_placed(const struct domain *d, unsigned index, gfn_t *gfn)
{
	if (index >= grant_frames(d) || !d->grants->table[index & (GRANT_FRAMES - 1)].placed)
		return false;
	*gfn = d->grants->table[index & (GRANT_FRAMES - 1)].gfn;
	return true;
}

void grant_free(struct domain *d)
{
	struct grants *g = d->grants;

	if (!g)
		return;
	for (unsigned i = 0; i < GRANT_MAPS; i++)
		if (g->map[i].used) /* replaced: its leaf went with the space */
			frame_free(g->map[i].own, 0);
	for (unsigned i = 0; i < g->nr_frames; i++)
		frame_free(g->table[i].frame, 0);
	d->grants = NULL;
	frame_free(g->frame, GRANTS_ORDER);
}
