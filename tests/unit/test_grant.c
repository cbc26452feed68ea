/* SPDX-License-Identifier: MIT */
/*
 * Grants between two domains: what each may do with the page, what the owner's table says
 * meanwhile, and that the end of either one, in any order, takes nothing from the other.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/grant.h"
#include "kernel/xen_abi.h"
#include "mm/scan.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include <xen/grant_table.h>

#define PAGES 512u
#define TABLE 0xfe000u /* where the owner sees its table */
#define PAGE  40u      /* the page that it grants */
#define PLACE 0xfd000u /* where the user maps it */
#define REF   9u

static struct domain *owner, *user;

static struct grant_entry_v1 *entry(uint32_t ref)
{
	return (struct grant_entry_v1 *)env_frame(p2m_lookup(&owner->space, GFN(TABLE)).mfn) + ref;
}

static void put(struct domain *d, uint64_t gfn, uint64_t word)
{
	assert_int_equal(mm_write(&d->space, gfn << PAGE_SHIFT, &word, sizeof(word)), MM_OK);
}

static uint64_t get(struct domain *d, uint64_t gfn)
{
	uint64_t word = 0;

	assert_int_equal(mm_read(&d->space, gfn << PAGE_SHIFT, &word, sizeof(word)), MM_OK);
	return word;
}

static void audit_passes(void)
{
	struct audit_report r = mm_audit();

	assert_string_equal(r.first, "");
}

static void grant(uint32_t ref, uint16_t flags, uint32_t gfn)
{
	*entry(ref) = (struct grant_entry_v1){.domid = user->id, .frame = gfn};
	entry(ref)->flags = flags;
}

static int start(void **state)
{
	(void)state;
	fake_start(1);
	owner = fake_domain(1, PAGES, 1);
	user = fake_domain(2, PAGES, 1);
	assert_int_equal(grant_place(owner, 0, GFN(TABLE)), MM_OK);
	put(owner, PAGE, 0x1111);
	grant(REF, GTF_permit_access, PAGE);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	audit_passes();
	if (user)
		fake_domain_free(user);
	if (owner)
		fake_domain_free(owner);
	audit_passes();
	fake_stop();
	return 0;
}

static struct gnttab_map_grant_ref op;

static int map_at(uint64_t gfn, uint32_t ref, uint32_t flags)
{
	op = (struct gnttab_map_grant_ref){
	    .host_addr = gfn << PAGE_SHIFT, .flags = flags | GNTMAP_host_map, .ref = ref, .dom = 1};
	return grant_map(user, &op);
}

static int unmap_at(uint64_t gfn, uint32_t handle)
{
	struct gnttab_unmap_grant_ref u = {.host_addr = gfn << PAGE_SHIFT, .handle = handle};

	return grant_unmap(user, &u);
}

/* ---- one page ---- */

/* Both see each other's writes; the table says "in use" for as long. */
static void test_map(void **state)
{
	(void)state;
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	assert_int_equal(op.dev_bus_addr, 0); /* no machine address */
	assert_int_equal(entry(REF)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	assert_int_equal(get(user, PLACE), 0x1111);
	put(user, PLACE, 0x2222);
	assert_int_equal(get(owner, PAGE), 0x2222);
	put(owner, PAGE, 0x3333);
	assert_int_equal(get(user, PLACE), 0x3333);
	assert_int_equal(space_stats(&user->space).granted, 1);
	audit_passes();
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	assert_int_equal(entry(REF)->flags, GTF_permit_access);
	assert_int_equal(p2m_lookup(&user->space, GFN(PLACE)).type, P2M_BALLOONED);
	assert_false(p2m_lookup(&owner->space, GFN(PAGE)).pinned);
	assert_int_equal(get(owner, PAGE), 0x3333);
}

/* A grant to read is no grant to write; a mapping to read refuses the guest's write. */
static void test_readonly(void **state)
{
	uint64_t v;

	(void)state;
	grant(REF, GTF_permit_access | GTF_readonly, PAGE);
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_general_error);
	assert_int_equal(map_at(PLACE, REF, GNTMAP_readonly), GNTST_okay);
	assert_int_equal(entry(REF)->flags, GTF_permit_access | GTF_readonly | GTF_reading);
	host_on_kick = guest_kicked;
	assert_int_equal(guest_read(0, &user->space, (uint64_t)PLACE << PAGE_SHIFT, &v),
	                 VERDICT_RESUME);
	assert_int_equal(v, 0x1111);
	assert_int_equal(guest_write(0, &user->space, (uint64_t)PLACE << PAGE_SHIFT, 1),
	                 VERDICT_REFUSE);
	guest_leave_all();
	assert_int_equal(get(owner, PAGE), 0x1111);
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
}

