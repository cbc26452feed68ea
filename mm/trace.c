/* SPDX-License-Identifier: MIT */
/*
 * The trace: what guests did to their memory, so that every scan policy can be shown the
 * same run again (docs/trace.md).
 *
 * What is told must not depend on the policy that runs meanwhile. So it is not what the scanner
 * saw, but, tick by tick, which pages were written since the last tick, and what
 * they hold now. Each domain has one bit for each of its pages. A bit is set where
 * anybody learns of a write, always next to FRAME_STALE:
 *
 *	the scanner clears a dirty flag			scan_walk.c, scan_look.c
 *	a merge protects a dirty page, a harvest	p2m_share.c
 *	the hypervisor writes				p2m_share.c
 *	a page gets a frame of its own			fund.c
 *
 * A pass then collects the dirty flags that nobody has seen yet, flushes, clears the bits one by
 * one, and reads each page whose bit was set. It is one more reader of dirty flags, and keeps
 * the order of all of them: clear D -> flush -> only then read; and what it clears it tells the
 * scanner (p2m_harvest sets FRAME_STALE). A page that is written while it is read sets
 * its flag again, and is told again in the next pass. The scanner may find a page quiet a
 * little too soon, as its flag went to us: that costs a read, and never correctness.
 *
 * The bit is cleared before the page is read. Pages are read without a lock, as the scanner
 * does; one that has another frame afterwards is told in the next pass.
 *
 * Nothing that leaves is of use elsewhere: a content is told as SipHash-2-4 of its sum
 * (mm/hash.h) under a key that is drawn when the trace begins, and forgotten when it ends
 * (Aumasson, Bernstein: "SipHash: a fast short-input PRF", INDOCRYPT 2012). Equal contents
 * are equal values, in this trace only; two others are so with a chance of 2^-64.
 *
 * Records go to a sink that must not wait. If it has no room, events are lost, and counted by
 * it; writes are not: a pass stops until there is room, and their bits stay.
 */
#include "mm/trace.h"
#include "mm/flush.h"
#include "mm/hash.h"
#include "mm/p2m.h"

#define TRACE_READ      8u /* to read a page costs as much of the budget as to look at so many */
#define TRACE_MAP_ORDER 9u /* the largest map: 2 MiB, of 64 GiB of guest memory */
#define LOW_SPAN        (UINT64_C(3) << (30 - PAGE_SHIFT)) /* bits from here on are of high RAM */

/* One bit a page. Changed under the scan lock and the p2m lock of its space. */
struct trace_map {
	_Atomic uint64_t *word;
	uint64_t low, bits; /* pages below 3 GiB; and with those above 4 GiB */
	mfn_t frames;
	unsigned order;
};

/* Guarded by the scan lock, but for the maps (above) and the counter of untold writes. */
static struct {
	struct trace_sink sink;
	uint64_t id, passes, writes;
	_Atomic uint64_t untold;
	uint64_t key[2];
	domid_t domid; /* where the pass is; 0: none is under way */
	uint64_t at;   /* guest frame while collecting, bit while reading */
	bool reading;
	struct trace_map map[MM_MAX_SPACES];
} trace;

/* ---- the fingerprint ---- */

