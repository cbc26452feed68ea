/* SPDX-License-Identifier: MIT */
/*
 * The trace (mm/trace.c): after each pass it has told what every page holds, whatever was done
 * to the page and by whom, and nobody else has been misled by its reading of dirty flags.
 */
#include "mm/merge.h"
#include "mm/scan.h"
#include "tests/host/oracle.h"
#include "tests/unit/trace_test.h"

#define SEEDS  20u
#define ROUNDS 60u

/* ---- things that happen ---- */

static unsigned rnd(unsigned below)
{
	return (unsigned)(env_random() >> 20) % below;
}

static void happen_write(domid_t d)
{
	uint64_t value = rnd(3) ? rnd(4) : env_random();

	if (p2m_lookup(&guest[d], GFN(rnd(PAGES))).type == P2M_BALLOONED)
		return;
	(void)!guest_write(rnd(CPUS), &guest[d], PAGE(rnd(PAGES)) + 8 * rnd(2), value);
}

static void happen_cached(domid_t d)
{
	(void)!guest_write_cached(rnd(CPUS), &guest[d], PAGE(rnd(PAGES)), rnd(4));
}

static void happen_copy(domid_t d)
{
	static uint8_t ones[PAGE_SIZE];

	memset(ones, 0xff, sizeof(ones));
	(void)!mm_write(&guest[d], PAGE(rnd(PAGES)), ones, rnd(2) ? PAGE_SIZE : 8);
}

static void happen_balloon(domid_t d)
{
	gfn_t gfn = GFN(rnd(PAGES));

	if (!balloon_out(&guest[d], &gfn, 1, 0))
		(void)!balloon_in(&guest[d], &gfn, 1, 0);
}

/* With whatever policy: by dirty flags, blind, or shown each page. */
static void happen_scan(domid_t d)
{
	unsigned n = 0;

	(void)d;
	while (scan_policies[n])
		n++;
	if (rnd(2)) {
		assert_true(scan_set_policy(scan_policies[rnd(n)]->name));
		for (unsigned i = rnd(8); i; i--)
			scan_slice(1 + rnd(400));
		return;
	}
	scan_settle_begin();
	for (unsigned i = rnd(8); i; i--)
		(void)!scan_settle_step(1 + rnd(rnd(2) ? 400 : 30));
}

static void happen_end(domid_t d)
{
	if (rnd(20))
		return;
	destroy_space(&guest[d]);
	make(d);
}

static void happen_pass(domid_t d)
{
	(void)d;
	room = rnd(4);
	(void)!trace_step(1 + rnd(100));
	room = true;
}

static void (*const happenings[])(domid_t d) = {
    happen_write, happen_write,   happen_write, happen_write, happen_cached, happen_cached,
    happen_copy,  happen_balloon, happen_scan,  happen_scan,  happen_end,    happen_pass,
};

static void test_every_content_is_told(void **state)
{
	(void)state;
	for (domid_t d = 1; d <= DOMAINS; d++)
		make(d);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		print_message("# seed %u\n", (unsigned)seed);
		host_seed(seed);
		assert_int_equal(trace_start(&sink), MM_OK);
		for (unsigned round = 0; round < ROUNDS; round++) {
			for (unsigned i = rnd(40); i; i--)
				happenings[rnd(ARRAY_SIZE(happenings))](
				    (domid_t)(1 + rnd(DOMAINS)));
			pass(); /* the rest of one that is under way */
			pass();
			check_told();
			audit_passes();
		}
		trace_stop();
	}
	assert_int_equal(trace_look().untold, 0);
	guest_leave_all();
	oracle_check_settled();
}

static void test_begins_with_all(void **state)
{
	(void)state;
	make(1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(3), 5), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &guest[1], PAGE(4), 5), VERDICT_RESUME);
	guest_leave_all();
	scan_settle(); /* merged, and all dirty flags are clear */
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_equal(events[TRACE_START], 1);
	assert_int_equal(events[TRACE_CREATE], 1);
	assert_int_equal(events[TRACE_WRITE], 2);
	assert_true(told[1][3].known && told[1][4].known);
	assert_int_equal(told[1][3].value, told[1][4].value);
	pass();
	assert_int_equal(events[TRACE_WRITE], 2); /* nothing was written since */
	assert_int_equal(trace_look().writes, 2);
	assert_int_equal(trace_look().passes, 2);
}

