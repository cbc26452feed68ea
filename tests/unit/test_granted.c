/* SPDX-License-Identifier: MIT */
/* Granted frames (mm/granted.c): which page one domain may have of another's. */
#include "tests/unit/mm_test.h"

#define HERE 5u                  /* of the owner */
#define AT   (UINT64_C(1) << 22) /* of the borrower */

static struct space owner, borrower;

static int setup(void **state)
{
	(void)state;
	host_start_small();
	make_space(&owner, 1, 64);
	make_space(&borrower, 2, 64);
	assert_int_equal(guest_write(0, &owner, PAGE(HERE), 77), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &borrower, PAGE(HERE), 78), VERDICT_RESUME);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_passes();
	destroy_space(&owner);
	destroy_space(&borrower);
	host_stop();
	return 0;
}

/* Another's page, and only while it is pinned there. */
static void pinned_pages_of_others(void **state)
{
	mfn_t mfn = p2m_lookup(&owner, GFN(HERE)).mfn, own = p2m_lookup(&borrower, GFN(HERE)).mfn;
	void *page;

	(void)state;
	assert_int_equal(mm_map_granted(&borrower, GFN(AT), mfn, true), MM_INVAL);
	assert_int_equal(mm_pin(&borrower, GFN(HERE), &page), MM_OK);
	assert_int_equal(mm_map_granted(&borrower, GFN(AT), own, true), MM_INVAL);
	mm_unpin(&borrower, GFN(HERE));
	assert_int_equal(p2m_lookup(&borrower, GFN(AT)).type, P2M_NONE);
	assert_int_equal(mm_pin(&owner, GFN(HERE), &page), MM_OK);
	assert_int_equal(mm_map_granted(&borrower, GFN(AT), mfn, true), MM_OK);
	assert_true(guest_sees(&borrower, PAGE(AT)) == 77);
	audit_passes();
	mm_unmap_granted(&borrower, GFN(AT), mfn);
	mm_unpin(&owner, GFN(HERE));
}

/* What a CPU wrote there is no write to a page of the borrower's: a harvest of its dirty bits
 * neither counts nor takes it. */
static void a_harvest_passes_over_it(void **state)
{
	mfn_t mfn = p2m_lookup(&owner, GFN(HERE)).mfn;
	uint64_t before, after, harvested;
	void *page;

	(void)state;
	assert_int_equal(mm_pin(&owner, GFN(HERE), &page), MM_OK);
	assert_int_equal(mm_map_granted(&borrower, GFN(AT), mfn, true), MM_OK);
	guest_puts(&borrower, PAGE(AT), 79);
	p2m_lock(&borrower);
	before = *p2m_find(&borrower, GFN(AT)).entry;
	harvested = p2m_harvest(&borrower, GFN(AT), 1);
	after = *p2m_find(&borrower, GFN(AT)).entry;
	p2m_unlock(&borrower);
	assert_true(before & mm.format->dirty_mask);
	assert_int_equal(harvested, 0);
	assert_int_equal(after, before);
	mm_unmap_granted(&borrower, GFN(AT), mfn);
	mm_unpin(&owner, GFN(HERE));
}

/* A borrower has page tables for what it was promised, and a few more: who scatters borrowed pages
 * over all addresses is told so, and has what it had. */
static void tables_run_out(void **state)
{
	mfn_t mfn = p2m_lookup(&owner, GFN(HERE)).mfn;
	enum mm_status st = MM_OK;
	unsigned n = 0;
	void *page;

	(void)state;
	assert_int_equal(mm_pin(&owner, GFN(HERE), &page), MM_OK);
	for (; st == MM_OK; n += st == MM_OK)
		st = mm_map_granted(&borrower, GFN(AT + (uint64_t)n * LARGE_PAGES), mfn, false);
	assert_int_equal(st, MM_LIMIT);
	assert_in_range(n, 1, 1000);
	assert_int_equal(borrower.stats.granted, n);
	audit_passes();
	while (n-- > 0) {
		assert_true(guest_sees(&borrower, PAGE(AT + (uint64_t)n * LARGE_PAGES)) == 77);
		mm_unmap_granted(&borrower, GFN(AT + (uint64_t)n * LARGE_PAGES), mfn);
	}
	mm_unpin(&owner, GFN(HERE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(pinned_pages_of_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_harvest_passes_over_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(tables_run_out, setup, teardown),
	};

	return cmocka_run_group_tests_name("granted", tests, NULL, NULL);
}
