/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a sequence of operations on the memory core. The first one says in what world:
 * bits 0 and 1 how many bits of a fingerprint count (all, none, one, three: then different
 * contents meet in the index), bit 2 without dirty bits, bit 3 large leaves not executable. Then
 * four bytes for each operation: which, who, where, what. The rules are those of the model test
 * (tests/model/model.c), the choice is the fuzzer's: it looks for branches of mm/, not for luck.
 * Guests reach memory through modelled TLBs; the audit runs again and again; at the end each guest
 * reads what it last wrote, and no frame is missing.
 */
#include "mm/hash.h"
#include "mm/mm.h"
#include "tests/fuzz/fuzz.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/toy_format.h"

#define SPACES 3u
#define CPUS   2u
#define FRAMES 1200u /* less than all spaces could ask for */
#define PAGES  520u  /* of a space: one large page and a few */
#define WINDOW 16u   /* pages 0 .. WINDOW - 1 are written; the others stay zero */
#define STEPS  250u

struct op {
	uint8_t kind, who, where, what;
};

struct model {
	struct space s;
	bool alive, hole[PAGES];
	unsigned pins[WINDOW];
	_Alignas(8) uint8_t bytes[WINDOW][PAGE_SIZE];
};

static struct model models[SPACES];
static struct {
	bool armed;
	uint8_t point;
	struct op op;
} strike;

static uint64_t *word_at(struct model *m, uint64_t page, uint64_t at)
{
	return (uint64_t *)(void *)&m->bytes[page][at];
}

static uint64_t offset(struct op o)
{
	return o.where & 0x80 ? PAGE_SIZE - 8 : o.where & 0x40 ? 8 : 0;
}

static uint64_t page(struct op o)
{
	return o.where % WINDOW;
}

static unsigned cpu(struct op o)
{
	return o.who >> 4 & 1;
}

static void create(struct model *m)
{
	unsigned n = (unsigned)(m - models);
	const struct space_config c = {.domid = (domid_t)(n + 1),
	                               .share_group = n == 2 ? 8 : 7,
	                               .memory_pages = PAGES,
	                               .max_pages = PAGES,
	                               .min_pages = n == 1 ? 12 : 0};
	enum mm_status st = space_create(&m->s, &c);

	MUST(st == MM_OK || st == MM_NOMEM);
	m->alive = st == MM_OK;
	memset(m->bytes, 0, sizeof(m->bytes));
	memset(m->hole, 0, sizeof(m->hole));
	memset(m->pins, 0, sizeof(m->pins));
}

static void op_destroy(struct model *m, struct op o)
{
	guest_leave_all();
	while (!space_destroy_step(&m->s, 1 + o.what))
		;
	m->alive = false;
}

static void op_write(struct model *m, struct op o)
{
	uint64_t gpa = page(o) << PAGE_SHIFT | offset(o);
	enum mm_verdict r = o.who & 0x80 ? guest_walk_write(cpu(o), &m->s, gpa, o.what & 3)
	                                 : guest_write(cpu(o), &m->s, gpa, o.what & 3);

	if (m->hole[page(o)]) {
		MUST(r == VERDICT_DEVICE);
		return;
	}
	MUST(r == VERDICT_RESUME || r == VERDICT_WAIT);
	if (r == VERDICT_RESUME)
		*word_at(m, page(o), offset(o)) = o.what & 3;
}

static void op_read(struct model *m, struct op o)
{
	uint64_t v = 0;
	uint64_t gpa = page(o) << PAGE_SHIFT | offset(o);
	enum mm_verdict r =
	    o.who & 0x80 ? guest_fetch(cpu(o), &m->s, gpa, &v) : guest_read(cpu(o), &m->s, gpa, &v);

	if (r == VERDICT_WAIT) /* compressed, and no frame for it */
		MUST(p2m_lookup(&m->s, GFN(page(o))).type == P2M_COMPRESSED);
	else
		MUST(r == (m->hole[page(o)] ? VERDICT_DEVICE : VERDICT_RESUME));
	MUST(r != VERDICT_RESUME || v == *word_at(m, page(o), offset(o)));
}

/* A whole page of one byte, which makes pages equal and constant. */
static void op_fill(struct model *m, struct op o)
{
	uint8_t bytes[PAGE_SIZE];
	enum mm_status st;

	memset(bytes, o.what & 1 ? (o.what & 2 ? 0xff : 0x5a) : 0, sizeof(bytes));
	st = mm_write(&m->s, page(o) << PAGE_SHIFT, bytes, PAGE_SIZE);
	if (m->hole[page(o)]) {
		MUST(st == MM_NORAM);
		return;
	}
	MUST(st == MM_OK || st == MM_NOMEM);
	if (st == MM_OK)
		memcpy(m->bytes[page(o)], bytes, PAGE_SIZE);
}