static void test_faults_are_told(void **state)
{
	(void)state;
	make(1);
	assert_int_equal(trace_start(&sink), MM_OK);
	assert_int_equal(guest_write(0, &guest[1], PAGE(3), 5), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &guest[1], PAGE(4), 5), VERDICT_RESUME);
	assert_int_equal(events[TRACE_POPULATE], 2);
	guest_leave_all();
	scan_settle();
	assert_int_equal(guest_write(0, &guest[1], PAGE(3), 6), VERDICT_RESUME);
	assert_int_equal(events[TRACE_BREAK], 1);
	assert_int_equal(last.value, 0);
	assert_int_equal(guest_write(0, &guest[1], PAGE(4), 6), VERDICT_RESUME);
	assert_int_equal(events[TRACE_BREAK], 2); /* the last one keeps the frame */
	assert_int_equal(last.value, 1);
	assert_int_equal(last.domid, 1);
	assert_int_equal(last.gfn, 4);
}

static void test_large_page_goes(void **state)
{
	gfn_t first = GFN(0);

	(void)state;
	make_space(&guest[1], 1, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&guest[1], first), MM_OK);
	assert_int_equal(trace_start(&sink), MM_OK);
	assert_int_equal(balloon_out(&guest[1], &first, 1, LARGE_ORDER), 1);
	assert_int_equal(events[TRACE_OUT], 1);
	assert_int_equal(last.gfn, 0);
	assert_int_equal(last.value, LARGE_PAGES);
}

