/* SPDX-License-Identifier: MIT */
/* memory_op: what it does with each of its arguments, at their limits; see test_hc_args.c. */
#include "tests/unit/hc_test.h"

static int64_t reservation(unsigned cmd, domid_t domid)
{
	return op(__HYPERVISOR_memory_op, cmd, &domid, sizeof(domid));
}

static void reservations(void **state)
{
	struct space *s = &d->space;

	(void)state;
	assert_int_equal(reservation(XENMEM_current_reservation, DOMID_SELF), PAGES);
	assert_int_equal(reservation(XENMEM_maximum_reservation, d->id), PAGES);
	assert_int_equal(reservation(XENMEM_maximum_gpfn, DOMID_SELF), PAGES - 1);
	assert_int_equal(reservation(XENMEM_current_reservation, 2), -XEN_EPERM);
	assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, RAM_BYTES, 0),
	                 -XEN_EFAULT);
	/* With memory above 4 GiB the highest frame is there. */
	s->high_pages = 3;
	assert_int_equal(reservation(XENMEM_maximum_gpfn, DOMID_SELF), s->high_first + 2);
	s->high_pages = 0;
}

static int64_t place(domid_t domid, unsigned space, uint64_t idx, uint64_t gpfn)
{
	const struct xen_add_to_physmap a = {
	    .domid = domid, .space = space, .idx = idx, .gpfn = gpfn};

	return op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a));
}

static void place_shared_info(void **state)
{
	const uint64_t end = (UINT64_C(1) << 20) + LARGE_PAGES; /* a little above 4 GiB */
	const unsigned nr = XENMAPSPACE_shared_info;
	void *page;

	(void)state;
	assert_int_equal(place(DOMID_SELF, nr, 1, 9), -XEN_EINVAL);
	assert_int_equal(place(DOMID_SELF, nr, 0, end), -XEN_EINVAL);
	assert_false(d->shared_info_mapped);
	assert_int_equal(place(d->id, nr, 0, 9), 0);
	assert_int_equal(place(d->id, nr, 0, 9), 0); /* where it is already */
	assert_int_equal(d->space.stats.foreign, 1);
	/* A page that is in use by the hypervisor is not to be had: it stays where it was. */
	assert_int_equal(mm_pin(&d->space, GFN(20), &page), MM_OK);
	assert_int_equal(place(DOMID_SELF, nr, 0, 20), -XEN_EBUSY);
	assert_true(d->shared_info_mapped);
	assert_int_equal(d->shared_info_gfn.n, 9);
	assert_int_equal(p2m_lookup(&d->space, GFN(9)).type, P2M_FOREIGN);
	mm_unpin(&d->space, GFN(20));
	assert_int_equal(place(DOMID_SELF, nr, 0, end - 1), 0);
	assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, RAM_BYTES, 0),
	                 -XEN_EFAULT);
}

static mfn_t at(uint64_t gfn)
{
	return p2m_lookup(&d->space, GFN(gfn)).mfn;
}

/* A guest that puts one page of ours where another one is, and back, gets what it asked for. */
static void places_in_turn(void **state)
{
	mfn_t grants;

	(void)state;
	assert_int_equal(place(DOMID_SELF, XENMAPSPACE_shared_info, 0, 9), 0);
	for (unsigned lap = 0; lap < 2; lap++) {
		assert_int_equal(place(DOMID_SELF, XENMAPSPACE_grant_table, 0, 9), 0);
		grants = at(9);
		assert_false(mfn_eq(grants, d->shared_info_frame));
		assert_int_equal(place(DOMID_SELF, XENMAPSPACE_shared_info, 0, 9), 0);
		assert_true(mfn_eq(at(9), d->shared_info_frame));
	}
	/* One that has lost its place takes no other page of ours away when it gets a new one. */
	assert_int_equal(place(DOMID_SELF, XENMAPSPACE_grant_table, 0, 10), 0);
	assert_int_equal(place(DOMID_SELF, XENMAPSPACE_grant_table, 0, 9), 0);
	assert_int_equal(place(DOMID_SELF, XENMAPSPACE_shared_info, 0, 10), 0);
	assert_true(mfn_eq(at(9), grants) && mfn_eq(at(10), d->shared_info_frame));
	assert_int_equal(d->space.stats.foreign, 2);
}