static void op_scan(struct model *m, struct op o)
{
	(void)m;
	scan_slice(1 + o.what * 4u);
}

static void op_settle(struct model *m, struct op o)
{
	(void)m;
	(void)o;
	scan_settle();
}

/* Twice, with the highest bit of `what`: what the first round found in use may be cold then. */
static void op_compress(struct model *m, struct op o)
{
	for (unsigned i = 0; i < 1u + (o.what >> 7); i++) {
		struct compress_result r =
		    compress_some(&m->s, 1 + (o.what & 31), 1 + 3u * o.where);

		/* The last batch, of 32 pages at most, is paid for behind its looks. */
		MUST(r.looked <= 1 + 3u * o.where + 32 * COMPRESS_PACK_LOOKS);
	}
}

/* A run of pages; a page twice in one call with the highest bit of `what`. */
static uint64_t list(struct op o, gfn_t g[9])
{
	uint64_t n = 1 + (o.what & 7);

	for (uint64_t i = 0; i < n; i++)
		g[i] = GFN((page(o) + i) % WINDOW);
	if (o.what & 0x80)
		g[n++] = g[0];
	return n;
}

static void op_balloon_out(struct model *m, struct op o)
{
	uint64_t expect = 0, n;
	gfn_t g[9];

	n = list(o, g);
	for (; expect < n && !m->hole[g[expect].n] && !m->pins[g[expect].n]; expect++)
		m->hole[g[expect].n] = true;
	MUST(balloon_out(&m->s, g, n, 0) == expect);
}

static void op_balloon_in(struct model *m, struct op o)
{
	uint64_t came, n;
	gfn_t g[9];

	n = list(o, g);
	came = balloon_in(&m->s, g, n, 0);
	MUST(came <= n);
	for (uint64_t i = 0; i < came; i++) {
		MUST(m->hole[g[i].n]);
		m->hole[g[i].n] = false;
		memset(m->bytes[g[i].n], 0, PAGE_SIZE);
	}
}

static void set_large(struct model *m, bool hole)
{
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		m->hole[i] = hole;
	if (!hole)
		memset(m->bytes, 0, sizeof(m->bytes));
}

static void op_balloon_large(struct model *m, struct op o)
{
	bool can = true, want = true;
	gfn_t g = GFN(0);

	(void)o;
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		can = can && !m->hole[i] && !(i < WINDOW && m->pins[i]);
		want = want && m->hole[i];
	}
	if (want && balloon_in(&m->s, &g, 1, LARGE_ORDER))
		set_large(m, false);
	else if (!want) {
		MUST(balloon_out(&m->s, &g, 1, LARGE_ORDER) == can);
		if (can)
			set_large(m, true);
	}
}

/* Whether it works or not, what guests read does not change. */
static void op_populate_large(struct model *m, struct op o)
{
	(void)o;
	if (mm_populate_large(&m->s, GFN(0)) == MM_OK)
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			MUST(!m->hole[i]);
}

/* All pages of the large one are written: with the highest bit of `what`, and then put together. */
static void op_coalesce(struct model *m, struct op o)
{
	enum mm_status st;

	for (unsigned i = 0; o.what & 0x80 && i < LARGE_PAGES; i++) {
		uint64_t v = i < WINDOW ? 1 : 0;
		enum mm_verdict r;

		if (m->hole[i])
			continue;
		r = guest_write(cpu(o), &m->s, (uint64_t)i << PAGE_SHIFT, v);
		MUST(r == VERDICT_RESUME || r == VERDICT_WAIT);
		if (r == VERDICT_RESUME && i < WINDOW)
			*word_at(m, i, 0) = v;
	}
	st = mm_coalesce(&m->s, GFN(0));
	MUST(st == MM_OK || st == MM_INVAL || st == MM_NOMEM || st == MM_PINNED);
	MUST(st != MM_OK || p2m_lookup(&m->s, GFN(0)).large);
}