/* One reference twice: the flags go with the last use of their kind. */
static void test_twice(void **state)
{
	uint32_t writer;

	(void)state;
	assert_int_equal(map_at(PLACE, REF, GNTMAP_readonly), GNTST_okay);
	assert_int_equal(entry(REF)->flags, GTF_permit_access | GTF_reading);
	assert_int_equal(map_at(PLACE + 1, REF, 0), GNTST_okay);
	writer = op.handle;
	put(user, PLACE + 1, 5);
	assert_int_equal(get(user, PLACE), 5);
	assert_int_equal(unmap_at(PLACE + 1, writer), GNTST_okay);
	assert_int_equal(entry(REF)->flags, GTF_permit_access | GTF_reading);
	assert_int_equal(unmap_at(PLACE, 0), GNTST_okay);
	assert_int_equal(entry(REF)->flags, GTF_permit_access);
}

/* What is wrong is refused, and nothing has changed. */
static void test_refused(void **state)
{
	static const uint32_t flags[] = {GNTMAP_device_map, GNTMAP_application_map,
	                                 GNTMAP_contains_pte, 1u << 7};

	(void)state;
	assert_int_equal(map_at(PLACE, REF + 1, 0), GNTST_bad_gntref); /* nothing granted */
	assert_int_equal(map_at(PLACE, 512, 0), GNTST_bad_gntref);     /* beyond the table */
	assert_int_equal(map_at(PLACE, UINT32_MAX, 0), GNTST_bad_gntref);
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
		assert_int_equal(map_at(PLACE, REF, flags[i]), GNTST_general_error);
	assert_int_equal(map_at(3, REF, 0), GNTST_bad_virt_addr); /* there is memory */
	assert_int_equal(map_at(GFN_LIMIT, REF, 0), GNTST_bad_virt_addr);
	for (domid_t dom = 0; dom < 4; dom++) {
		op =
		    (struct gnttab_map_grant_ref){.flags = GNTMAP_host_map, .ref = REF, .dom = dom};
		op.host_addr = (uint64_t)PLACE << PAGE_SHIFT | (dom == 1);
		assert_int_equal(grant_map(user, &op),
		                 dom == 1 ? GNTST_bad_virt_addr : GNTST_bad_domain);
	}
	entry(REF)->domid = 77; /* for somebody else */
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_bad_gntref);
	grant(REF, GTF_accept_transfer, PAGE);
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_bad_gntref);
	grant(REF, GTF_permit_access, 0xfffff); /* no memory there */
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_bad_page);
	assert_int_equal(entry(REF)->flags, GTF_permit_access);
	assert_int_equal(unmap_at(PLACE, 0), GNTST_bad_handle);
	assert_int_equal(unmap_at(PLACE, UINT32_MAX), GNTST_bad_handle);
	assert_int_equal(space_stats(&user->space).granted, 0);
	assert_int_equal(space_stats(&owner->space).pinned, 0);
}

static void test_unmap_refused(void **state)
{
	(void)state;
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	assert_int_equal(unmap_at(PLACE + 1, op.handle), GNTST_bad_virt_addr);
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_bad_handle);
}

/* Only plain memory of the owner's own: no page of ours, and none that it has borrowed itself. */
static void test_only_own_memory(void **state)
{
	struct domain *third = fake_domain(3, PAGES, 1);
	struct gnttab_map_grant_ref m = {
	    .host_addr = (uint64_t)PLACE << PAGE_SHIFT, .flags = GNTMAP_host_map, .dom = 2};

	(void)state;
	grant(REF + 1, GTF_permit_access, TABLE); /* its own grant table */
	assert_int_equal(map_at(PLACE, REF + 1, 0), GNTST_bad_page);
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	/* user lends on to third what it has borrowed */
	assert_int_equal(grant_place(user, 0, GFN(TABLE)), MM_OK);
	*((struct grant_entry_v1 *)env_frame(p2m_lookup(&user->space, GFN(TABLE)).mfn)) =
	    (struct grant_entry_v1){GTF_permit_access, 3, PLACE};
	assert_int_equal(grant_map(third, &m), GNTST_bad_page);
	assert_true(p2m_lookup(&owner->space, GFN(PAGE)).pinned);
	fake_domain_free(third);
}

