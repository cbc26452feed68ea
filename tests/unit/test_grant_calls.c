/* SPDX-License-Identifier: MIT */
/* grant_table_op as a guest makes it: structures, lists, the table's pages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/exit.h"
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include <xen/grant_table.h>

#define PAGES 1024u
#define ARGS  UINT64_C(0x8000)

static struct domain *d, *other;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 1);
	other = fake_domain(2, PAGES, 1);
	d->vcpus[0]->initialised = true;
	vcpu_start(d->vcpus[0]);
	return 0;
}

static int stop(void **state)
{
	struct audit_report r = mm_audit();

	(void)state;
	assert_string_equal(r.first, "");
	fake_domain_free(d);
	fake_domain_free(other);
	fake_stop();
	return 0;
}

static void put(uint64_t at, const void *src, uint64_t bytes)
{
	assert_int_equal(mm_write(&d->space, at, src, bytes), MM_OK);
}

static void get(uint64_t at, void *dst, uint64_t bytes)
{
	assert_int_equal(mm_read(&d->space, at, dst, bytes), MM_OK);
}

/* Until it is over; *entries: how often the guest made the call for that. */
static int64_t call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, unsigned *entries)
{
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};
	struct vcpu *v = d->vcpus[0];
	struct fake_vcpu *f = fake_of(&v->hv);
	uint64_t *gpr = v->hv.regs.gpr;

	gpr[RAX] = nr;
	gpr[RDI] = gpr[RBX] = a;
	gpr[RSI] = gpr[RCX] = b;
	gpr[RDX] = c;
	f->skips = 0;
	for (*entries = 0; !f->skips; ++*entries)
		exit_dispatch(v, &x);
	return (int64_t)gpr[RAX];
}

static int64_t op(uint64_t nr, uint64_t cmd, const void *args, uint64_t bytes)
{
	unsigned entries;

	put(ARGS, args, bytes);
	return call(nr, cmd, ARGS, 0, &entries);
}

static int64_t grant_op(unsigned cmd, const void *args, uint64_t bytes, unsigned n)
{
	unsigned entries;

	put(ARGS, args, bytes);
	return call(__HYPERVISOR_grant_table_op, cmd, ARGS, n, &entries);
}

/* Pages of the grant table are made when they are placed, as many as there may be. */
static void test_grant_table(void **state)
{
	struct xen_add_to_physmap a = {.domid = DOMID_SELF, .space = XENMAPSPACE_grant_table};
	struct gnttab_query_size q = {.dom = DOMID_SELF};
	struct gnttab_set_version version = {2};
	struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 2};
	uint64_t frames[2];

	(void)state;
	a.gpfn = PAGES + 5;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	a.gpfn = PAGES + 6; /* it moves */
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	assert_int_equal(p2m_lookup(&d->space, GFN(PAGES + 5)).type, P2M_BALLOONED);
	a.idx = 4;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)),
	                 -XEN_EINVAL);
	a.idx = UINT64_C(1) << 31; /* a status page of version 2 */
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)),
	                 -XEN_EINVAL);
	assert_int_equal(grant_op(GNTTABOP_query_size, &q, sizeof(q), 1), 0);
	get(ARGS, &q, sizeof(q));
	assert_int_equal(q.status, GNTST_okay);
	assert_int_equal(q.nr_frames, 1);
	assert_int_equal(q.max_nr_frames, 4);
	assert_int_equal(grant_op(GNTTABOP_set_version, &version, sizeof(version), 1), -XEN_ENOSYS);
	get(ARGS, &version, sizeof(version));
	assert_int_equal(version.version, 1);
	s.frame_list.p = (xen_pfn_t *)(ARGS + 0x100);
	assert_int_equal(grant_op(GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
	get(ARGS + 0x100, frames, sizeof(frames));
	assert_int_equal(frames[0], PAGES + 6);
	assert_true(frames[1] == UINT64_MAX); /* made, but nowhere yet */
	assert_int_equal(grant_op(GNTTABOP_query_size, &q, sizeof(q), 2), -XEN_EINVAL);
	assert_int_equal(grant_op(GNTTABOP_transfer, &q, sizeof(q), 1), -XEN_ENOSYS);
}

/* A list is done from its beginning to its end over as many entries as that takes; each
 * operation has an answer of its own, and the caller's registers tell what is left. */
static void test_grant_list(void **state)
{
	enum { N = 40 };
	struct gnttab_map_grant_ref m[N] = {0};
	unsigned entries;
	int64_t rc;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		m[i] = (struct gnttab_map_grant_ref){.flags = GNTMAP_host_map,
		                                     .ref = i,
		                                     .dom = (domid_t)(i & 1 ? 9 : 1),
		                                     .status = 77};
	put(ARGS, m, sizeof(m));
	rc = call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, ARGS, N, &entries);
	assert_int_equal(rc, 0);
	assert_int_equal(entries, 3);
	get(ARGS, m, sizeof(m));
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(m[i].status, GNTST_bad_domain);
}

