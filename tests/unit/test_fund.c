/* SPDX-License-Identifier: MIT */
/* Funding (mm/fund.c): invariant 11 and who may take a frame. */
#include "mm/charge.h"
#include "mm/p2m_table.h"
#include "mm/repay.h"
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
	struct space_config c = {d, 7, pages, pages, min, 0};

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

/* A greedy domain gets all but the others' guarantee and the reserve, which lie one above the
 * other; the other one then still gets its whole guarantee without waiting. */
static void guarantee_never_waits(void **state)
{
	uint64_t free;

	(void)state;
	assert_int_equal(create(&a, 1, 1000, 0), MM_OK);
	assert_int_equal(create(&b, 2, 300, 250), MM_OK);
	free = host_free_frames();
	assert_int_equal(write_until_wait(&a, 0, 1000), free - 250 - 16);
	audit_passes();
	assert_false(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 0)));
	assert_int_equal(write_until_wait(&b, 0, 300), 250);
	assert_int_equal(host_free_frames(), 16);
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

/* What is promised to a new domain leaves the reserve alone, too. */
static void promise_leaves_the_reserve(void **state)
{
	struct space_config c = {1, 7, 1000, 1000, 0, 0};
	uint64_t room = free_at_start - 16 - space_tables_needed(&c);

	(void)state;
	assert_int_equal(create(&a, 1, 1000, room + 1), MM_NOMEM);
	assert_int_equal(create(&a, 1, 1000, room), MM_OK);
	assert_int_equal(a.stats.table_frames, space_tables_needed(&c));
	assert_int_equal(fund_look().free - fund_look().debt, 16);
	assert_int_equal(fund_set_min(&a, fund_look().free - 16), MM_OK);
	assert_int_equal(fund_set_min(&a, fund_look().free - 15), MM_NOMEM);
	assert_int_equal(fund_look().debt, fund_look().free - 16);
	destroy_space(&a);
}

/* ---- credits ---- */

static uint64_t filled; /* pages of the greedy domain a */

/* a holds all that it may; b has a page, and no min. */
static void make_scarce(void)
{
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	assert_int_equal(create(&b, 2, 300, 0), MM_OK);
	guest_puts(&b, 0, 1);
	filled = write_until_wait(&a, 0, 2000);
	assert_false(fund_grant(&b, false));
}

static void give_back(uint64_t pages)
{
	while (pages--)
		assert_int_equal(balloon_out(&a, &GFN(--filled), 1, 0), 1);
}

/* A frame that is set aside for one is not to be had for another, and is for this one. */
static void credit_is_kept(void **state)
{
	(void)state;
	make_scarce();
	give_back(1);
	assert_true(fund_grant(&b, false));
	assert_int_equal(fund_look().debt, 1);
	assert_int_equal(write_until_wait(&a, 1990, 1991), 0);
	assert_false(fund_grant(&a, false));
	assert_int_equal(write_until_wait(&b, 1, 2), 1);
	assert_int_equal(fund_look().debt, 0);
	audit_passes();
	fund_ungrant(&b); /* it has used it: nothing to return */
	assert_int_equal(write_until_wait(&b, 2, 3), 0);
	destroy_space(&a);
	destroy_space(&b);
}

/* What was set aside and not used goes back; and with the space that dies. */
static void credit_goes_back(void **state)
{
	(void)state;
	make_scarce();
	give_back(1);
	assert_true(fund_grant(&b, false));
	fund_ungrant(&b);
	assert_int_equal(fund_look().debt, 0);
	assert_true(fund_grant(&b, false));
	destroy_space(&b);
	assert_int_equal(fund_look().debt, 0);
	audit_passes();
	destroy_space(&a);
}

/* Two turns, one of them given up: one frame stays aside. */
static void credits_are_counted(void **state)
{
	(void)state;
	make_scarce();
	give_back(2);
	assert_true(fund_grant(&b, false));
	assert_true(fund_grant(&b, false));
	assert_false(fund_grant(&b, false));
	fund_ungrant(&b);
	assert_int_equal(fund_look().debt, 1);
	assert_int_equal(write_until_wait(&b, 1, 3), 2); /* the other is free for all again */
	fund_ungrant(&b);
	assert_int_equal(fund_look().debt, 0);
	destroy_space(&a);
	destroy_space(&b);
}

/* Within its min a space is always granted, from what is owed to it: nothing more is set aside. */
static void grant_within_min(void **state)
{
	(void)state;
	assert_int_equal(create(&b, 2, 300, 2), MM_OK);
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	filled = write_until_wait(&a, 0, 2000);
	assert_int_equal(fund_look().debt, 2);
	assert_true(fund_grant(&b, false));
	assert_true(fund_grant(&b, false));
	assert_int_equal(fund_look().debt, 2);
	assert_false(fund_grant(&b, false)); /* the third would be above it */
	assert_int_equal(write_until_wait(&b, 0, 3), 2);
	assert_int_equal(fund_look().debt, 0);
	destroy_space(&a);
	destroy_space(&b);
}