/* A page of the table that is pinned where it is stays there, however often another place is asked for. */
static void test_pinned_table(void **state)
{
	void *page;

	(void)state;
	assert_int_equal(mm_pin(&owner->space, GFN(TABLE), &page), MM_OK);
	assert_int_equal(grant_place(owner, 0, GFN(TABLE + 1)), MM_PINNED);
	assert_int_equal(grant_place(owner, 0, GFN(TABLE + 1)), MM_PINNED);
	mm_unpin(&owner->space, GFN(TABLE));
	assert_int_equal(grant_place(owner, 0, GFN(TABLE + 1)), MM_OK);
	assert_int_not_equal(p2m_lookup(&owner->space, GFN(TABLE)).type, P2M_FOREIGN);
	assert_int_equal(grant_place(owner, 0, GFN(TABLE)), MM_OK);
}

/* While it is lent the page stays what and where it is: no merge, no balloon, no other page over
 * it, and no pointer of ours into it on the borrower's side. */
static void test_stays(void **state)
{
	const gfn_t gfn = GFN(PAGE), place = GFN(PLACE);
	mfn_t frame = frame_alloc(0, FRAME_SERVICE, 2);
	void *page;

	(void)state;
	put(owner, PAGE + 1, 0x1111); /* equal pages */
	put(user, 7, 0x1111);
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	scan_settle();
	assert_int_equal(p2m_lookup(&owner->space, gfn).type, P2M_PRIVATE);
	assert_int_equal(balloon_out(&owner->space, &gfn, 1, 0), 0);
	assert_int_equal(balloon_out(&user->space, &place, 1, 0), 0);
	assert_int_equal(balloon_in(&user->space, &place, 1, 0), 0);
	assert_int_equal(mm_map_service(&user->space, place, frame), MM_PINNED);
	assert_int_equal(mm_unmap_service(&user->space, place), MM_PINNED);
	assert_int_equal(mm_pin(&user->space, place, &page), MM_NORAM);
	audit_passes();
	frame_free(frame, 0);
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	scan_settle();
	assert_int_equal(balloon_out(&owner->space, &gfn, 1, 0), 1);
}

/* ---- quotas and shortage ---- */

static void test_quotas(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < GRANT_MAPS; i++)
		assert_int_equal(map_at(PLACE + i, REF, 0), GNTST_okay);
	assert_int_equal(map_at(PLACE + i, REF, 0), GNTST_no_space);
	for (i = 0; i < GRANT_MAPS; i++)
		assert_int_equal(unmap_at(PLACE + i, i), GNTST_okay);
	for (i = 0; i <= GRANT_ACTIVE; i++)
		grant(20 + i, GTF_permit_access, 100 + i);
	for (i = 0; i < GRANT_ACTIVE; i++)
		assert_int_equal(map_at(PLACE + i, 20 + i, 0), GNTST_okay);
	assert_int_equal(map_at(PLACE + i, 20 + i, 0), GNTST_no_space);
	assert_int_equal(entry(20 + i)->flags, GTF_permit_access);
}

/* The k-th allocation fails: the mapping is refused whole. */
static void test_shortage(void **state)
{
	struct space_stats before;
	uint64_t free;
	int rc = -1;

	(void)state;
	put(owner, PAGE + 1, 0);
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay); /* tables and records are there */
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	grant(REF, GTF_permit_access, 300); /* never touched: its frame must be found, too */
	before = space_stats(&user->space);
	free = host_free_frames();
	for (uint64_t k = 1; rc; k++) {
		host_fail_alloc(k);
		rc = map_at(PLACE, REF, 0);
		host_fail_alloc(0);
		if (!rc)
			break;
		assert_true(rc == GNTST_no_space || rc == GNTST_eagain);
		assert_int_equal(entry(REF)->flags, GTF_permit_access);
		assert_int_equal(host_free_frames(), free);
		assert_int_equal(space_stats(&user->space).granted, before.granted);
		assert_true(k < 10);
	}
}

/* ---- races ---- */

static _Atomic bool racing;