static void narrow_place(void **state)
{
	const struct add_to_physmap_32 a = {
	    .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = 11};

	(void)state;
	f->mode = 0;
	put(ARGS, &a, sizeof(a));
	v->hv.regs.gpr[RBX] = XENMEM_add_to_physmap;
	v->hv.regs.gpr[RCX] = ARGS;
	spoil = true;
	assert_int_equal(enter(__HYPERVISOR_memory_op), 0);
	assert_int_equal(d->shared_info_gfn.n, 11);
}

static void narrow_map(void **state)
{
	const struct memory_map_32 m = {.nr_entries = 50, .buffer = LIST};
	struct memory_map_32 answer;
	struct e820_entry e;

	(void)state;
	f->mode = 0;
	put(ARGS, &m, sizeof(m));
	v->hv.regs.gpr[RBX] = XENMEM_memory_map;
	v->hv.regs.gpr[RCX] = ARGS;
	assert_int_equal(enter(__HYPERVISOR_memory_op), 0);
	get(ARGS, &answer, sizeof(answer));
	assert_true(answer.nr_entries > 0 && answer.nr_entries < 50);
	assert_int_equal(answer.buffer, LIST);
	get(LIST, &e, sizeof(e));
	assert_int_equal(e.bytes, RAM_BYTES);
}

/* Extents beyond what a frame number may be, and what is behind them, are left alone. */
static void extents(void **state)
{
	struct xen_memory_reservation r = {.nr_extents = 3, .domid = DOMID_SELF};
	uint64_t gfn[3] = {100, 101, 102};

	(void)state;
	r.extent_start.p = (xen_pfn_t *)LIST;
	put(LIST, gfn, sizeof(gfn));
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, sizeof(r)), 3);
	gfn[1] = GFN_LIMIT - LARGE_PAGES;
	put(LIST, gfn, sizeof(gfn));
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, sizeof(r)), 1);
	assert_int_equal(p2m_lookup(&d->space, GFN(gfn[1])).type, P2M_NONE);
	r.domid = 2;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, sizeof(r)), 0);
	r.domid = DOMID_SELF;
	r.extent_start.p = (xen_pfn_t *)(RAM_BYTES - 8);
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, sizeof(r)), 0);
	assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, RAM_BYTES, 0), 0);
	assert_int_equal(d->space.memory_pages, PAGES - 2);
}

/* The machine is full; a domain that dies gives back what the call wants, a little with each entry. */
static void from_a_dying_one(void **state)
{
	struct xen_memory_reservation r = {.nr_extents = 300, .domid = DOMID_SELF};
	struct domain *full = fake_domain(2, 20000, 1);
	uint64_t gfn[300], n = 0, entries = 0, held;
	int64_t rc;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(gfn); i++)
		gfn[i] = 100 + i;
	r.extent_start.p = (xen_pfn_t *)LIST;
	put(LIST, gfn, sizeof(gfn));
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, sizeof(r)),
	                 300);
	while (mm_fault(&full->space, GFN(n), FAULT_WRITE) == VERDICT_RESUME)
		n++;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, sizeof(r)), 0);
	assert_false(space_destroy_step(&full->space, 0));
	set_args(XENMEM_populate_physmap, ARGS, 0);
	do {
		held = full->space.stats.private_pages;
		rc = enter(__HYPERVISOR_memory_op);
		assert_in_range(held - full->space.stats.private_pages, 0, 64);
		entries++;
	} while (rc == HC_AGAIN);
	assert_int_equal(rc, 300);
	assert_in_range(entries, 300 / 64, 300 / 64 + 4);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	fake_domain_free(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(reservations), T(place_shared_info), T(places_in_turn),   T(narrow_place),
	    T(narrow_map),   T(extents),           T(from_a_dying_one),
	};

	return cmocka_run_group_tests_name("hc_memory", tests, NULL, NULL);
}
