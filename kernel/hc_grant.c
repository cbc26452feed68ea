/* SPDX-License-Identifier: MIT */
/*
 * grant_table_op: a command and a list of operations. Each is copied in, its place
 * for the answer reserved, done, and answered; a few in one entry, then the call is
 * made again with what is left of the list.
 */
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include <xen/grant_table.h>

#define BATCH 16u

/* As gcc -m32 lays it out: xen_pfn_t and pointers are 4 bytes. */
struct gnttab_copy_32 {
	struct {
		uint32_t ref;
		uint16_t domid, offset;
	} source, dest;
	uint16_t len, flags;
	int16_t status;
};
struct gnttab_setup_table_32 {
	uint16_t dom;
	uint32_t nr_frames;
	int16_t status;
	uint32_t frame_list;
};

ASSERT_STATIC(sizeof(struct gnttab_copy_32) == 24);
ASSERT_STATIC(sizeof(struct gnttab_copy) == 40);
ASSERT_STATIC(sizeof(struct gnttab_setup_table_32) == 16);
ASSERT_STATIC(sizeof(struct gnttab_setup_table) == 24);
ASSERT_STATIC(sizeof(struct gnttab_map_grant_ref) == 32);
ASSERT_STATIC(sizeof(struct gnttab_unmap_grant_ref) == 24);
ASSERT_STATIC(sizeof(struct gnttab_query_size) == 16);

/* ---- lists ---- */

typedef int64_t grant_one(struct hypercall *h);

static int64_t hc_grant_map(struct hypercall *h)
{
	struct gnttab_map_grant_ref op;
	const uint64_t out_at = offsetof(struct gnttab_map_grant_ref, status);
	struct guest_buffer out;
	int64_t rc = hc_in(h, &op, 1, out_at);

	if (!rc)
		rc = hc_reserve(h, &out, 1, out_at, sizeof(op) - out_at);
	if (rc)
		return rc;
	op.status = grant_map(h->d, &op);
	guest_copy_out(&out, &op.status, sizeof(op) - out_at);
	return 0;
}

static int64_t hc_grant_unmap(struct hypercall *h)
{
	struct gnttab_unmap_grant_ref op;
	const uint64_t out_at = offsetof(struct gnttab_unmap_grant_ref, status);
	struct guest_buffer out;
	int64_t rc = hc_in(h, &op, 1, out_at);

	if (!rc)
		rc = hc_reserve(h, &out, 1, out_at, sizeof(op.status));
	if (rc)
		return rc;
	op.status = grant_unmap(h->d, &op);
	guest_copy_out(&out, &op.status, sizeof(op.status));
	return 0;
}

static struct grant_side wide_side(const struct gnttab_copy_ptr *p, bool by_ref)
{
	return (struct grant_side){by_ref, p->domid, by_ref ? p->u.ref : p->u.gmfn, p->offset};
}

static int64_t hc_grant_copy(struct hypercall *h)
{
	struct gnttab_copy w;
	struct gnttab_copy_32 n;
	const uint64_t out_at = h->wide ? offsetof(struct gnttab_copy, status)
	                                : offsetof(struct gnttab_copy_32, status);
	struct grant_side from, to;
	struct guest_buffer out;
	uint16_t flags;
	int16_t status;
	int64_t rc = hc_in(h, h->wide ? (void *)&w : (void *)&n, 1, out_at);

	if (!rc)
		rc = hc_reserve(h, &out, 1, out_at, sizeof(status));
	if (rc)
		return rc;
	flags = h->wide ? w.flags : n.flags;
	if (h->wide) {
		from = wide_side(&w.source, flags & GNTCOPY_source_gref);
		to = wide_side(&w.dest, flags & GNTCOPY_dest_gref);
	} else {
		from = (struct grant_side){flags & GNTCOPY_source_gref, n.source.domid,
		                           n.source.ref, n.source.offset};
		to = (struct grant_side){flags & GNTCOPY_dest_gref, n.dest.domid, n.dest.ref,
		                         n.dest.offset};
	}
	status = grant_copy(h->d, &from, &to, h->wide ? w.len : n.len);
	guest_copy_out(&out, &status, sizeof(status));
	return 0;
}

/* What is left of the list goes into the argument registers for the next entry. */
static int64_t hc_grant_list(struct hypercall *h, grant_one *one, uint32_t bytes)
{
	uint32_t left = (uint32_t)h->arg[2];

	for (unsigned i = 0; left; i++) {
		int64_t rc = i < BATCH ? one(h) : HC_AGAIN;

		guest_copy_unpin(&h->copy);
		if (rc == HC_AGAIN) {
			hc_set_arg(h, 1, h->arg[1]);
			return hc_continue(h, 2, left);
		}
		if (rc)
			return rc;
		h->arg[1] += bytes;
		left--;
	}
	return 0;
}

/* ---- the table ---- */

