/* SPDX-License-Identifier: MIT */
/*
 * The model test. Random operations on several spaces of two share groups, on
 * three CPUs, against an oracle that is a flat array of bytes a space. Guests
 * reach memory through modelled TLBs only; the scanner merges meanwhile, with guests
 * writing between its steps; allocations fail now and then. After every step the audit passes,
 * and at the end each guest reads exactly what it last wrote (invariant 9), and
 * no frame is missing.
 *
 * Three seeds are fixed, one is new in each run and printed: `model SEED` repeats it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "tests/unit/mm_test.h"

#define SPACES  4u
#define PAGES   1100u
#define FRAMES  2600u /* less than all spaces could ask for */
#define CPUS    3u
#define STEPS   2500u
#define WINDOW  48u /* pages that are used: half of them at 0, half from 2 MiB on */
#define SERVICE 30u /* where the service page of each space is mapped, now and then */

struct oracle {
	struct space s;
	bool alive, hole[PAGES];
	unsigned pins[PAGES];
	mfn_t service;
	bool service_mapped;
	_Alignas(8) uint8_t bytes[PAGES][PAGE_SIZE];
};

static struct oracle oracles[SPACES];
static uint64_t state_seed, now_seed;
static const char *doing = "start";
static uint64_t step_now, waits, merges_seen;

static uint64_t rnd(uint64_t n)
{
	now_seed = now_seed * 6364136223846793005u + 1442695040888963407u;
	return (now_seed >> 33) % n;
}

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail_msg("seed %llu step %llu (%s): %s", (unsigned long long)state_seed,   \
			         (unsigned long long)step_now, doing, #cond);                      \
	} while (0)

static struct oracle *any(void)
{
	return &oracles[rnd(SPACES)];
}

static uint64_t any_page(void)
{
	uint64_t n = rnd(WINDOW);

	return n < WINDOW / 2 ? n : LARGE_PAGES + n;
}

static uint64_t any_offset(void)
{
	static const uint64_t at[] = {0, 0, 0, 8, 4088};

	return at[rnd(ARRAY_SIZE(at))];
}

/* Few values, so that pages become equal, and zero often. */
static uint64_t any_value(void)
{
	return rnd(3) ? 0 : rnd(4);
}

static uint64_t *word(struct oracle *o, uint64_t page, uint64_t at)
{
	return (uint64_t *)&o->bytes[page][at];
}

/* ---- operations ---- */

static void create(struct oracle *o)
{
	unsigned n = (unsigned)(o - oracles);
	struct space_config c = {.domid = (domid_t)(n + 1),
	                         .share_group = n == 2 ? 8 : 7,
	                         .memory_pages = PAGES,
	                         .max_pages = PAGES,
	                         .min_pages = n == 1 ? 40 : 0};
	enum mm_status st = space_create(&o->s, &c);

	MUST(st == MM_OK || st == MM_NOMEM);
	if (st != MM_OK)
		return;
	memset(o->bytes, 0, sizeof(o->bytes));
	memset(o->hole, 0, sizeof(o->hole));
	memset(o->pins, 0, sizeof(o->pins));
	o->alive = true;
	o->service_mapped = false;
}

static void destroy(struct oracle *o)
{
	guest_leave_all();
	while (!space_destroy_step(&o->s, 50))
		;
	o->alive = false;
}

static void op_write(struct oracle *o)
{
	uint64_t page = any_page(), at = any_offset(), v = any_value();
	unsigned cpu = (unsigned)rnd(CPUS);
	enum mm_verdict r = rnd(12) ? guest_write(cpu, &o->s, PAGE(page) + at, v)
	                            : guest_walk_write(cpu, &o->s, PAGE(page) + at, v);

	if (o->hole[page]) {
		MUST(r == VERDICT_DEVICE);
		return;
	}
	MUST(r == VERDICT_RESUME || r == VERDICT_WAIT);
	if (r == VERDICT_RESUME)
		*word(o, page, at) = v;
	waits += r == VERDICT_WAIT;
}

static void op_read(struct oracle *o)
{
	uint64_t page = any_page(), at = any_offset(), v = 0;
	enum mm_verdict r = guest_read((unsigned)rnd(CPUS), &o->s, PAGE(page) + at, &v);

	MUST(r == (o->hole[page] ? VERDICT_DEVICE : VERDICT_RESUME));
	if (r == VERDICT_RESUME)
		MUST(v == *word(o, page, at));
}

