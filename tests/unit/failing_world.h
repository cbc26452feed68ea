/* SPDX-License-Identifier: MIT */
/* The world of test_failing.c and test_prefix.c: pages of every kind; and all that can be seen of
 * it, as a struct. */
#ifndef TESTS_UNIT_FAILING_WORLD_H
#define TESTS_UNIT_FAILING_WORLD_H

#include "tests/unit/mm_test.h"

#define FRAMES 3600u
#define PAGES  (6 * LARGE_PAGES)

/* Guest frames of `a`, by what they are. */
enum {
	AT_PRIVATE = 0,
	AT_SHARED = 1, /* with b: two mappings; and the two that follow: */
	AT_ZERO = 2,
	AT_ONES = 3,
	AT_READ = 4, /* untouched, mapped to the zero frame */
	AT_UNTOUCHED = 5,
	AT_LAST = 6, /* shared, the only mapping left */
	AT_PINNED = 7,
	AT_SERVICE = 8,
	AT_HOLE = 9,
	AT_SCATTERED = LARGE_PAGES,   /* 512 private pages, each to itself */
	AT_HOLES = 2 * LARGE_PAGES,   /* 512 holes */
	AT_LARGE = 3 * LARGE_PAGES,   /* a large leaf */
	AT_NOTHING = 4 * LARGE_PAGES, /* 512 untouched pages: no table yet, one read */
	AT_PACKED = 5 * LARGE_PAGES,  /* compressed pages */
	NR_PACKED = 20,
	AT_FILLED = AT_PACKED + NR_PACKED, /* one of them, kept as a byte */
};

static struct space a, b;
static mfn_t service;
static gfn_t holes[70]; /* the first ones of AT_HOLES */

/* ---- the world ---- */

static void fill(struct space *s, uint64_t page, uint8_t byte)
{
	uint8_t bytes[PAGE_SIZE];

	memset(bytes, byte, sizeof(bytes));
	assert_int_equal(mm_write(s, PAGE(page), bytes, PAGE_SIZE), MM_OK);
}

/* Compress what is cold from this page on. */
static void pack_from(uint64_t page, uint64_t pages)
{
	struct compress_result r = {.round = false};

	a.compress_next = page;
	while (a.compress_next < page + pages && !r.round) { /* what is packed costs looks, too */
		r = compress_some(&a, UINT64_MAX, page + pages - a.compress_next);
		assert_true(r.looked > 0);
	}
}

static void build_packed(void)
{
	uint64_t words[512] = {0};

	for (unsigned i = 0; i < NR_PACKED; i++) {
		for (unsigned k = 0; k < 26 * i; k++)
			words[k] = (k + 7) * 0x9e3779b97f4a7c15u;
		words[511] = i + 1;
		assert_int_equal(mm_write(&a, PAGE(AT_PACKED + i), words, PAGE_SIZE), MM_OK);
	}
	fill(&a, AT_FILLED, 0x33);
	pack_from(AT_PACKED, NR_PACKED + 1);
	assert_true(p2m_lookup(&a, GFN(AT_PACKED)).type == P2M_COMPRESSED);
	assert_true(p2m_lookup(&a, GFN(AT_FILLED)).type == P2M_COMPRESSED);
	assert_true(a.stats.store_frames >= 4 && a.stats.incompressible > 0);
}

