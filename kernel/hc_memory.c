/* SPDX-License-Identifier: MIT */
/*
 * memory_op: the balloon, the memory map, the place of shared_info.
 *
 * The balloon works on a list of extents in guest memory. One entry looks at
 * BATCH of them; then the call is made again with the number of extents done in
 * the upper bits of its command, as Xen does it (MEMOP_EXTENT_SHIFT). So it is, earlier, after an extent
 * of 2 MiB that goes page by page. Any
 * trouble ends the call with the number done so far; if that is want of memory, and a dying domain
 * has some, the call is made again for as long as it has.
 */
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "arch/x86_64/guest/pvh.h"

#define EXTENT_SHIFT 6
#define CMD_MASK     ((1u << EXTENT_SHIFT) - 1)
#define GFN_4GIB     (UINT64_C(1) << (32 - PAGE_SHIFT))
#define BATCH        128u /* extents of one page */
#define BATCH_OUT    64u  /* large leaves: each is a few thousand instructions */
#define BATCH_IN     4u   /* likewise: zeroing each takes a while */

static bool hc_domid_self(const struct hypercall *h, uint16_t domid)
{
	return domid == DOMID_SELF || domid == h->d->id;
}

/* ---- the balloon ---- */

static int64_t hc_reservation_in(struct hypercall *h, struct xen_memory_reservation *r,
                                 uint64_t *list)
{
	struct memory_reservation_32 n;
	int64_t rc;

	if (h->wide) {
		rc = hc_in(h, r, 1, sizeof(*r));
		*list = (uint64_t)(uintptr_t)r->extent_start.p;
		return rc;
	}
	rc = hc_in(h, &n, 1, sizeof(n));
	if (rc)
		return rc;
	*list = n.extent_start;
	r->nr_extents = n.nr_extents;
	r->extent_order = n.extent_order;
	r->domid = n.domid;
	return 0;
}

/* Extents start .. start + n - 1 of the list; returns how many of them make sense. */
static int64_t hc_extents_in(struct hypercall *h, gfn_t *gfns, uint64_t list, uint64_t start,
                             uint64_t n, unsigned order)
{
	uint64_t wide[BATCH];
	uint32_t narrow[BATCH];
	uint64_t bytes = h->wide ? 8 : 4, i;
	int64_t rc = guest_copy_in(&h->copy, h->wide ? (void *)wide : (void *)narrow,
	                           list + start * bytes, n * bytes);

	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		gfns[i] = GFN(h->wide ? wide[i] : narrow[i]);
		if (gfns[i].n >= GFN_LIMIT - LARGE_PAGES || (gfns[i].n & ((1u << order) - 1)))
			break;
	}
	return (int64_t)i;
}

/* How many extents one entry looks at; then guests and interrupts have their turn. */
static uint64_t hc_batch(unsigned cmd, unsigned order)
{
	if (!order)
		return BATCH;
	return cmd == XENMEM_decrease_reservation ? BATCH_OUT : BATCH_IN;
}

static int64_t hc_balloon(struct hypercall *h, unsigned cmd, uint64_t start)
{
	struct xen_memory_reservation r;
	gfn_t gfns[BATCH];
	uint64_t list, n, done;
	bool again = false;
	int64_t good = hc_reservation_in(h, &r, &list);

	if (good == HC_AGAIN)
		return good;
	if (good || r.nr_extents > (h->wide ? UINT64_MAX : UINT32_MAX) >> EXTENT_SHIFT ||
	    start >= r.nr_extents || !hc_domid_self(h, r.domid))
		return (int64_t)start;
	if (r.extent_order != 0 && r.extent_order != LARGE_ORDER)
		return (int64_t)start;
	n = min_u64(r.nr_extents - start, hc_batch(cmd, r.extent_order));
	good = hc_extents_in(h, gfns, list, start, n, r.extent_order);
	if (good == HC_AGAIN)
		return good;
	if (good < 0)
		return (int64_t)start;
	if (cmd == XENMEM_decrease_reservation)
		done = balloon_out_part(&h->d->space, gfns, (uint64_t)good, r.extent_order, &again);
	else
		done = balloon_in_part(&h->d->space, gfns, (uint64_t)good, r.extent_order, &again);
	if (again || (done && cmd == XENMEM_decrease_reservation))
		vcpu_wake_memory_waiters(); /* something is free now, for who was here first */
	if (done)
		__atomic_store_n(&h->d->balloon_ns, machine_ns(), __ATOMIC_RELAXED);
	start += done;
	if (!again && (done < n || start == r.nr_extents))
		return (int64_t)start;
	return hc_continue(h, 0, cmd | start << EXTENT_SHIFT);
}

/* ---- where memory is ---- */

/* As start info has it, in the form of an E820 entry. */
static unsigned hc_e820(const struct space *s, struct e820_entry map[PVH_MAP_MAX])
{
	struct pvh_range range[PVH_MAP_MAX];
	unsigned n = pvh_memory_map(s->low_pages, s->high_first, s->high_pages, range);

	for (unsigned i = 0; i < n; i++)
		map[i] = (struct e820_entry){range[i].base, range[i].bytes, range[i].type};
	return n;
}

