/* SPDX-License-Identifier: MIT */
/* Funding (mm/fund.c): invariant 11 and who may take a frame. */
#include "tests/unit/mm_test.h"

static struct space a, b;
static uint64_t free_at_start;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 1024, .cpus = 1, .reserve = 16});
	free_at_start = host_free_frames();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_passes();
	host_stop();
	return 0;
}

static enum mm_status create(struct space *s, domid_t d, uint64_t pages, uint64_t min)
{
	struct space_config c = {d, 7, pages, pages, min};

	return space_create(s, &c);
}

/* Write pages first .. of s until it must wait; returns how many went. */
static uint64_t write_until_wait(struct space *s, uint64_t first, uint64_t end)
{
	uint64_t n = first;

	while (n < end && guest_write(0, s, PAGE(n), n + 1) == VERDICT_RESUME)
		n++;
	guest_leave_all();
	return n - first;
}

/* The guarantees of all domains together never exceed what there is. */
static void guarantees_are_backed(void **state)
{
	(void)state;
	assert_int_equal(create(&a, 1, 600, 500), MM_OK);
	assert_int_equal(fund_look().debt, 500);
	assert_int_equal(create(&b, 2, 600, 500), MM_NOMEM);
	assert_null(space_find(2));
	audit_passes();
	assert_int_equal(create(&b, 2, 600, 400), MM_OK);
	assert_int_equal(fund_look().debt, 900);
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(host_free_frames(), free_at_start);
	assert_int_equal(fund_look().debt, 0);
}

/* A greedy domain gets all but the others' guarantee and the reserve; the other one then
 * still gets its whole guarantee without waiting. */
static void guarantee_never_waits(void **state)
{
	uint64_t free;

	(void)state;
	assert_int_equal(create(&a, 1, 1000, 0), MM_OK);
	assert_int_equal(create(&b, 2, 300, 250), MM_OK);
	free = host_free_frames();
	assert_int_equal(write_until_wait(&a, 0, 1000), free - 250);
	audit_passes();
	assert_false(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 0)));
	assert_int_equal(write_until_wait(&b, 0, 300), 250);
	assert_int_equal(host_free_frames(), 0);
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(host_free_frames(), free_at_start);
}

/* With nothing guaranteed, the reserve stays out of reach of populates. */
static void reserve_is_left(void **state)
{
	(void)state;
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	write_until_wait(&a, 0, 2000);
	assert_int_equal(host_free_frames(), 16);
	assert_int_equal(fund_look().reserve, 16);
	/* Freed frames refill the reserve first: it is full, so this one is free. */
	assert_int_equal(balloon_out(&a, &GFN(0), 1, 0), 1);
	assert_int_equal(write_until_wait(&a, 1990, 1991), 1);
	destroy_space(&a);
}

/* What breaks take from the reserve is put back before anybody else gets a frame. */
static void reserve_is_repaid(void **state)
{
	(void)state;
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	guest_puts(&a, PAGE(1), 0x1234);
	guest_puts(&a, PAGE(2), 0x1234);
	guest_puts(&a, PAGE(3), 0x1234);
	merge_pages(&a, GFN(1), &a, GFN(2));
	merge_pages(&a, GFN(1), &a, GFN(3));
	write_until_wait(&a, 10, 2000);
	assert_int_equal(host_free_frames(), 16);
	guest_puts(&a, PAGE(1), 1);
	guest_puts(&a, PAGE(2), 2);
	assert_int_equal(host_free_frames(), 14);
	assert_int_equal(fund_look().reserve, 14);
	/* Four come back: two for the reserve, so two can be had. */
	assert_int_equal(balloon_out(&a, (gfn_t[]){GFN(10), GFN(11), GFN(12), GFN(13)}, 4, 0), 4);
	assert_int_equal(write_until_wait(&a, 1900, 2000), 2);
	assert_int_equal(host_free_frames(), 16);
	assert_int_equal(fund_look().reserve, 16);
	destroy_space(&a);
}

/* What was in a page that the hypervisor shared with one guest is not there for the next one. */
static void service_pages_are_scrubbed(void **state)
{
	uint64_t page = 0;
	mfn_t m;

	(void)state;
	assert_int_equal(create(&a, 1, 1000, 0), MM_OK);
	m = frame_alloc(0, FRAME_SERVICE, 1);
	memset(env_frame(m), 0xa5, PAGE_SIZE);
	frame_free(m, 0);
	for (guest_puts(&a, 0, 1); !mfn_eq(p2m_lookup(&a, GFN(page)).mfn, m); page++)
		guest_puts(&a, PAGE(page + 1), 1); /* until it gets that very frame */
	for (unsigned i = 8; i < PAGE_SIZE; i += 8)
		assert_int_equal(guest_sees(&a, PAGE(page) + i), 0);
	destroy_space(&a);
}

/* Pages given back below the guarantee are owed again. */
static void balloon_below_min(void **state)
{
	gfn_t g[100];

	(void)state;
	assert_int_equal(create(&a, 1, 300, 200), MM_OK);
	assert_int_equal(write_until_wait(&a, 0, 200), 200);
	assert_int_equal(fund_look().debt, 0);
	for (unsigned i = 0; i < 100; i++)
		g[i] = GFN(i);
	assert_int_equal(balloon_out(&a, g, 100, 0), 100);
	assert_int_equal(fund_look().debt, 100);
	audit_passes();
	assert_int_equal(balloon_in(&a, g, 100, 0), 100);
	assert_int_equal(fund_look().debt, 0);
	destroy_space(&a);
}

/* A merge takes a page out of what two domains hold alone and frees one: where that
 * would leave a guarantee unbacked, it is refused and nothing changes. */
static void merge_asks_too(void **state)
{
	mfn_t keep;

	(void)state;
	assert_int_equal(create(&a, 1, 10, 10), MM_OK);
	assert_int_equal(create(&b, 2, 1000, 0), MM_OK);
	assert_int_equal(write_until_wait(&a, 0, 10), 10);
	fund_init(0);
	write_until_wait(&b, 0, 1000);
	assert_int_equal(host_free_frames(), 0);
	keep = p2m_lookup(&a, GFN(4)).mfn;
	p2m_lock(&a);
	assert_true(p2m_protect(&a, GFN(4)));
	flush_space(&a);
	assert_false(p2m_share(&a, GFN(4), keep));
	p2m_unprotect(&a, GFN(4));
	p2m_unlock(&a);
	assert_int_equal(p2m_lookup(&a, GFN(4)).type, P2M_PRIVATE);
	audit_passes();
	/* With one frame free it is allowed. */
	assert_int_equal(balloon_out(&b, &GFN(0), 1, 0), 1);
	p2m_lock(&a);
	assert_true(p2m_protect(&a, GFN(4)));
	flush_space(&a);
	assert_true(p2m_share(&a, GFN(4), keep));
	index_insert_shared(keep, hash_fingerprint(env_frame(keep), 7), 7, 1);
	p2m_unlock(&a);
	assert_int_equal(fund_look().debt, 1);
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
	assert_int_equal(host_free_frames(), free_at_start);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(guarantees_are_backed), T(guarantee_never_waits),      T(reserve_is_left),
	    T(reserve_is_repaid),     T(service_pages_are_scrubbed), T(balloon_below_min),
	    T(merge_asks_too),
	};

	return cmocka_run_group_tests_name("fund", tests, NULL, NULL);
}