/* One page, from the other's table to our memory and back, in both layouts of a copy. */
static void test_grant_copy_calls(void **state)
{
	struct gnttab_copy wide = {.flags = GNTCOPY_source_gref, .len = 8, .status = 1};
	const struct {
		uint32_t ref;
		uint16_t domid, offset;
		uint32_t gfn;
		uint16_t self, at, len, flags;
		int16_t status, pad;
	} narrow = {8, 2, 0, 6, DOMID_SELF, 16, 8, GNTCOPY_source_gref, 1, 0};
	const struct grant_entry_v1 e = {GTF_permit_access, 1, 3};
	uint64_t word = UINT64_C(0x1122334455667788), seen = 0;
	int16_t status = 1;

	(void)state;
	_Static_assert(sizeof(narrow) == 24, "gcc -m32");
	assert_int_equal(grant_place(other, 0, GFN(0xfe000)), MM_OK);
	assert_int_equal(
	    mm_write(&other->space, UINT64_C(0xfe000000) + 8 * sizeof(e), &e, sizeof(e)), MM_OK);
	assert_int_equal(mm_write(&other->space, 3 << PAGE_SHIFT, &word, sizeof(word)), MM_OK);
	wide.source.u.ref = 8;
	wide.source.domid = 2;
	wide.dest.u.gmfn = 5;
	wide.dest.domid = DOMID_SELF;
	assert_int_equal(grant_op(GNTTABOP_copy, &wide, sizeof(wide), 1), 0);
	get(ARGS + offsetof(struct gnttab_copy, status), &status, sizeof(status));
	assert_int_equal(status, GNTST_okay);
	get(5 << PAGE_SHIFT, &seen, sizeof(seen));
	assert_true(seen == word);
	fake_of(&d->vcpus[0]->hv)->mode = 0; /* a 32-bit caller */
	assert_int_equal(grant_op(GNTTABOP_copy, &narrow, sizeof(narrow), 1), 0);
	get(ARGS + 20, &status, sizeof(status));
	assert_int_equal(status, GNTST_okay);
	get((6 << PAGE_SHIFT) + 16, &seen, sizeof(seen));
	assert_true(seen == word);
}

/* The same the other way round: the source is a page of ours, the destination a grant. */
static void test_grant_copy_out(void **state)
{
	const struct {
		uint32_t gfn;
		uint16_t self, at;
		uint32_t ref;
		uint16_t domid, offset, len, flags;
		int16_t status, pad;
	} narrow = {6, DOMID_SELF, 16, 8, 2, 0, 8, GNTCOPY_dest_gref, 1, 0};
	const struct grant_entry_v1 e = {GTF_permit_access, 1, 3};
	uint64_t word = UINT64_C(0x1122334455667788), seen = 0;
	int16_t status = 1;

	(void)state;
	assert_int_equal(grant_place(other, 0, GFN(0xfe000)), MM_OK);
	assert_int_equal(
	    mm_write(&other->space, UINT64_C(0xfe000000) + 8 * sizeof(e), &e, sizeof(e)), MM_OK);
	put((6 << PAGE_SHIFT) + 16, &word, sizeof(word));
	fake_of(&d->vcpus[0]->hv)->mode = 0; /* a 32-bit caller */
	assert_int_equal(grant_op(GNTTABOP_copy, &narrow, sizeof(narrow), 1), 0);
	get(ARGS + 20, &status, sizeof(status));
	assert_int_equal(status, GNTST_okay);
	assert_int_equal(mm_read(&other->space, 3 << PAGE_SHIFT, &seen, sizeof(seen)), MM_OK);
	assert_true(seen == word);
}

/* A domain is told of its own table only. */
static void test_grant_strangers(void **state)
{
	struct gnttab_query_size q = {.dom = 2};
	struct gnttab_setup_table s = {.dom = 2, .nr_frames = 1};
	struct gnttab_get_version version = {.dom = 2};

	(void)state;
	assert_int_equal(grant_op(GNTTABOP_query_size, &q, sizeof(q), 1), 0);
	get(ARGS, &q, sizeof(q));
	assert_int_equal(q.status, GNTST_permission_denied);
	assert_int_equal(grant_op(GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
	get(ARGS, &s, sizeof(s));
	assert_int_equal(s.status, GNTST_permission_denied);
	assert_int_equal(grant_op(GNTTABOP_get_version, &version, sizeof(version), 1), -XEN_EPERM);
	version.dom = DOMID_SELF;
	assert_int_equal(grant_op(GNTTABOP_get_version, &version, sizeof(version), 1), 0);
	get(ARGS, &version, sizeof(version));
	assert_int_equal(version.version, 1);
	version.dom = 1;
	assert_int_equal(grant_op(GNTTABOP_get_version, &version, sizeof(version), 1), 0);
}

/* The table is made whole or not at all; and a 32-bit caller's list has words of 32 bits. */
static void test_grant_setup(void **state)
{
	struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 5};
	const uint32_t narrow[] = {DOMID_SELF, 2, 0,
	                           ARGS + 0x100}; /* domain, frames, status, list */
	const uint64_t none = 0;
	uint32_t list[2];

	(void)state;
	s.frame_list.p = (xen_pfn_t *)(ARGS + 0x100);
	put(ARGS + 0x100, &none, sizeof(none));
	assert_int_equal(grant_op(GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
	get(ARGS, &s, sizeof(s));
	assert_int_equal(s.status, GNTST_general_error);
	s.nr_frames = 4;
	host_fail_alloc(1);
	assert_int_equal(grant_op(GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
	get(ARGS, &s, sizeof(s));
	assert_int_equal(s.status, GNTST_general_error);
	fake_of(&d->vcpus[0]->hv)->mode = 0;
	assert_int_equal(grant_op(GNTTABOP_setup_table, narrow, sizeof(narrow), 1), 0);
	get(ARGS + 0x100, list, sizeof(list));
	assert_true(list[0] == UINT32_MAX && list[1] == UINT32_MAX); /* made, but nowhere yet */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {T(test_grant_table),      T(test_grant_list),
	                                   T(test_grant_copy_calls), T(test_grant_copy_out),
	                                   T(test_grant_strangers),  T(test_grant_setup)};

	return cmocka_run_group_tests_name("grant_calls", tests, NULL, NULL);
}
