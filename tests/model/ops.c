/* SPDX-License-Identifier: MIT */
/*
 * The operations of the model test. Each is made on a space, and on the flat array that
 * is its twin; what the core answers must be what the array says. All that is random
 * comes from one stream, so that a seed says everything.
 */
#include "mm/sample.h"
#include "mm/scan.h"
#include "tests/model/any.h"

#define SERVICE 30u /* where the service page of each space is mapped; outside of the window */

struct twin twins[SPACES];
static struct sampler samples[SPACES];

/*
 * In a roomy world the free frames may lie in pieces with one format and not with another: then the pages
 * come one by one, so that all formats have promised the same.
 */
static void populate_large(struct twin *t, gfn_t g)
{
	bool has_frame = run.world.roomy && twins_large_frame_free();
	enum mm_status st = mm_populate_large(&t->s, g);

	MUST(st != MM_NOMEM || !has_frame);
	if (!run.world.roomy) /* where frames lie depends on what has been merged */
		log_answer(st);
	for (unsigned i = 0; run.world.roomy && st == MM_NOMEM && i < LARGE_PAGES; i++)
		MUST(mm_fault(&t->s, GFN(g.n + i), FAULT_WRITE) == VERDICT_RESUME);
	if (st != MM_OK)
		return;
	/* Only where nothing was ever written, so the array is zero there already. */
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		MUST(!t->hole[g.n + i]);
	worth.larges++;
}

/* ---- life ---- */

static void create(struct twin *t)
{
	unsigned n = (unsigned)(t - twins);
	struct space_config c = {.domid = (domid_t)(n + 1),
	                         .share_group = n == 2 ? 8 : 7,
	                         .memory_pages = PAGES,
	                         .max_pages = PAGES,
	                         .min_pages = n == 1 ? 40 : 0};
	enum mm_status st = space_create(&t->s, &c);

	log_answer(st);
	MUST(st == MM_OK || (st == MM_NOMEM && !run.world.roomy));
	if (st != MM_OK)
		return;
	memset(t->bytes, 0, sizeof(t->bytes));
	memset(t->hole, 0, sizeof(t->hole));
	memset(t->pins, 0, sizeof(t->pins));
	memset(&samples[n], 0, sizeof(samples[n]));
	t->alive = true;
	t->service_mapped = false;
	if (rnd(2))
		populate_large(t, any_region());
}

static void destroy(struct twin *t)
{
	worth.worth_it += t->s.stats.splits_sharing;
	worth.busy += t->s.stats.splits_written;
	worth.whole += t->s.stats.coalesces;
	worth.alike += t->s.stats.large_merges;
	guest_leave_all();
	worth.expansions += space_stats(&t->s).expansions;
	while (!space_destroy_step(&t->s, 50))
		;
	t->alive = false;
}

static void op_restart(struct twin *t)
{
	if (rnd(4) == 0)
		destroy(t);
}

/* ---- guests and the hypervisor reach memory ---- */

void twin_wrote(struct twin *t, uint64_t page, uint64_t at, uint64_t v, enum mm_verdict r)
{
	log_answer(r);
	if (t->hole[page]) {
		MUST(r == VERDICT_DEVICE);
		return;
	}
	MUST(r == VERDICT_RESUME || (r == VERDICT_WAIT && !run.world.roomy));
	if (r == VERDICT_RESUME)
		*word(t, page, at) = v;
	worth.waits += r == VERDICT_WAIT;
}

void twin_write(struct twin *t)
{
	uint64_t page = any_page(), at = any_offset(), v = any_value();
	unsigned cpu = any_cpu();
	bool walk = !rnd(12) && !run.world.roomy;

	twin_wrote(t, page, at, v,
	           walk ? guest_walk_write(cpu, &t->s, PAGE(page) + at, v)
	                : guest_write(cpu, &t->s, PAGE(page) + at, v));
}

static void op_read(struct twin *t)
{
	uint64_t page = any_page(), at = any_offset(), v = 0, gpa = PAGE(page) + at;
	unsigned cpu = any_cpu();
	bool fetch = !rnd(8);
	enum mm_verdict r =
	    fetch ? guest_fetch(cpu, &t->s, gpa, &v) : guest_read(cpu, &t->s, gpa, &v);

	log_answer(r);
	log_answer(v);
	if (r == VERDICT_WAIT) { /* compressed, and no frame to expand it into */
		MUST(!run.world.roomy && !t->hole[page]);
		MUST(p2m_lookup(&t->s, GFN(page)).type == P2M_COMPRESSED);
		worth.waits++;
		return;
	}
	MUST(r == (t->hole[page] ? VERDICT_DEVICE : VERDICT_RESUME));
	if (r == VERDICT_RESUME)
		MUST(v == *word(t, page, at));
}