/* A credit is for what comes on top of the min: a page that the min pays for leaves it. */
static void min_pays_first(void **state)
{
	(void)state;
	assert_int_equal(create(&b, 2, 300, 1), MM_OK);
	guest_puts(&b, 0, 1);
	assert_true(fund_grant(&b, false));
	assert_int_equal(balloon_out(&b, &GFN(0), 1, 0), 1);
	assert_int_equal(fund_look().debt, 2); /* the min's and the credit's */
	guest_puts(&b, PAGE(1), 1);
	assert_int_equal(fund_look().debt, 1);
	assert_int_equal(b.credits, 1);
	destroy_space(&b);
	assert_int_equal(fund_look().debt, 0);
}

/* All turns of a space end with it. */
static void all_turns_end(void **state)
{
	(void)state;
	make_scarce();
	give_back(2);
	assert_true(fund_grant(&b, false));
	assert_true(fund_grant(&b, false));
	assert_int_equal(fund_look().debt, 2);
	destroy_space(&b);
	assert_int_equal(fund_look().debt, 0);
	destroy_space(&a);
}

/* What is told of the reserve is what is left for it, behind debt and loans. */
static void reserve_is_seen_as_it_is(void **state)
{
	struct fund_view v;

	(void)state;
	v = fund_look();
	assert_int_equal(v.reserve, 16);
	assert_int_equal(create(&a, 1, 100, 0), MM_OK);
	assert_int_equal(fund_open(&a, 0, 5), MM_OK);
	fund_set_reserve(2000);
	v = fund_look();
	assert_int_equal(v.loans, 5);
	assert_int_equal(v.reserve, v.free - 5);
	destroy_space(&a);
	fund_set_reserve(16);
}

/* While there is a line, nobody above its min takes a frame but in turn; who is below, does. */
static void line_is_kept(void **state)
{
	(void)state;
	assert_int_equal(create(&a, 1, 600, 0), MM_OK);
	assert_int_equal(create(&b, 2, 300, 5), MM_OK);
	fund_set_line(true);
	assert_int_equal(write_until_wait(&a, 0, 1), 0);
	assert_int_equal(write_until_wait(&b, 0, 300), 5);
	assert_int_equal(balloon_in(&a, &GFN(0), 1, 0), 0);
	assert_true(fund_grant(&a, false));
	assert_int_equal(write_until_wait(&a, 0, 2), 1);
	fund_set_line(false);
	assert_int_equal(write_until_wait(&a, 1, 2), 1);
	destroy_space(&a);
	destroy_space(&b);
}

/* A break asks for what can be repaid before it touches the reserve. */
static void reserve_comes_last(void **state)
{
	static struct space dying;

	(void)state;
	assert_int_equal(create(&dying, 3, 300, 0), MM_OK);
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	for (unsigned i = 1; i <= 3; i++)
		guest_puts(&a, PAGE(i), 0x1234);
	merge_pages(&a, GFN(1), &a, GFN(2));
	merge_pages(&a, GFN(1), &a, GFN(3));
	write_until_wait(&dying, 0, 300);
	write_until_wait(&a, 10, 2000);
	assert_int_equal(host_free_frames(), 16);
	assert_false(space_destroy_step(&dying, 1)); /* one page is free */
	assert_int_equal(write_until_wait(&a, 1990, 1991), 1);
	assert_int_equal(host_free_frames(), 16);
	guest_puts(&a, PAGE(1), 1); /* from the dying one, at once, and some more */
	assert_true(host_free_frames() > 16);
	destroy_space(&dying);
	assert_false(repay_pending());
	write_until_wait(&a, 400, 2000);
	assert_int_equal(host_free_frames(), 16);
	guest_puts(&a, PAGE(2), 1); /* now from the reserve */
	assert_int_equal(host_free_frames(), 15);
	audit_passes();
	destroy_space(&a);
}

/* A frame whose owner is no domain is the hypervisor's. */
static void no_domain_is_the_hypervisor(void **state)
{
	(void)state;
	assert_int_equal(charge_owner(MM_MAX_SPACES - 1), MM_MAX_SPACES - 1);
	assert_int_equal(charge_owner(MM_MAX_SPACES), 0);
}