static void op_fill(struct oracle *o)
{
	uint64_t page = any_page();
	uint8_t bytes[PAGE_SIZE];
	enum mm_status st;

	memset(bytes, rnd(3) ? (rnd(2) ? 0xff : 0) : (int)rnd(4), sizeof(bytes));
	st = mm_write(&o->s, PAGE(page), bytes, PAGE_SIZE);
	if (o->hole[page]) {
		MUST(st == MM_NORAM);
		return;
	}
	MUST(st == MM_OK || st == MM_NOMEM);
	if (st == MM_OK)
		memcpy(o->bytes[page], bytes, PAGE_SIZE);
}

static void check_page(struct oracle *o, uint64_t page)
{
	uint8_t bytes[PAGE_SIZE];
	enum mm_status st = mm_read(&o->s, PAGE(page), bytes, PAGE_SIZE);

	MUST(st == (o->hole[page] ? MM_NORAM : MM_OK));
	if (st == MM_OK)
		MUST(memcmp(bytes, o->bytes[page], PAGE_SIZE) == 0);
}

static void op_balloon_out(struct oracle *o)
{
	gfn_t g[6];
	uint64_t n = 1 + rnd(6), went;
	uint64_t expect = 0;
	bool gone[PAGES];

	memcpy(gone, o->hole, sizeof(gone));
	for (unsigned i = 0; i < n; i++)
		g[i] = GFN(any_page());
	while (expect < n && !gone[g[expect].n] && !o->pins[g[expect].n])
		gone[g[expect++].n] = true;
	went = balloon_out(&o->s, g, n, 0);
	MUST(went == expect);
	memcpy(o->hole, gone, sizeof(gone));
}

static void op_balloon_in(struct oracle *o)
{
	gfn_t g[6];
	uint64_t n = 1 + rnd(6), came, possible = 0;

	for (unsigned i = 0; i < n; i++)
		g[i] = GFN(any_page());
	came = balloon_in(&o->s, g, n, 0);
	for (; possible < came; possible++) {
		MUST(o->hole[g[possible].n]);
		o->hole[g[possible].n] = false;
		memset(o->bytes[g[possible].n], 0, PAGE_SIZE);
	}
}

static void op_balloon_large(struct oracle *o)
{
	bool can = true, want = true;
	gfn_t g = GFN(LARGE_PAGES);

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		can = can && !o->hole[g.n + i] && !o->pins[g.n + i];
		want = want && o->hole[g.n + i];
	}
	if (want) {
		if (balloon_in(&o->s, &g, 1, LARGE_ORDER) == 1)
			for (unsigned i = 0; i < LARGE_PAGES; i++) {
				o->hole[g.n + i] = false;
				memset(o->bytes[g.n + i], 0, PAGE_SIZE);
			}
		return;
	}
	MUST(balloon_out(&o->s, &g, 1, LARGE_ORDER) == can);
	for (unsigned i = 0; can && i < LARGE_PAGES; i++)
		o->hole[g.n + i] = true;
}

static void op_populate_large(struct oracle *o)
{
	/* Succeeds only where nothing was ever written, so the oracle's bytes are zero there. */
	if (mm_populate_large(&o->s, GFN(LARGE_PAGES)) == MM_OK)
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			MUST(!o->hole[LARGE_PAGES + i]);
}

static void op_pin(struct oracle *o)
{
	uint64_t page = any_page();
	enum mm_status st;
	void *at;

	if (o->pins[page] && rnd(2)) {
		mm_unpin(&o->s, GFN(page));
		o->pins[page]--;
		return;
	}
	st = mm_pin(&o->s, GFN(page), &at);
	MUST(st == MM_OK || st == MM_NOMEM || (st == MM_NORAM && o->hole[page]));
	if (st != MM_OK)
		return;
	o->pins[page]++;
	MUST(memcmp(at, o->bytes[page], PAGE_SIZE) == 0);
	*(uint64_t *)at = 3; /* the hypervisor writes there */
	*word(o, page, 0) = 3;
}

static void op_service(struct oracle *o)
{
	gfn_t g = GFN(SERVICE);

	if (o->service_mapped) {
		MUST(mm_unmap_service(&o->s, g) == MM_OK);
		o->service_mapped = false;
		return;
	}
	if (o->pins[SERVICE])
		return;
	MUST(mm_map_service(&o->s, g, o->service) == MM_OK);
	o->service_mapped = o->hole[SERVICE] = true; /* a hole, once it is unmapped */
}

static void op_scan(struct oracle *o)
{
	(void)o;
	scan_slice(1 + rnd(300));
}