static void build_world(void)
{
	gfn_t g = GFN(AT_HOLES);
	void *page;

	host_start(&(struct host_config){.frames = FRAMES, .cpus = 2, .reserve = 10});
	make_space_of(&a, 1, PAGES, 0);
	make_space_of(&b, 2, 64, 20);
	service = frame_alloc(0, FRAME_SERVICE, 1);
	assert_true(mfn_valid(service));
	for (uint64_t i = LARGE_PAGES; i-- > 0;)
		guest_puts(&a, PAGE(AT_SCATTERED + i), 1000 + i);
	guest_puts(&a, PAGE(AT_PRIVATE), 11);
	fill(&a, AT_SHARED, 0x77);
	fill(&b, AT_SHARED, 0x77);
	fill(&a, AT_ZERO, 0);
	fill(&a, AT_ONES, 0xff);
	fill(&a, AT_LAST, 0x66);
	fill(&b, AT_LAST, 0x66);
	scan_settle();
	fill(&b, AT_LAST, 0x65);
	assert_int_equal(guest_sees(&a, PAGE(AT_READ)), 0);
	assert_int_equal(mm_pin(&a, GFN(AT_PINNED), &page), MM_OK);
	assert_int_equal(mm_map_service(&a, GFN(AT_SERVICE), service), MM_OK);
	assert_int_equal(balloon_out(&a, &(gfn_t){AT_HOLE}, 1, 0), 1);
	assert_int_equal(balloon_out(&a, &g, 1, LARGE_ORDER), 1);
	assert_int_equal(mm_populate_large(&a, GFN(AT_LARGE)), MM_OK);
	assert_int_equal(guest_sees(&a, PAGE(AT_NOTHING + 3)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++)
		holes[i] = GFN(AT_HOLES + i);
	guest_leave_all();
	build_packed();
	assert_int_equal(p2m_lookup(&a, GFN(AT_SHARED)).type, P2M_SHARED);
	assert_int_equal(p2m_lookup(&a, GFN(AT_ZERO)).type, P2M_ZERO);
	assert_int_equal(p2m_lookup(&a, GFN(AT_ONES)).type, P2M_ONES);
	assert_int_equal(frame_slot(frame_at(p2m_lookup(&a, GFN(AT_LAST)).mfn)), 1);
	audit_passes();
}

/* ---- all that can be seen of a world ---- */

struct snap {
	uint64_t kinds[FRAME_KINDS];
	uint64_t free, reserve, debt, index_shared, index_hints;
	struct {
		/* counters that can shrink: all up to the events */
		uint64_t stats[offsetof(struct space_stats, populates) / 8];
		uint64_t memory, held, pool, promised, pins, map, bytes;
	} space[2];
	uint64_t others; /* which other domains there are */
	uint64_t frames; /* the records of all frames in use */
};

static inline uint64_t mix(uint64_t d, uint64_t value)
{
	return (d ^ value) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
}

static inline void snap_space(struct snap *to, unsigned n, struct space *s)
{
	struct space_stats st = space_stats(s);

	memcpy(to->space[n].stats, &st, sizeof(to->space[n].stats));
	to->space[n].memory = s->memory_pages;
	to->space[n].held = s->held;
	to->space[n].pool = s->table_pool_pages;
	to->space[n].promised = s->table_promised;
	for (unsigned i = 0; i < SPACE_MAX_PINS; i++)
		if (s->pins[i].count)
			to->space[n].pins += mix(s->pins[i].gfn.n, s->pins[i].count);
	for (uint64_t g = 0; g < PAGES; g++) {
		struct p2m_view v = p2m_lookup(s, GFN(g));
		uint64_t *map = &to->space[n].map;

		*map = mix(*map, (uint64_t)v.type << 8 | v.access << 4 | v.large << 2 |
		                     v.pinned << 1 | v.guest_table);
		*map = mix(*map, v.mfn.n);
		if (mfn_valid(v.mfn)) {
			struct hash_sum sum = hash_page(env_frame(v.mfn));

			to->space[n].bytes = mix(to->space[n].bytes, hash_sum_fold(sum));
		}
	}
}

/* What a free frame's record says is buddy.c's business. */
static inline uint64_t snap_frames(void)
{
	uint64_t d = 0;

	for (uint64_t i = 1; i < FRAMES; i++) {
		struct frame *f = frame_at(MFN(i));

		d = mix(d, frame_kind(f));
		if (frame_kind(f) == FRAME_FREE)
			continue;
		d = mix(d, atomic_load(&f->bits));
		d = mix(d, frame_owner(f));
		d = mix(d, frame_kind(f) == FRAME_TABLE ? 0 : frame_slot(f));
		d = mix(d, frame_flag(f, FRAME_INDEXED) ? f->fingerprint : 0);
	}
	return d;
}

static inline struct snap snap(void)
{
	struct snap s = {.frames = snap_frames()};
	struct fund_view v = fund_look();
	struct index_stats ix = index_stats();

	for (unsigned k = 0; k < FRAME_KINDS; k++)
		s.kinds[k] = mm.kinds[k];
	s.free = v.free;
	s.reserve = v.reserve;
	s.debt = v.debt;
	s.index_shared = ix.shared;
	s.index_hints = ix.hints;
	snap_space(&s, 0, &a);
	snap_space(&s, 1, &b);
	for (domid_t d = 3; d < MM_MAX_SPACES; d++)
		s.others += space_find(d) ? d : 0;
	return s;
}

#endif