/* A write needs all of a dying domain's memory, page by page, and never waits for the reaper. */
static void dying_memory_is_at_hand(void **state)
{
	uint64_t had;

	(void)state;
	assert_int_equal(create(&b, 2, 500, 0), MM_OK);
	assert_int_equal(write_until_wait(&b, 0, 500), 500);
	assert_int_equal(create(&a, 1, 2000, 0), MM_OK);
	had = write_until_wait(&a, 0, 2000);
	assert_false(space_destroy_step(&b, 0));
	assert_true(repay_pending());
	assert_int_equal(write_until_wait(&a, had, 2000), 500);
	assert_int_equal(b.stats.private_pages, 0);
	audit_passes();
	destroy_space(&b);
	destroy_space(&a);
	assert_int_equal(host_free_frames(), free_at_start);
}

/* The hypervisor spends no more on a domain than CHARGE_MAX_PAGES, and what it does is counted. */
static void charges_are_bounded(void **state)
{
	static mfn_t m[CHARGE_MAX_PAGES];
	unsigned n = 0;

	(void)state;
	while (n < CHARGE_MAX_PAGES &&
	       mfn_valid(m[n] = frame_alloc(0, n % 2 ? FRAME_SERVICE : FRAME_HYPERVISOR, 5)))
		n++;
	assert_int_equal(n, CHARGE_MAX_PAGES);
	assert_int_equal(charge_of(5).service, CHARGE_MAX_PAGES / 2);
	assert_false(mfn_valid(frame_alloc(0, FRAME_HYPERVISOR, 5)));
	assert_false(mfn_valid(frame_alloc(0, FRAME_SERVICE, 5)));
	audit_passes();
	while (n)
		frame_free(m[--n], 0);
	assert_int_equal(charge_of(5).hypervisor + charge_of(5).service, 0);
	assert_int_equal(create(&a, 1, 600, 0), MM_OK);
	assert_int_equal(charge_of(1).tables, a.stats.table_frames);
	destroy_space(&a);
	assert_int_equal(charge_of(1).tables, 0);
}

/* What the domains have, what they share, what is free and what was never handed out: the machine.
 * And the exact parts of the shared frames are those frames, but for what dividing leaves over. */
static void accounts_add_up(void **state)
{
	struct mm_account x, y;
	struct mm_stats st;
	uint64_t parts;
	mfn_t service;

	(void)state;
	assert_int_equal(create(&a, 1, 300, 200), MM_OK);
	assert_int_equal(create(&b, 2, 300, 0), MM_OK);
	for (unsigned i = 1; i <= 4; i++)
		guest_puts(&a, PAGE(i), 0x1234);
	guest_puts(&b, PAGE(7), 0x1234);
	merge_pages(&a, GFN(1), &a, GFN(2));
	merge_pages(&a, GFN(1), &b, GFN(7));
	assert_int_equal(balloon_out(&a, &GFN(100), 1, 0), 1);
	service = frame_alloc(0, FRAME_SERVICE, 2);
	x = mm_account(&a);
	y = mm_account(&b);
	st = mm_stats();
	assert_int_equal(x.memory, 299);
	assert_int_equal(x.memory, x.populated + x.untouched + x.compressed);
	assert_int_equal(x.ballooned, 1);
	assert_int_equal(x.own, 2);
	assert_int_equal(x.mappings, 2);
	assert_int_equal(x.owed, 198);
	assert_int_equal(y.service, 1);
	assert_int_equal(y.mappings, 1);
	parts = share_part(&a) + share_part(&b);
	assert_in_range((st.frames_shared << 32) - parts, 0, x.mappings + y.mappings);
	assert_int_equal(x.own + y.own + x.tables + y.tables + x.service + y.service +
	                     x.hypervisor + y.hypervisor + st.frames_shared + st.frames_constant +
	                     st.frames_free + st.frames_reserved,
	                 st.frames_total);
	frame_free(service, 0);
	audit_passes();
	destroy_space(&a);
	destroy_space(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(guarantees_are_backed),
	    T(guarantee_never_waits),
	    T(reserve_is_left),
	    T(reserve_is_repaid),
	    T(service_pages_are_scrubbed),
	    T(balloon_below_min),
	    T(merge_asks_too),
	    T(promise_leaves_the_reserve),
	    T(credit_is_kept),
	    T(credit_goes_back),
	    T(credits_are_counted),
	    T(grant_within_min),
	    T(min_pays_first),
	    T(all_turns_end),
	    T(reserve_is_seen_as_it_is),
	    T(line_is_kept),
	    T(reserve_comes_last),
	    T(dying_memory_is_at_hand),
	    T(no_domain_is_the_hypervisor),
	    T(charges_are_bounded),
	    T(accounts_add_up),
	};

	return cmocka_run_group_tests_name("fund", tests, NULL, NULL);
}