static void op_restart(struct oracle *o)
{
	if (rnd(12) == 0)
		destroy(o);
}

/* Every write that CPUs can make right now without a fault: at any point, under any lock. */
static void strike_cached(struct oracle *o)
{
	for (unsigned i = 0; i < WINDOW; i++) {
		uint64_t page = i < WINDOW / 2 ? i : LARGE_PAGES + i, at = any_offset(),
		         v = any_value();

		if (o->alive && !o->hole[page] &&
		    guest_write_cached((unsigned)rnd(CPUS), &o->s, PAGE(page) + at, v))
			*word(o, page, at) = v;
	}
}

/*
 * Guests write between the steps: with and without faults where no p2m lock is
 * held, without faults everywhere.
 */
static void strike(enum env_point p)
{
	struct oracle *o = any();

	if (p == POINT_ALLOC || !rnd(3))
		return;
	strike_cached(o);
	if (p == POINT_MERGE_PROTECTED || p == POINT_MERGE_FLUSHED || p == POINT_MERGE_SWITCHED ||
	    p == POINT_SCAN_READ)
		if (o->alive && rnd(2))
			op_write(o);
}

static const struct {
	const char *name;
	void (*run)(struct oracle *o);
	unsigned weight;
} ops[] = {
    {"write",          op_write,          30},
    {"read",           op_read,           20},
    {"fill",           op_fill,           8 },
    {"scan",           op_scan,           20},
    {"balloon out",    op_balloon_out,    5 },
    {"balloon in",     op_balloon_in,     6 },
    {"balloon large",  op_balloon_large,  1 },
    {"populate large", op_populate_large, 1 },
    {"pin",            op_pin,            4 },
    {"service",        op_service,        1 },
    {"restart",        op_restart,        1 },
};

static void step(void)
{
	uint64_t total = 0, pick;
	struct oracle *o = any();
	unsigned i = 0;

	if (!o->alive) {
		doing = "create";
		create(o);
		return;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(ops); k++)
		total += ops[k].weight;
	for (pick = rnd(total); pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	doing = ops[i].name;
	host_fail_alloc(rnd(8) ? 0 : 1 + rnd(3));
	ops[i].run(o);
	host_fail_alloc(0);
}

static void finish(uint64_t free_at_start)
{
	for (unsigned n = 0; n < SPACES; n++)
		for (uint64_t page = 0; oracles[n].alive && page < PAGES; page++)
			if (!(page == SERVICE && oracles[n].service_mapped))
				check_page(&oracles[n], page);
	for (unsigned n = 0; n < SPACES; n++) {
		if (oracles[n].alive)
			destroy(&oracles[n]);
		frame_free(oracles[n].service, 0);
	}
	MUST(host_free_frames() == free_at_start);
}

static void run(uint64_t seed)
{
	uint64_t free_at_start;

	state_seed = now_seed = seed;
	host_seed(seed);
	host_start(&(struct host_config){.frames = FRAMES, .cpus = CPUS, .reserve = 20});
	free_at_start = host_free_frames();
	for (unsigned n = 0; n < SPACES; n++) {
		oracles[n].service = frame_alloc(0, FRAME_SERVICE, (domid_t)(n + 1));
		oracles[n].alive = false;
	}
	host_on_point = strike;
	for (step_now = 0; step_now < STEPS; step_now++) {
		struct audit_report r;

		step();
		r = mm_audit();
		if (r.failures)
			fail_msg("seed %llu step %llu (%s): %s", (unsigned long long)seed,
			         (unsigned long long)step_now, doing, r.first);
		merges_seen += mm_stats().pages_saved;
	}
	host_on_point = NULL;
	finish(free_at_start);
	host_stop();
}

static void fixed_seeds(void **state)
{
	(void)state;
	merges_seen = waits = 0;
	run(1);
	run(2);
	run(3);
	/* The run was worth something: pages were shared, and memory did run out. */
	assert_true(merges_seen > 0);
	assert_true(waits > 0);
}

static uint64_t fresh;

static void fresh_seed(void **state)
{
	(void)state;
	printf("# seed %llu\n", (unsigned long long)fresh);
	run(fresh);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fixed_seeds),
	    cmocka_unit_test(fresh_seed),
	};
	const struct CMUnitTest one[] = {cmocka_unit_test(fresh_seed)};

	fresh = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	if (argc > 1)
		return cmocka_run_group_tests_name("model", one, NULL, NULL);
	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