static inline uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-2-4 of the sum's bytes. */
static uint64_t trace_fingerprint(struct hash_sum sum)
{
	uint64_t v[4] = {
	    trace.key[0] ^ UINT64_C(0x736f6d6570736575),
	    trace.key[1] ^ UINT64_C(0x646f72616e646f6d),
	    trace.key[0] ^ UINT64_C(0x6c7967656e657261),
	    trace.key[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t h;

	if (hash_may_be_zero(sum))
		return TRACE_ZERO;
	if (hash_may_be_ones(sum))
		return TRACE_ONES;
	for (unsigned i = 0; i < ARRAY_SIZE(sum.word); i++)
		sip_word(v, sum.word[i]);
	sip_word(v, (uint64_t)sizeof(sum.word) << 56);
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	h = v[0] ^ v[1] ^ v[2] ^ v[3];
	return h > TRACE_ONES ? h : h + 2;
}

/* ---- the maps ---- */

/* The bit of a page; at or beyond map->bits: there is none. */
static uint64_t trace_bit(const struct trace_map *map, const struct space *s, uint64_t gfn)
{
	if (gfn < map->low)
		return gfn;
	return gfn >= s->high_first ? map->low + gfn - s->high_first : UINT64_MAX;
}

static gfn_t trace_gfn(const struct trace_map *map, const struct space *s, uint64_t bit)
{
	return GFN(bit < map->low ? bit : s->high_first + bit - map->low);
}

static void trace_set(struct trace_map *map, uint64_t bit)
{
	atomic_fetch_or_explicit(&map->word[bit / 64], BIT(bit % 64), memory_order_relaxed);
}

void trace_mark(const struct frame *f)
{
	struct space *s = space_find(frame_owner(f));
	struct trace_map *map;
	uint64_t bit;

	if (!s || frame_kind(f) != FRAME_PRIVATE)
		return;
	map = &trace.map[s->domid];
	bit = map->word ? trace_bit(map, s, frame_slot(f)) : UINT64_MAX;
	if (bit < map->bits)
		trace_set(map, bit);
	else
		counter_add(&trace.untold, 1);
}

void trace_put(enum trace_type type, domid_t domid, uint64_t gfn, uint64_t value)
{
	trace.sink.put((struct trace_record){
	    .type = (uint8_t)type, .domid = (uint8_t)domid, .gfn = (uint32_t)gfn, .value = value});
}

/* All its pages count as written. */
static bool trace_map_make(struct space *s)
{
	struct trace_map *map = &trace.map[s->domid];
	uint64_t most = max_u64(s->max_pages, s->memory_pages), bytes;
	struct trace_map made = {.low = min_u64(most, LOW_SPAN), .bits = align_up(most, 64)};

	bytes = made.bits / 8;
	while (made.order < TRACE_MAP_ORDER && PAGE_SIZE << made.order < bytes)
		made.order++;
	made.bits = min_u64(made.bits, (PAGE_SIZE << made.order) * 8);
	made.frames = frame_alloc(made.order, FRAME_HYPERVISOR, 0);
	if (!mfn_valid(made.frames))
		return false;
	made.word = env_frame(made.frames);
	__builtin_memset(env_frame(made.frames), 0xff, made.bits / 8);
	p2m_lock(s);
	*map = made;
	p2m_unlock(s);
	trace_put(TRACE_CREATE, s->domid, s->memory_pages,
	          (uint64_t)s->share_group << 48 | s->max_pages);
	return true;
}

static void trace_map_drop(struct space *s)
{
	struct trace_map *map = &trace.map[s->domid], old;

	p2m_lock(s);
	old = *map;
	*map = (struct trace_map){0};
	p2m_unlock(s);
	if (old.word)
		frame_free(old.frames, old.order);
}

/* The space is listed, and nobody else knows of it yet. */
void trace_space_begin(struct space *s)
{
	lock_take(&mm.scan_lock, LOCK_SCAN);
	if (trace_on() && !trace.map[s->domid].word && !trace_map_make(s))
		env_log("trace: no memory to trace domain %u", s->domid);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
}

/* The space is still listed, and empty; the scan lock is held. */
void trace_space_end(struct space *s)
{
	if (!trace.map[s->domid].word)
		return;
	trace_map_drop(s);
	trace_event(TRACE_DESTROY, s, GFN(0), 0);
}

/* ---- on and off ---- */

static struct space *trace_space(domid_t from)
{
	for (domid_t d = from; d < MM_MAX_SPACES; d++)
		if (space_find(d))
			return space_find(d);
	return NULL;
}

static void trace_drop_all(void)
{
	for (struct space *s = trace_space(1); s; s = trace_space(s->domid + 1))
		trace_map_drop(s);
}

static bool trace_make_all(void)
{
	for (struct space *s = trace_space(1); s; s = trace_space(s->domid + 1))
		if (!s->dying && !trace_map_make(s))
			return false;
	return true;
}

static enum mm_status trace_start_locked(const struct trace_sink *sink)
{
	if (trace_on() || !mm.format)
		return MM_INVAL;
	trace.sink = *sink;
	trace.id = env_random();
	trace.key[0] = env_random();
	trace.key[1] = env_random();
	trace.passes = trace.writes = 0;
	trace.domid = 0;
	atomic_store_explicit(&trace.untold, 0, memory_order_relaxed);
	trace_put(TRACE_START, 0, mm.nr_frames, trace.id);
	if (!trace_make_all()) {
		trace_drop_all();
		return MM_NOMEM;
	}
	atomic_store_explicit(&mm.tracing, true, memory_order_release);
	return MM_OK;
}

enum mm_status trace_start(const struct trace_sink *sink)
{
	enum mm_status st;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	st = trace_start_locked(sink);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return st;
}

void trace_stop(void)
{
	lock_take(&mm.scan_lock, LOCK_SCAN);
	if (trace_on()) {
		atomic_store_explicit(&mm.tracing, false, memory_order_release);
		trace_drop_all();
		trace.key[0] = trace.key[1] = 0;
	}
	lock_drop(&mm.scan_lock, LOCK_SCAN);
}

struct trace_view trace_look(void)
{
	struct trace_view v;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	v = (struct trace_view){trace_on(), trace.id, trace.passes, trace.writes,
	                        counter_read(&trace.untold)};
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return v;
}

/* ---- a pass ---- */

/* Collect dirty flags from trace.at on; returns what that cost. */
static uint64_t trace_collect(struct space *s, uint64_t budget)
{
	uint64_t dirty = 0, end;

	p2m_lock(s);
	/* From entry to entry: a guest may have one far away, and nothing before it. */
	trace.at = min_u64(max_u64(trace.at, p2m_next_locked(s, GFN(trace.at)).n), s->end);
	end = min_u64(trace.at + budget, s->end);
	if (trace.at < end)
		dirty = p2m_harvest(s, GFN(trace.at), end - trace.at);
	budget = end > trace.at ? end - trace.at : 1;
	trace.at = max_u64(end, trace.at);
	trace.reading = trace.at >= s->end;
	p2m_unlock(s);
	if (dirty)
		flush_space(s);
	if (trace.reading)
		trace.at = 0;
	return budget;
}

struct trace_page {
	gfn_t gfn;
	mfn_t mfn;
};

/* Whether a page of this type holds something that its guest can write. */
static bool trace_wants(enum p2m_type type)
{
	return type == P2M_PRIVATE || type == P2M_SHARED || type == P2M_ZERO || type == P2M_ONES;
}

/* The next pages whose bits are set; clears these. p2m lock held. */
static unsigned trace_gather(struct space *s, struct trace_map *map, struct trace_page *page)
{
	unsigned n = 0;

	while (trace.at < map->bits && n < TRACE_CHUNK) {
		_Atomic uint64_t *word = &map->word[trace.at / 64];
		uint64_t left = atomic_load_explicit(word, memory_order_relaxed) >> trace.at % 64;
		struct p2m_view v;

		if (!left) {
			trace.at = align_down(trace.at, 64) + 64;
			continue;
		}
		trace.at += (unsigned)__builtin_ctzll(left);
		atomic_fetch_and_explicit(word, ~BIT(trace.at % 64), memory_order_relaxed);
		v = p2m_lookup_locked(s, trace_gfn(map, s, trace.at));
		if (trace_wants(v.type))
			page[n++] = (struct trace_page){trace_gfn(map, s, trace.at), v.mfn};
		trace.at++;
	}
	return n;
}

/* Tell of pages that have been read, those that are still where they were. */
static void trace_tell(struct space *s, const struct trace_page *page, const uint64_t *fingerprint,
                       unsigned n)
{
	p2m_lock(s);
	for (unsigned i = 0; i < n; i++) {
		/* Merges wait for the scan lock; who else gives it another frame marks it. */
		if (!mfn_eq(p2m_lookup_locked(s, page[i].gfn).mfn, page[i].mfn))
			continue;
		trace_put(TRACE_WRITE, s->domid, page[i].gfn.n, fingerprint[i]);
		trace.writes++;
	}
	p2m_unlock(s);
}

/* Read up to TRACE_CHUNK pages; returns how many. */
static unsigned trace_read(struct space *s)
{
	struct trace_map *map = &trace.map[s->domid];
	struct trace_page page[TRACE_CHUNK];
	uint64_t fingerprint[TRACE_CHUNK];
	unsigned n;

	p2m_lock(s);
	n = s->dying ? 0 : trace_gather(s, map, page);
	p2m_unlock(s);
	for (unsigned i = 0; i < n; i++)
		fingerprint[i] = trace_fingerprint(hash_page(env_frame(page[i].mfn)));
	trace_tell(s, page, fingerprint, n);
	return n;
}

static void trace_next_space(domid_t from)
{
	struct space *s = trace_space(from);

	while (s && (s->dying || !trace.map[s->domid].word))
		s = trace_space(s->domid + 1);
	trace.domid = s ? s->domid : 0;
	trace.at = 0;
	trace.reading = false;
}

/* Some work in the space of the pass; returns what it cost, 0: no room. */
static uint64_t trace_work(struct space *s, uint64_t budget)
{
	unsigned n;

	if (!trace.reading)
		return trace_collect(s, budget);
	if (!trace.sink.room())
		return 0;
	n = trace_read(s);
	if (trace.at >= trace.map[s->domid].bits || s->dying)
		trace_next_space(s->domid + 1);
	return 1 + (uint64_t)n * TRACE_READ;
}

static bool trace_step_locked(uint64_t pages)
{
	if (!trace.domid)
		trace_next_space(1);
	while (trace.domid && pages) {
		struct space *s = space_find(trace.domid);
		uint64_t cost = 1;

		if (s && !s->dying && trace.map[s->domid].word)
			cost = trace_work(s, pages);
		else
			trace_next_space(trace.domid + 1);
		if (!cost)
			return false;
		pages -= min_u64(pages, cost);
	}
	trace.passes += trace.domid == 0;
	return trace.domid == 0;
}

bool trace_step(uint64_t pages)
{
	bool ended;

	if (!trace_on() || !lock_try(&mm.scan_lock, LOCK_SCAN))
		return false;
	ended = trace_on() && trace_step_locked(pages);
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return ended;
}