static int64_t hc_query_size(struct hypercall *h)
{
	struct gnttab_query_size q = {0};
	const uint64_t out_at = offsetof(struct gnttab_query_size, nr_frames);
	struct guest_buffer out;
	int64_t rc = hc_in(h, &q.dom, 1, sizeof(q.dom));

	if (!rc)
		rc = hc_reserve(h, &out, 1, out_at, sizeof(q) - out_at);
	if (rc)
		return rc;
	q.status = GNTST_permission_denied;
	if (q.dom == DOMID_SELF || q.dom == h->d->id) {
		q.nr_frames = grant_frames(h->d);
		q.max_nr_frames = GRANT_FRAMES;
		q.status = GNTST_okay;
	}
	guest_copy_out(&out, &q.nr_frames, sizeof(q) - out_at);
	return 0;
}

/* Frame numbers of the table's pages, as far as the guest has given them a place. */
static int64_t hc_setup_list(struct hypercall *h, uint64_t list, uint32_t n)
{
	uint64_t wide[GRANT_FRAMES];
	uint32_t narrow[GRANT_FRAMES];
	struct guest_buffer out;
	int64_t rc = guest_copy_reserve(&h->copy, &out, list, n * (h->wide ? 8u : 4u));

	if (rc)
		return rc;
	for (uint32_t i = 0; i < n; i++) {
		gfn_t gfn = GFN(UINT64_MAX);

		(void)grant_placed(h->d, i, &gfn);
		wide[i] = gfn.n;
		narrow[i] = (uint32_t)gfn.n;
	}
	guest_copy_out(&out, h->wide ? (void *)wide : (void *)narrow, n * (h->wide ? 8u : 4u));
	return 0;
}

static int64_t hc_setup_table(struct hypercall *h)
{
	struct gnttab_setup_table w = {0};
	struct gnttab_setup_table_32 n = {0};
	const uint64_t status_at = offsetof(struct gnttab_setup_table_32, status);
	struct guest_buffer out;
	int16_t status = GNTST_okay;
	/* What lies before status is alike; behind it are padding and the pointer. */
	int64_t rc =
	    hc_in(h, h->wide ? (void *)&w : (void *)&n, 1, h->wide ? sizeof(w) : sizeof(n));

	if (!rc)
		rc = hc_reserve(h, &out, 1, status_at, sizeof(status));
	if (rc)
		return rc;
	if (!h->wide) {
		w.dom = n.dom;
		w.nr_frames = n.nr_frames;
	}
	if (w.dom != DOMID_SELF && w.dom != h->d->id)
		status = GNTST_permission_denied;
	else if (w.nr_frames > GRANT_FRAMES || grant_grow(h->d, w.nr_frames) < w.nr_frames)
		status = GNTST_general_error;
	else
		rc = hc_setup_list(h, h->wide ? (uint64_t)(uintptr_t)w.frame_list.p : n.frame_list,
		                   w.nr_frames);
	if (!rc)
		guest_copy_out(&out, &status, sizeof(status));
	return rc;
}

/* Version 1 only, and it says so; Linux then stays with it. */
static int64_t hc_set_version(struct hypercall *h)
{
	struct guest_buffer out;
	uint32_t version;
	int64_t rc = hc_in(h, &version, 1, sizeof(version));

	if (!rc)
		rc = hc_reserve(h, &out, 1, 0, sizeof(version));
	if (rc)
		return rc;
	if (version != 1)
		rc = version == 2 ? -XEN_ENOSYS : -XEN_EINVAL;
	version = 1;
	guest_copy_out(&out, &version, sizeof(version));
	return rc;
}

static int64_t hc_get_version(struct hypercall *h)
{
	const uint64_t out_at = offsetof(struct gnttab_get_version, version);
	struct guest_buffer out;
	const uint32_t version = 1;
	uint16_t dom;
	int64_t rc = hc_in(h, &dom, 1, sizeof(dom));

	if (!rc && dom != DOMID_SELF && dom != h->d->id)
		rc = -XEN_EPERM;
	if (!rc)
		rc = hc_reserve(h, &out, 1, out_at, sizeof(version));
	if (!rc)
		guest_copy_out(&out, &version, sizeof(version));
	return rc;
}

int64_t hc_grant_table_op(struct hypercall *h)
{
	switch (h->arg[0]) {
	case GNTTABOP_map_grant_ref:
		return hc_grant_list(h, hc_grant_map, sizeof(struct gnttab_map_grant_ref));
	case GNTTABOP_unmap_grant_ref:
		return hc_grant_list(h, hc_grant_unmap, sizeof(struct gnttab_unmap_grant_ref));
	case GNTTABOP_copy:
		return hc_grant_list(h, hc_grant_copy,
		                     h->wide ? sizeof(struct gnttab_copy)
		                             : sizeof(struct gnttab_copy_32));
	}
	/* The others take one structure. */
	if ((uint32_t)h->arg[2] != 1)
		return -XEN_EINVAL;
	switch (h->arg[0]) {
	case GNTTABOP_setup_table:
		return hc_setup_table(h);
	case GNTTABOP_query_size:
		return hc_query_size(h);
	case GNTTABOP_set_version:
		return hc_set_version(h);
	case GNTTABOP_get_version:
		return hc_get_version(h);
	}
	return -XEN_ENOSYS;
}