/* The whole page, by the hypervisor. */
static void op_fill(struct twin *t)
{
	uint64_t page = any_page();
	uint8_t bytes[PAGE_SIZE];
	enum mm_status st;

	memset(bytes, rnd(3) ? (rnd(2) ? 0xff : 0) : (int)rnd(4), sizeof(bytes));
	st = mm_write(&t->s, PAGE(page), bytes, PAGE_SIZE);
	log_answer(st);
	if (t->hole[page]) {
		MUST(st == MM_NORAM);
		return;
	}
	MUST(st == MM_OK || (st == MM_NOMEM && !run.world.roomy));
	if (st == MM_OK)
		memcpy(t->bytes[page], bytes, PAGE_SIZE);
}

/* A guest writes to all pages of a region: different things, so that they stay its own. */
static void touch_region(struct twin *t, gfn_t first)
{
	unsigned cpu = any_cpu();
	bool down = rnd(2); /* so that the frames lie in another order */

	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		uint64_t page = first.n + (down ? LARGE_PAGES - 1 - i : i);
		uint64_t v = 10000u * t->s.domid + page;
		enum mm_verdict r;

		if (t->hole[page])
			continue;
		r = guest_write(cpu, &t->s, PAGE(page) + 16, v);
		twin_wrote(t, page, 16, v, r);
		if (r == VERDICT_WAIT)
			return;
	}
}

static void check_page(struct twin *t, uint64_t page)
{
	uint8_t bytes[PAGE_SIZE];
	enum mm_status st = mm_read(&t->s, PAGE(page), bytes, PAGE_SIZE);

	MUST(st == (t->hole[page] ? MM_NORAM : MM_OK));
	if (st == MM_OK)
		MUST(memcmp(bytes, t->bytes[page], PAGE_SIZE) == 0);
}

static void op_pin(struct twin *t)
{
	uint64_t page = any_page();
	enum mm_status st;
	void *at;

	if (t->pins[page] && rnd(4)) {
		mm_unpin(&t->s, GFN(page));
		t->pins[page]--;
		return;
	}
	st = mm_pin(&t->s, GFN(page), &at);
	log_answer(st);
	MUST(st == MM_OK || (st == MM_NOMEM && !run.world.roomy) ||
	     (st == MM_NORAM && t->hole[page]));
	if (st != MM_OK)
		return;
	t->pins[page]++;
	MUST(memcmp(at, t->bytes[page], PAGE_SIZE) == 0);
	*(uint64_t *)at = 3; /* the hypervisor writes there */
	*word(t, page, 0) = 3;
}

static void op_service(struct twin *t)
{
	gfn_t g = GFN(SERVICE);

	if (t->service_mapped) {
		MUST(mm_unmap_service(&t->s, g) == MM_OK);
		t->service_mapped = false;
		return;
	}
	MUST(mm_map_service(&t->s, g, t->service) == MM_OK);
	t->service_mapped = t->hole[SERVICE] = true; /* a hole, once it is unmapped */
}

/* ---- balloon ---- */

static void came_back(struct twin *t, uint64_t page)
{
	MUST(t->hole[page]);
	t->hole[page] = false;
	memset(t->bytes[page], 0, PAGE_SIZE);
}

static void op_balloon_out(struct twin *t)
{
	gfn_t g[6];
	uint64_t n = 1 + rnd(6), went, expect = 0;
	bool gone[PAGES];

	memcpy(gone, t->hole, sizeof(gone));
	for (unsigned i = 0; i < n; i++)
		g[i] = GFN(any_page());
	while (expect < n && !gone[g[expect].n] && !t->pins[g[expect].n])
		gone[g[expect++].n] = true;
	went = balloon_out(&t->s, g, n, 0);
	log_answer(went);
	MUST(went == expect);
	memcpy(t->hole, gone, sizeof(gone));
}

static void op_balloon_in(struct twin *t)
{
	gfn_t g[6];
	uint64_t n = 1 + rnd(6), came;

	for (unsigned i = 0; i < n; i++)
		g[i] = GFN(any_page());
	came = balloon_in(&t->s, g, n, 0);
	log_answer(came);
	for (uint64_t i = 0; i < came; i++)
		came_back(t, g[i].n);
	if (run.world.roomy && came < n)
		MUST(!t->hole[g[came].n]);
}