/* Two regions of 2 MiB that are one in memory: told of page by page, and a write to one of them alone. */
static void test_shared_as_a_whole(void **state)
{
	(void)state;
	pages_told_of = LARGE_PAGES;
	for (domid_t d = 1; d <= 2; d++) {
		make_space(&guest[d], d, LARGE_PAGES);
		assert_int_equal(mm_populate_large(&guest[d], GFN(0)), MM_OK);
		for (uint64_t g = 0; g < LARGE_PAGES; g++)
			assert_int_equal(guest_write(d, &guest[d], PAGE(g), 100 + g),
			                 VERDICT_RESUME);
	}
	for (unsigned i = 0; i < 3; i++) {
		guest_leave_all();
		scan_slice(1000000);
	}
	assert_int_equal(space_stats(&guest[1]).large_shared, 1);
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_equal(events[TRACE_WRITE], 2 * LARGE_PAGES);
	for (uint64_t g = 0; g < LARGE_PAGES; g++) {
		assert_true(told[1][g].known && told[2][g].known);
		assert_int_equal(told[1][g].value, told[2][g].value);
		assert_int_not_equal(told[1][g].value, told[1][(g + 1) % LARGE_PAGES].value);
	}
	assert_int_equal(guest_write(1, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	assert_int_equal(events[TRACE_BREAK], 1);
	guest_leave_all();
	pass();
	assert_int_equal(events[TRACE_WRITE], 2 * LARGE_PAGES + 1);
	assert_int_not_equal(told[1][9].value, told[2][9].value);
}

/*
 * A page whose dirty flag is first seen by a merge, which gives up for it and makes it writable
 * again.
 */
static void test_write_seen_by_a_merge(void **state)
{
	(void)state;
	make(1);
	make(2);
	assert_int_equal(guest_write(0, &guest[2], PAGE(80), 5), VERDICT_RESUME);
	guest_leave_all();
	scan_settle();
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_equal(guest_write(0, &guest[1], PAGE(2), 5), VERDICT_RESUME);
	guest_leave_all();
	scan_settle_begin();
	(void)!scan_settle_step(10000); /* a whole pass: clears the flag of page 2 */
	scan_settle_begin();
	assert_int_equal(guest_write(0, &guest[2], PAGE(80), 6), VERDICT_RESUME);
	(void)!scan_settle_step(1); /* domain 1 only: the hint of page 80 is the match of page 2 */
	assert_int_equal(mm_stats().merges, 0);
	assert_true(mm_stats().merges_given_up > 0);
	guest_leave_all();
	pass();
	check_told();
}

/* No room: the pass waits, and loses nothing. */
static void test_waits_for_room(void **state)
{
	(void)state;
	make(1);
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_equal(guest_write(0, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	room = false;
	for (unsigned i = 0; i < 100; i++)
		assert_false(trace_step(1000));
	assert_int_equal(events[TRACE_WRITE], 0);
	room = true;
	pass();
	assert_int_equal(events[TRACE_WRITE], 1);
}

/* Another trace of the same memory has other values. */
static void test_key_is_of_this_trace(void **state)
{
	uint64_t value, id;

	(void)state;
	make(1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	assert_int_equal(trace_start(&sink), MM_OK);
	assert_int_equal(trace_start(&sink), MM_INVAL); /* one at a time */
	pass();
	value = told[1][9].value;
	id = trace_look().id;
	trace_stop();
	assert_false(trace_look().on);
	assert_false(trace_step(1000));
	assert_int_equal(trace_start(&sink), MM_OK);
	pass();
	assert_int_not_equal(told[1][9].value, value);
	assert_int_not_equal(trace_look().id, id);
}

/* ---- the value ---- */

static uint64_t rotl(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_rounds(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, unsigned n)
{
	while (n--) {
		*a += *b, *b = rotl(*b, 13) ^ *a, *a = rotl(*a, 32);
		*c += *d, *d = rotl(*d, 16) ^ *c;
		*a += *d, *d = rotl(*d, 21) ^ *a;
		*c += *b, *b = rotl(*b, 17) ^ *c, *c = rotl(*c, 32);
	}
}

/* SipHash-2-4, byte by byte, from its paper. */
static uint64_t siphash(uint64_t k0, uint64_t k1, const uint8_t *bytes, uint64_t n)
{
	uint64_t a = k0 ^ UINT64_C(0x736f6d6570736575), b = k1 ^ UINT64_C(0x646f72616e646f6d);
	uint64_t c = k0 ^ UINT64_C(0x6c7967656e657261), d = k1 ^ UINT64_C(0x7465646279746573);

	for (uint64_t i = 0; i <= n; i += 8) {
		uint64_t m = i + 8 > n ? n << 56 : 0;

		for (uint64_t j = i; j < i + 8 && j < n; j++)
			m |= (uint64_t)bytes[j] << (j - i) * 8;
		d ^= m;
		sip_rounds(&a, &b, &c, &d, 2);
		a ^= m;
	}
	c ^= 0xff;
	sip_rounds(&a, &b, &c, &d, 4);
	return a ^ b ^ c ^ d;
}

/* A page's value is SipHash-2-4 of its hash, under a key that is drawn behind the trace's number. */
static void test_value_is_siphash(void **state)
{
	struct hash_sum sum;
	uint8_t bytes[15];
	uint64_t id, k0, k1;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	/* The example of the paper's appendix A. */
	assert_int_equal(siphash(UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908), bytes,
	                         sizeof(bytes)),
	                 UINT64_C(0xa129ca6149be45e5));
	make(1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	host_seed(7);
	id = env_random();
	k0 = env_random();
	k1 = env_random();
	host_seed(7);
	assert_int_equal(trace_start(&sink), MM_OK);
	assert_int_equal(trace_look().id, id);
	pass();
	sum = hash_page(env_frame(p2m_lookup(&guest[1], GFN(9)).mfn));
	assert_int_equal(told[1][9].value,
	                 siphash(k0, k1, (const uint8_t *)sum.word, sizeof(sum.word)));
}

/* ---- maps ---- */

static void count_put(struct trace_record r)
{
	events[r.type]++;
	last = r;
}

/* A map of more than one frame holds as many bits as the domain may have pages. */
static void test_large_map(void **state)
{
	static const struct trace_sink counts = {count_put, sink_room};
	uint64_t free, pages = 3 * PAGE_SIZE * 8 - 7;

	(void)state;
	make_space(&guest[1], 1, pages);
	assert_int_equal(guest_write(0, &guest[1], PAGE(pages - 1), 5), VERDICT_RESUME);
	free = host_free_frames();
	assert_int_equal(trace_start(&counts), MM_OK);
	assert_int_equal(host_free_frames(), free - 4); /* a power of 2 */
	while (!trace_step(1000000))
		;
	assert_int_equal(events[TRACE_WRITE], 1);
	assert_int_equal(last.gfn, pages - 1);
	assert_int_equal(guest_write(0, &guest[1], PAGE(pages - 2), 5), VERDICT_RESUME);
	while (!trace_step(1000000))
		;
	assert_int_equal(events[TRACE_WRITE], 2);
	assert_int_equal(trace_look().untold, 0);
	trace_stop();
	assert_int_equal(host_free_frames(), free - 1); /* page pages - 2 */
}

/* The end of a domain that is traced is told, and its map goes. */
static void test_end_is_told(void **state)
{
	uint64_t free = host_free_frames();

	(void)state;
	make(1);
	assert_int_equal(trace_start(&sink), MM_OK);
	destroy_space(&guest[1]);
	assert_int_equal(events[TRACE_DESTROY], 1);
	assert_int_equal(last.domid, 1);
	assert_int_equal(host_free_frames(), free);
	make(1);
	assert_int_equal(events[TRACE_CREATE], 2);
}

/* Off: nobody is told, and no frame is held. */
static void test_off_costs_nothing(void **state)
{
	uint64_t before, free;

	(void)state;
	make(1);
	free = host_free_frames();
	assert_int_equal(trace_start(&sink), MM_OK);
	assert_int_equal(host_free_frames(), free - 1);
	trace_stop();
	assert_int_equal(host_free_frames(), free);
	before = events[TRACE_POPULATE];
	assert_int_equal(guest_write(0, &guest[1], PAGE(9), 5), VERDICT_RESUME);
	assert_int_equal(events[TRACE_POPULATE], before);
	guest_leave_all();
	destroy_space(&guest[1]);
	assert_int_equal(events[TRACE_DESTROY], 0);
}

static void test_no_memory(void **state)
{
	uint64_t free;

	(void)state;
	make(1);
	make(2);
	free = host_free_frames();
	host_fail_alloc(2);
	assert_int_equal(trace_start(&sink), MM_NOMEM);
	assert_false(trace_look().on);
	assert_int_equal(host_free_frames(), free);
	host_fail_alloc(0);
	assert_int_equal(trace_start(&sink), MM_OK);
}

static void sink_ignore(struct trace_record r)
{
	last = r;
}

static unsigned steps_of_a_pass(void)
{
	unsigned n = 1;

	while (!trace_step(4096))
		n++;
	return n;
}

/* A guest moves one page to the other end of what there can be: a pass goes from entry to entry, not by numbers. */
static void test_far_page(void **state)
{
	const struct trace_sink ignore = {sink_ignore, sink_room};
	gfn_t near = GFN(1), far = GFN(GFN_LIMIT - 1024);
	unsigned before;

	(void)state;
	make(1);
	assert_int_equal(trace_start(&ignore), MM_OK);
	before = steps_of_a_pass();
	assert_int_equal(balloon_out(&guest[1], &near, 1, 0), 1);
	assert_int_equal(balloon_in(&guest[1], &far, 1, 0), 1);
	assert_in_range(steps_of_a_pass(), before, before + 8);
	trace_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_every_content_is_told, setup, teardown),
	    {"test_every_content_is_told, log",     test_every_content_is_told, setup_log,     teardown,
	                                                   NULL	                                                                                    },
	    {"test_every_content_is_told, protect", test_every_content_is_told, setup_protect,
	                                                   teardown,	                                                                           NULL},
	    cmocka_unit_test_setup_teardown(test_begins_with_all, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_faults_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_large_page_goes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared_as_a_whole, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_write_seen_by_a_merge, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_waits_for_room, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_key_is_of_this_trace, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_value_is_siphash, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_large_map, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_end_is_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_off_costs_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_far_page, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
