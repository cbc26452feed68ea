/* SPDX-License-Identifier: MIT */
/* Copies by grant: what blkfront and netback do instead of mapping. No leaf changes. */
#include "kernel/grant_ref.h"

#define COPY_CHUNK 256u

/* A side of a copy, resolved: which space, where, and what is held for it. */
struct copy_side {
	struct domain *domain;
	uint64_t gpa;
	struct grant_active *active;
};

static int16_t side_begin(struct domain *d, const struct grant_side *s, bool write,
                          struct copy_side *out)
{
	int16_t rc;

	*out = (struct copy_side){.domain = d};
	if (!s->by_ref) {
		if (s->domid != DOMID_SELF && s->domid != d->id)
			return GNTST_permission_denied;
		if (s->ref_or_gfn >= GFN_LIMIT)
			return GNTST_bad_page;
		out->gpa = gfn_to_addr(GFN(s->ref_or_gfn)) + s->offset;
		return GNTST_okay;
	}
	out->domain = grant_owner(s->domid);
	if (!out->domain)
		return GNTST_bad_domain;
	rc = grant_acquire(out->domain, (uint32_t)s->ref_or_gfn, d->id, write, &out->active);
	if (!rc)
		out->gpa = gfn_to_addr(out->active->gfn) + s->offset;
	return rc;
}

static void side_end(const struct copy_side *s, bool write)
{
	if (s->active)
		grant_release(s->domain, s->active, write);
}

static int16_t copy_bytes(const struct copy_side *from, const struct copy_side *to, uint16_t bytes)
{
	uint8_t chunk[COPY_CHUNK];
	enum mm_status st = MM_OK;

	for (uint64_t at = 0, n; at < bytes && st == MM_OK; at += n) {
		n = min_u64(bytes - at, sizeof(chunk));
		st = mm_read(&from->domain->space, from->gpa + at, chunk, n);
		if (st == MM_OK)
			st = mm_write(&to->domain->space, to->gpa + at, chunk, n);
	}
	return st == MM_OK ? GNTST_okay : st == MM_NOMEM ? GNTST_eagain : GNTST_bad_page;
}

static int16_t copy_locked(struct domain *d, const struct grant_side *from,
                           const struct grant_side *to, uint16_t bytes)
{
	struct copy_side source, dest;
	int16_t rc = side_begin(d, from, false, &source);

	if (rc)
		return rc;
	rc = side_begin(d, to, true, &dest);
	if (!rc) {
		rc = copy_bytes(&source, &dest, bytes);
		side_end(&dest, true);
	}
	side_end(&source, false);
	return rc;
}

int16_t grant_copy(struct domain *d, const struct grant_side *from, const struct grant_side *to,
                   uint16_t bytes)
{
	int16_t rc;

	if (from->offset + bytes > PAGE_SIZE || to->offset + bytes > PAGE_SIZE)
		return GNTST_bad_copy_arg;
	domain_peers_lock();
	rc = copy_locked(d, from, to, bytes);
	domain_peers_unlock();
	return rc;
}
