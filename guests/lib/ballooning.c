/* SPDX-License-Identifier: MIT */
#include "guests/lib/ballooning.h"
#include "guests/lib/hypercall.h"

static long reservation_op(unsigned op, const uint64_t *gfns, uint64_t n, unsigned order)
{
	struct xen_memory_reservation r = {
	    .nr_extents = n,
	    .extent_order = order,
	    .domid = DOMID_SELF,
	};

	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)gfns);
	return hypercall_memory(op, &r);
}

long balloon_out(const uint64_t *gfns, uint64_t n, unsigned order)
{
	return reservation_op(XENMEM_decrease_reservation, gfns, n, order);
}

long balloon_in(const uint64_t *gfns, uint64_t n, unsigned order)
{
	return reservation_op(XENMEM_populate_physmap, gfns, n, order);
}

static uint64_t run(unsigned op, uint64_t gfn, uint64_t pages)
{
	static uint64_t batch[BALLOON_BATCH];
	uint64_t done = 0;

	while (done < pages) {
		uint64_t n = pages - done < BALLOON_BATCH ? pages - done : BALLOON_BATCH;
		long ret;

		for (uint64_t i = 0; i < n; i++)
			batch[i] = gfn + done + i;
		ret = reservation_op(op, batch, n, 0);
		if (ret > 0)
			done += (uint64_t)ret;
		if (ret != (long)n)
			break;
	}
	return done;
}

uint64_t balloon_run_out(uint64_t gfn, uint64_t pages)
{
	return run(XENMEM_decrease_reservation, gfn, pages);
}

uint64_t balloon_run_in(uint64_t gfn, uint64_t pages)
{
	return run(XENMEM_populate_physmap, gfn, pages);
}

long balloon_reservation(void)
{
	domid_t self = DOMID_SELF;

	return hypercall_memory(XENMEM_current_reservation, &self);
}

long balloon_maximum(void)
{
	domid_t self = DOMID_SELF;

	return hypercall_memory(XENMEM_maximum_reservation, &self);
}