static void op_pin(struct model *m, struct op o)
{
	enum mm_status st;
	void *at;

	if (m->pins[page(o)] && (o.what & 1)) {
		mm_unpin(&m->s, GFN(page(o)));
		m->pins[page(o)]--;
		return;
	}
	st = mm_pin(&m->s, GFN(page(o)), &at);
	MUST(st == MM_OK || st == MM_NOMEM || (st == MM_NORAM && m->hole[page(o)]));
	if (st != MM_OK)
		return;
	m->pins[page(o)]++;
	MUST(memcmp(at, m->bytes[page(o)], PAGE_SIZE) == 0);
	*(uint64_t *)at = *word_at(m, page(o), 0) = 3; /* the hypervisor writes there */
}

/* The next operation's k-th allocation fails. */
static void op_fail(struct model *m, struct op o)
{
	(void)m;
	host_fail_alloc(1 + o.what % 6);
}

/* A write, or (highest bit of `where`) a read, that strikes in the middle of a later merge. */
static void op_strike(struct model *m, struct op o)
{
	(void)m;
	strike.armed = true;
	strike.point = o.what >> 2;
	strike.op = o;
}

static void on_point(enum env_point p)
{
	struct model *m = &models[strike.op.who % SPACES];
	struct op o = strike.op;

	if (!strike.armed || !m->alive || (unsigned)p != strike.point % POINT_COUNT ||
	    m->hole[page(o)])
		return;
	strike.armed = false;
	if (!(o.where & 0x80) &&
	    guest_write_cached(cpu(o), &m->s, page(o) << PAGE_SHIFT | offset(o), o.what & 3))
		*word_at(m, page(o), offset(o)) = o.what & 3;
	else if (p == POINT_MERGE_PROTECTED || p == POINT_MERGE_FLUSHED ||
	         p == POINT_MERGE_SWITCHED || p == POINT_SCAN_READ) /* no p2m lock is held */
		o.where & 0x80 ? op_read(m, o) : op_write(m, o);
}

static void (*const ops[])(struct model *m, struct op o) = {
    op_write,       op_write,      op_read,          op_fill,           op_fill,     op_scan,
    op_balloon_out, op_balloon_in, op_balloon_large, op_populate_large, op_pin,      op_fail,
    op_strike,      op_settle,     op_coalesce,      op_destroy,        op_compress,
};

static void audit(void)
{
	struct audit_report r = mm_audit();

	if (r.failures)
		fprintf(stderr, "audit: %s\n", r.first);
	MUST(!r.failures);
}

static void step(struct op o)
{
	struct model *m = &models[o.who % SPACES];

	if (m->alive)
		ops[o.kind % ARRAY_SIZE(ops)](m, o);
	else
		create(m);
	if (ops[o.kind % ARRAY_SIZE(ops)] != op_fail)
		host_fail_alloc(0);
}

static void check_end(struct model *m)
{
	uint8_t bytes[PAGE_SIZE];
	static const uint8_t zero[PAGE_SIZE];

	for (uint64_t n = 0; n < PAGES; n += n < WINDOW ? 1 : 84) {
		enum mm_status st = mm_read(&m->s, n << PAGE_SHIFT, bytes, PAGE_SIZE);

		MUST(st == (m->hole[n] ? MM_NORAM : MM_OK));
		MUST(st != MM_OK || !memcmp(bytes, n < WINDOW ? m->bytes[n] : zero, PAGE_SIZE));
	}
	op_destroy(m, (struct op){.what = 255});
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint32_t hash_masks[] = {~0u, 0, 1, 7};
	struct fuzz_input in = {bytes, n};
	uint64_t free_at_start;
	unsigned world = (unsigned)fuzz_take(&in, 1);

	host_seed(1);
	host_start(&(struct host_config){.frames = FRAMES,
	                                 .cpus = CPUS,
	                                 .reserve = 8,
	                                 .format = world & 4 ? &toy_format_no_dirty : &toy_format});
	hash_weaken(hash_masks[world & 3]);
	mm_set_large_nx(world & 8);
	free_at_start = host_free_frames();
	strike.armed = false;
	for (unsigned i = 0; i < SPACES; i++)
		create(&models[i]);
	host_on_point = on_point;
	for (unsigned i = 0; i < STEPS && in.left >= 4; i++) {
		uint32_t word = (uint32_t)fuzz_take(&in, sizeof(struct op));
		struct op o;

		memcpy(&o, &word, sizeof(o));
		step(o);
		if (i % 8 == 7) /* the dearest part by far */
			audit();
	}
	audit();
	host_on_point = NULL;
	for (unsigned i = 0; i < SPACES; i++)
		if (models[i].alive)
			check_end(&models[i]);
	MUST(host_free_frames() == free_at_start);
	host_stop();
	return 0;
}