static int64_t hc_memory_map(struct hypercall *h)
{
	struct e820_entry map[PVH_MAP_MAX];
	uint32_t n = hc_e820(&h->d->space, map);
	struct xen_memory_map wide = {0};
	struct memory_map_32 narrow = {0};
	struct guest_buffer count, entries;
	uint64_t list;
	uint32_t room;
	int64_t rc = h->wide ? hc_in(h, &wide, 1, sizeof(wide)) : hc_in(h, &narrow, 1, 8);

	if (rc)
		return rc;
	room = h->wide ? wide.nr_entries : narrow.nr_entries;
	list = h->wide ? (uint64_t)(uintptr_t)wide.buffer.p : narrow.buffer;
	n = n < room ? n : room;
	rc = hc_reserve(h, &count, 1, 0, sizeof(uint32_t));
	if (!rc)
		rc = guest_copy_reserve(&h->copy, &entries, list, n * sizeof(map[0]));
	if (rc)
		return rc;
	guest_copy_out(&entries, map, n * sizeof(map[0]));
	guest_copy_out(&count, &n, sizeof(n));
	return 0;
}

/* The only page of ours that a guest places: shared_info. It has one place at a time. */
static int64_t hc_place_shared_info(struct hypercall *h, gfn_t to)
{
	struct domain *d = h->d;
	gfn_t from = d->shared_info_gfn;
	/* The guest may have put a page of grants in its place since. */
	bool there =
	    d->shared_info_mapped && mfn_eq(p2m_lookup(&d->space, from).mfn, d->shared_info_frame);
	enum mm_status st;

	if (there && gfn_eq(from, to))
		return 0;
	if (there && mm_unmap_service(&d->space, from) != MM_OK)
		return -XEN_EBUSY;
	st = mm_map_service(&d->space, to, d->shared_info_frame);
	if (st == MM_OK) {
		d->shared_info_gfn = to;
		d->shared_info_mapped = true;
	} else {
		/* The hole that it left is still there, and needs no memory. */
		d->shared_info_mapped =
		    there && mm_map_service(&d->space, from, d->shared_info_frame) == MM_OK;
	}
	return hc_error(h, st);
}

/* Pages of ours go below 4 GiB or next to RAM: page tables for more were never funded. */
static uint64_t hc_gfn_end(const struct space *s)
{
	return max_u64(GFN_4GIB, s->high_pages ? s->high_first + s->high_pages : 0) + LARGE_PAGES;
}

static int64_t hc_add_to_physmap(struct hypercall *h)
{
	struct xen_add_to_physmap a = {0};
	struct add_to_physmap_32 n = {0};
	int64_t rc = h->wide ? hc_in(h, &a, 1, sizeof(a)) : hc_in(h, &n, 1, sizeof(n));

	if (rc)
		return rc;
	if (!h->wide)
		a = (struct xen_add_to_physmap){n.domid, n.size, n.space, n.idx, n.gpfn};
	if (!hc_domid_self(h, a.domid))
		return -XEN_EPERM;
	if (a.space != XENMAPSPACE_shared_info && a.space != XENMAPSPACE_grant_table)
		return -XEN_ENOSYS;
	if (a.gpfn >= hc_gfn_end(&h->d->space))
		return -XEN_EINVAL;
	if (a.space == XENMAPSPACE_grant_table)
		return a.idx < GRANT_FRAMES
		           ? hc_error(h, grant_place(h->d, (unsigned)a.idx, GFN(a.gpfn)))
		           : -XEN_EINVAL;
	if (a.idx != 0)
		return -XEN_EINVAL;
	spin_lock(&h->d->shape_lock);
	rc = hc_place_shared_info(h, GFN(a.gpfn));
	spin_unlock(&h->d->shape_lock);
	return rc;
}

/* current_reservation, maximum_reservation, maximum_gpfn: of DOMID_SELF. */
static int64_t hc_reservation_of(struct hypercall *h, unsigned cmd)
{
	const struct space *s = &h->d->space;
	uint16_t domid;
	int64_t rc = hc_in(h, &domid, 1, sizeof(domid));

	if (rc)
		return rc;
	if (!hc_domid_self(h, domid))
		return -XEN_EPERM;
	if (cmd == XENMEM_current_reservation)
		return (int64_t)s->memory_pages;
	if (cmd == XENMEM_maximum_reservation)
		return (int64_t)s->max_pages;
	return (int64_t)(s->high_pages ? s->high_first + s->high_pages : s->low_pages) - 1;
}

int64_t hc_memory_op(struct hypercall *h)
{
	unsigned cmd = h->arg[0] & CMD_MASK;
	uint64_t start = h->arg[0] >> EXTENT_SHIFT;

	switch (cmd) {
	case XENMEM_decrease_reservation:
	case XENMEM_populate_physmap:
		return hc_balloon(h, cmd, start);
	case XENMEM_add_to_physmap:
		return hc_add_to_physmap(h);
	case XENMEM_memory_map:
		return hc_memory_map(h);
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
	case XENMEM_maximum_gpfn:
		return hc_reservation_of(h, cmd);
	}
	return -XEN_ENOSYS;
}