static void op_balloon_large(struct twin *t)
{
	bool can = true, want = true, done;
	gfn_t g = any_region();

	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		can = can && !t->hole[g.n + i] && !t->pins[g.n + i];
		want = want && t->hole[g.n + i];
	}
	want = want && !(g.n == 0 && t->service_mapped);
	done = want ? balloon_in(&t->s, &g, 1, LARGE_ORDER) == 1
	            : balloon_out(&t->s, &g, 1, LARGE_ORDER) == 1;
	log_answer(done);
	if (want)
		MUST(done || !run.world.roomy);
	else
		MUST(done == can);
	for (unsigned i = 0; done && i < LARGE_PAGES; i++) {
		if (want)
			came_back(t, g.n + i);
		else
			t->hole[g.n + i] = true;
	}
}

/* ---- the shape of the map ---- */

static void op_populate_large(struct twin *t)
{
	populate_large(t, any_region());
}

static void coalesce(struct twin *t, gfn_t g)
{
	enum mm_status st, expect = twin_can_coalesce(t, g);
	bool has_frame = run.world.roomy && twins_large_frame_free();
	mfn_t before = p2m_lookup(&t->s, g).mfn;

	st = mm_coalesce(&t->s, g);
	if (!run.world.roomy) /* it depends on what has been merged */
		log_answer(st);
	MUST(st == expect || (st == MM_NOMEM && expect == MM_OK && !has_frame));
	MUST(p2m_lookup(&t->s, g).large || st != MM_OK);
	if (st == MM_OK && mfn_eq(before, p2m_lookup(&t->s, g).mfn))
		worth.joined++;
	else
		worth.moved += st == MM_OK;
}

/* All holes of a region are filled, as far as memory goes. */
static void fill_region(struct twin *t, gfn_t first)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		gfn_t g = GFN(first.n + i);
		bool mapped = g.n == SERVICE && t->service_mapped;

		if (!t->hole[g.n] || mapped)
			continue;
		if (!balloon_in(&t->s, &g, 1, 0)) {
			MUST(!run.world.roomy);
			return;
		}
		came_back(t, g.n);
	}
}

static void op_coalesce(struct twin *t)
{
	gfn_t g = any_region();

	if (rnd(4)) {
		fill_region(t, g);
		touch_region(t, g);
	}
	coalesce(t, g);
}

/* Whole pages of a region, none like another. False: no memory for it now. */
static bool fill_alike(struct twin *t, gfn_t first, uint64_t salt)
{
	uint64_t words[PAGE_SIZE / 8] = {0};

	fill_region(t, first);
	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		uint64_t page = first.n + i;
		enum mm_status st;

		words[1] = salt + i;
		if (t->hole[page])
			continue;
		st = mm_write(&t->s, PAGE(page), words, PAGE_SIZE);
		log_answer(st);
		MUST(st == MM_OK || (st == MM_NOMEM && !run.world.roomy));
		if (st != MM_OK)
			return false;
		memcpy(t->bytes[page], words, PAGE_SIZE);
	}
	return true;
}

/* Two regions become alike in all their pages, and are large as far as that can be; and rest. */
static void op_alike(struct twin *t)
{
	gfn_t g = any_region(), h = any_region();
	uint64_t salt = 70000 + 1000 * rnd(2);
	struct twin *u = any();

	if (!u->alive || !fill_alike(t, g, salt) || !fill_alike(u, h, salt))
		return;
	coalesce(t, g);
	if (t != u || !gfn_eq(g, h))
		coalesce(u, h);
	for (unsigned i = 0; i < 6; i++) {
		guest_empty_logs();
		scan_slice(SPACES * PAGES * 8);
	}
}

/* And, now and then, together again. */
static void op_split(struct twin *t)
{
	gfn_t g = any_region();
	bool large;

	p2m_lock(&t->s);
	large = p2m_split(&t->s, g);
	if (large)
		flush_space(&t->s);
	p2m_unlock(&t->s);
	worth.splits += large;
	/* Nothing random may hang on `large`: it depends on what has been merged. */
	if (rnd(2))
		twin_write(t);
	if (rnd(4))
		coalesce(t, g);
}