/* The owner's other vCPU takes the grant back and gives it again, as fast as it can. */
static void *toggle(void *arg)
{
	uint16_t *flags = arg;

	while (racing) {
		uint16_t seen = __atomic_load_n(flags, __ATOMIC_SEQ_CST);

		if (!(seen & (GTF_reading | GTF_writing)))
			(void)__atomic_compare_exchange_n(flags, &seen,
			                                  seen ? 0 : GTF_permit_access, false,
			                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* An owner that sees no "in use" and takes the grant back by exchange has its page back. */
static void test_race(void **state)
{
	unsigned mapped = 0, refused = 0;
	pthread_t thread;

	(void)state;
	racing = true;
	assert_int_equal(pthread_create(&thread, NULL, toggle, &entry(REF)->flags), 0);
	for (unsigned i = 0; (i < 3000 || !mapped || !refused) && i < 1000000; i++) {
		if (map_at(PLACE, REF, 0) != GNTST_okay) {
			refused++;
			continue;
		}
		mapped++;
		assert_int_equal(entry(REF)->flags, GTF_permit_access | GTF_reading | GTF_writing);
		assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	}
	racing = false;
	pthread_join(thread, NULL);
	assert_true(mapped && refused);
	assert_false(entry(REF)->flags & (GTF_reading | GTF_writing));
}

/* What the table says after the page was mapped changes nothing. */
static void test_table_changes(void **state)
{
	(void)state;
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	memset(entry(REF), 0xff, sizeof(*entry(REF)));
	assert_int_equal(get(user, PLACE), 0x1111);
	assert_int_equal(unmap_at(PLACE, op.handle), GNTST_okay);
	assert_false(p2m_lookup(&owner->space, GFN(PAGE)).pinned);
}

/* ---- ends ---- */

/* The user dies with the page: the owner has it back. */
static void test_user_dies(void **state)
{
	(void)state;
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	put(user, PLACE, 0x4444);
	fake_domain_free(user);
	user = NULL;
	assert_int_equal(entry(REF)->flags, GTF_permit_access);
	assert_int_equal(get(owner, PAGE), 0x4444);
	assert_false(p2m_lookup(&owner->space, GFN(PAGE)).pinned);
}

/* The owner dies first: the user keeps a copy and may give it back later, or die with it. */
static void test_owner_dies(void **state)
{
	(void)state;
	assert_int_equal(map_at(PLACE, REF, 0), GNTST_okay);
	assert_int_equal(map_at(PLACE + 1, REF, GNTMAP_readonly), GNTST_okay);
	fake_domain_free(owner);
	owner = NULL;
	audit_passes();
	assert_int_equal(space_stats(&user->space).granted, 0);
	assert_int_equal(get(user, PLACE), 0x1111);
	put(user, PLACE, 0x5555);
	assert_int_equal(get(user, PLACE), 0x5555);
	assert_int_equal(get(user, PLACE + 1), 0x1111);
	assert_int_equal(map_at(PLACE + 2, REF, 0), GNTST_bad_domain);
	assert_int_equal(unmap_at(PLACE, 0), GNTST_okay);
	assert_int_equal(unmap_at(PLACE, 0), GNTST_bad_handle);
}

/* ---- copies ---- */

static int copy(bool from_ref, uint64_t from, unsigned from_at, bool to_ref, uint64_t to,
                unsigned to_at, unsigned bytes)
{
	const struct grant_side a = {from_ref, from_ref ? 1 : DOMID_SELF, from, (uint16_t)from_at};
	const struct grant_side b = {to_ref, to_ref ? 1 : DOMID_SELF, to, (uint16_t)to_at};

	return grant_copy(user, &a, &b, (uint16_t)bytes);
}

static void test_copy(void **state)
{
	(void)state;
	assert_int_equal(copy(true, REF, 0, false, 5, 0, PAGE_SIZE), GNTST_okay);
	assert_int_equal(get(user, 5), 0x1111);
	put(user, 6, 0x77);
	assert_int_equal(copy(false, 6, 0, true, REF, 1, 8), GNTST_okay);
	assert_int_equal(get(owner, PAGE), 0x7711);
	assert_int_equal(entry(REF)->flags, GTF_permit_access); /* in use no more */
	grant(REF, GTF_permit_access | GTF_readonly, PAGE);
	assert_int_equal(copy(false, 6, 0, true, REF, 0, 8), GNTST_general_error);
	assert_int_equal(get(owner, PAGE), 0x7711);
	assert_int_equal(copy(true, REF, 1, false, 5, 0, PAGE_SIZE), GNTST_bad_copy_arg);
	assert_int_equal(copy(true, REF, 0, false, 5, 4095, 2), GNTST_bad_copy_arg);
	assert_int_equal(copy(true, REF, 0, false, 0xfffff, 0, 8), GNTST_bad_page);
	assert_int_equal(copy(true, REF, 0, false, UINT64_MAX, 0, 8), GNTST_bad_page);
	assert_int_equal(copy(true, REF + 1, 0, false, 5, 0, 8), GNTST_bad_gntref);
	/* pages of others only by reference */
	assert_int_equal(grant_copy(user, &(struct grant_side){false, 1, PAGE, 0},
	                            &(struct grant_side){false, DOMID_SELF, 5, 0}, 8),
	                 GNTST_permission_denied);
	assert_int_equal(space_stats(&owner->space).pinned, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(test_map),        T(test_readonly),      T(test_twice),
	    T(test_refused),    T(test_unmap_refused), T(test_only_own_memory),
	    T(test_stays),      T(test_quotas),        T(test_shortage),
	    T(test_race),       T(test_table_changes), T(test_user_dies),
	    T(test_owner_dies), T(test_copy),          T(test_pinned_table),
	};

	return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