/* Somebody else wants to know what was written. */
static void op_harvest(struct twin *t)
{
	p2m_lock(&t->s);
	if (p2m_harvest(&t->s, GFN(rnd(PAGES)), 1 + rnd(PAGES)))
		flush_space(&t->s);
	p2m_unlock(&t->s);
}

/* Somebody else wants to know how much is used. */
static void op_sample(struct twin *t)
{
	struct sampler *m = &samples[t - twins];
	bool period = rnd(3);

	if (period)
		sample_period(m, &t->s, 1 + (unsigned)rnd(20));
	else
		sample_look(m, &t->s);
	MUST(m->n <= 20 && sample_active(m, &t->s) <= t->s.held);
}

static void op_scan(struct twin *t)
{
	(void)t;
	scan_slice(1 + rnd(300));
}

static void op_settle(struct twin *t)
{
	(void)t;
	scan_settle();
}

/* Passes with little between them: what is quiet gets known, and is passed over. */
static void op_rest(struct twin *t)
{
	for (unsigned i = 0; i < 4; i++) {
		bool look = rnd(2);

		scan_slice(SPACES * PAGES);
		t = any();
		if (look && t->alive)
			op_read(t);
	}
}

/* It goes by what is short: not in a roomy world. Two in a row find more that is cold. */
static void op_compress(struct twin *t)
{
	uint64_t frames = 1 + rnd(64), looks = 1 + rnd(3 * PAGES);
	bool twice = rnd(2);

	for (unsigned i = 0; i < 1u + twice && !run.world.roomy; i++) {
		struct compress_result r = compress_some(&t->s, frames, looks);

		log_answer(r.freed);
		log_answer(r.looked);
		/* The last batch, of 32 pages at most, is paid for behind its looks. */
		MUST(r.looked <= looks + 32 * COMPRESS_PACK_LOOKS);
		worth.compressed += r.freed;
	}
}

/* A region of pages that differ, and nobody does anything for a while: it may be made whole. */
static void op_doze(struct twin *t)
{
	gfn_t g = any_region();

	fill_region(t, g);
	touch_region(t, g);
	for (unsigned i = 0; i < 12; i++) {
		guest_empty_logs();
		scan_slice(SPACES * PAGES * 8);
	}
}

/* ---- one after the other ---- */

static const struct {
	const char *name;
	void (*run)(struct twin *t);
	unsigned weight;
} ops[] = {
    {"write",          twin_write,        30},
    {"read",           op_read,           20},
    {"fill",           op_fill,           8 },
    {"scan",           op_scan,           20},
    {"settle",         op_settle,         1 },
    {"rest",           op_rest,           2 },
    {"doze",           op_doze,           2 },
    {"balloon out",    op_balloon_out,    5 },
    {"balloon in",     op_balloon_in,     6 },
    {"balloon large",  op_balloon_large,  3 },
    {"populate large", op_populate_large, 1 },
    {"coalesce",       op_coalesce,       2 },
    {"alike",          op_alike,          2 },
    {"split",          op_split,          6 },
    {"harvest",        op_harvest,        1 },
    {"compress",       op_compress,       5 },
    {"sample",         op_sample,         2 },
    {"pin",            op_pin,            4 },
    {"service",        op_service,        1 },
    {"restart",        op_restart,        1 },
};

void twin_step(void)
{
	uint64_t total = 0, pick, fail;
	struct twin *t = any();
	unsigned i = 0;

	for (unsigned k = 0; k < ARRAY_SIZE(ops); k++)
		total += ops[k].weight;
	for (pick = rnd(total); pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	fail = rnd(8) ? 0 : 1 + rnd(3);
	run.doing = t->alive ? ops[i].name : "create";
	host_fail_alloc(run.world.roomy ? 0 : fail);
	if (t->alive)
		ops[i].run(t);
	else
		create(t);
	host_fail_alloc(0);
}

void twins_start(void)
{
	for (unsigned n = 0; n < SPACES; n++) {
		twins[n].service = frame_alloc(0, FRAME_SERVICE, (domid_t)(n + 1));
		twins[n].alive = false;
	}
}

void twins_finish(void)
{
	run.doing = "finish";
	for (unsigned n = 0; n < SPACES; n++)
		for (uint64_t page = 0; twins[n].alive && page < PAGES; page++)
			if (!(page == SERVICE && twins[n].service_mapped))
				check_page(&twins[n], page);
	for (unsigned n = 0; n < SPACES; n++) {
		if (twins[n].alive)
			destroy(&twins[n]);
		frame_free(twins[n].service, 0);
	}
}
