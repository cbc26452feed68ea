/* SPDX-License-Identifier: MIT */
/*
 * Compression: a cold page gives up its frame and is kept in fewer bytes (mm/store.c), until it
 * is touched. It is what can be done when frames are needed, nothing is left to share, and guests
 * do not give memory back fast enough; as in ESX (SOSP'11 tutorial notes; vSphere Resource
 * Management, "Memory Compression") and Linux's zswap. It costs a guest time, and nothing else.
 *
 *	private, quiet --unmap--> [flush, pack, commit] --> compressed --first touch--> private
 *	      ^                         |                   (or zero, ones, filled)
 *	      +---- not worth it -------+
 *
 * The protocol, for a batch of pages of one space, under its p2m lock all the while:
 *
 *	unmap each page: its leaf becomes a soft entry		<- who touches it waits for the lock
 *	flush the space once					<- nobody can read or write any more
 *	pack each page into a buffer of ours
 *	enough gained, and allowed (fund.h)?			else put all leaves back
 *	frames that the store needs are taken from the pages' own, the rest is scrubbed and freed
 *
 * Why no byte is lost. A guest writes through a translation of a leaf; the leaf is gone, and after
 * the flush so is every translation. So what is packed is what was last written, and one flush will
 * do: nothing is mapped in the place of the page that could differ from it. Nothing
 * can fail after the check: packed bytes and needed frames are both there.
 *
 * Why it never makes matters worse. The store's frames are those of pages that were just packed:
 * each batch frees at least one frame, or is undone. No frame of the reserve, or of
 * anybody's guarantee, is ever used for it; and only what a domain holds above its `min` is
 * compressed, so the debt does not grow by frames that the store keeps.
 *
 * Which page is cold. The hand of a clock goes round each space (compress_next): a leaf with its
 * accessed bit set loses it and is passed over; one that has been without it for a whole round is
 * cold. A page that is expanded has the bit, so it stays for a round at least. Where the CPU has
 * no accessed flags, a page is cold if the scanner has fingerprinted it and it was not written since
 * (reads are not seen there). Pinned pages and those with guest page tables are left out. A large
 * leaf without the bit is split.
 *
 * What is left alone. A page that does not fit into half a frame (STORE_MOST) saves little
 * and costs as much. Its leaf is marked (a bit that no CPU looks at; the format's calm bit, which
 * is used at level 2 only) and it is tried again in one of TRY_ROUNDS rounds only: no
 * storm of vain packing.
 *
 * What costs nothing. A page of zeroes or ones is mapped to the constant frame, as by a merge. One
 * that is filled with another byte needs no object: the byte is in the entry (pte_format fill).
 *
 * First touch. A fault, a pin or a write of the hypervisor expands: a frame is funded like a
 * copy-on-write copy (the reserve may serve it: it was our doing), filled, mapped; then the object
 * goes. If there is no frame the vCPU waits in line as for any other (kernel/waiters.c), holding
 * nothing, so nobody waits for it. A read by the hypervisor does not wait: if there is no frame it
 * unpacks into a page of its own (compress_peek).
 */
#include "mm/compress.h"
#include "mm/flush.h"
#include "mm/fund_batch.h"
#include "mm/index.h"
#include "mm/lz4.h"
#include "mm/quiet.h"
#include "mm/store.h"

#define BATCH_PAGES 32u
#define TRY_ROUNDS  16u
#define LOOK_PAGES  1024u /* leaves looked at under one hold of the lock */

enum outcome { LEFT_ALONE, PACKED, CONSTANT, FILLED };

struct page {
	gfn_t gfn;
	uint64_t *e;
	uint64_t leaf; /* as it was */
	mfn_t mfn;
	enum outcome outcome;
	unsigned bytes; /* packed */
	uint8_t fill;   /* filled or constant */
};

/* One batch at a time, guarded by the lock: the buffers are large. */
static struct {
	struct spinlock lock;
	struct page page[BATCH_PAGES];
	unsigned n;
	bool cleared; /* accessed bits were cleared, or a leaf was split: a flush is owed */
	uint8_t packed[BATCH_PAGES][STORE_MOST];
	struct lz4_work work;
} batch;

static struct {
	struct spinlock lock;
	uint8_t page[PAGE_SIZE];
} peek;

void compress_init(void)
{
	__builtin_memset(&batch, 0, sizeof(batch));
	__builtin_memset(&peek, 0, sizeof(peek));
}

/* ---- what is in an entry ---- */

static uint64_t entry_filled(uint8_t byte)
{
	return mm.format->soft(P2M_SOFT_FILLED) | (uint64_t)byte << mm.format->fill_shift;
}

static bool entry_is_filled(uint64_t e)
{
	return mm.format->soft_state(e) == P2M_SOFT_FILLED;
}

static uint8_t entry_fill(uint64_t e)
{
	return (uint8_t)(e >> mm.format->fill_shift);
}

/* ---- which page is cold ---- */

static bool page_may_go(uint64_t leaf, const struct frame *f)
{
	if (mm.format->sw(leaf) & (PTE_SW_SHARED | PTE_SW_UNTOUCHED | PTE_SW_FOREIGN))
		return false;
	return frame_kind(f) == FRAME_PRIVATE && !frame_flag(f, FRAME_PINNED | FRAME_GUEST_TABLE);
}

/* Take the accessed bit of a leaf away; whether it was there. */
static bool page_was_used(uint64_t *e)
{
	uint64_t v = p2m_entry_get(e), accessed = mm.format->accessed_mask;

	if (!(v & accessed))
		return false;
	while (!p2m_entry_cas(e, &v, v & ~accessed))
		;
	batch.cleared = true;
	return true;
}

static bool page_is_cold(struct space *s, gfn_t gfn, uint64_t *e)
{
	uint64_t v = p2m_entry_get(e);
	const struct frame *f;

	if (pte_kind(v, 1) != PTE_LEAF)
		return false;
	f = frame_at(mm.format->frame(v, 1));
	if (!page_may_go(v, f))
		return false;
	if (!mm.format->accessed_mask)
		return frame_flag(f, FRAME_INDEXED) && !frame_flag(f, FRAME_STALE) &&
		       !(v & mm.format->dirty_mask);
	if (page_was_used(e))
		return false;
	return !(v & mm.format->calm_mask) || (gfn.n + s->compress_round) % TRY_ROUNDS == 0;
}

/* A large leaf that nobody used is split: its pages are looked at next. */
static bool large_is_cold(struct space *s, gfn_t gfn, uint64_t *e)
{
	uint64_t v = p2m_entry_get(e);

	if (mm.format->sw(v) & (PTE_SW_FOREIGN | PTE_SW_SHARED) || page_was_used(e) ||
	    (!mm.format->accessed_mask && v & mm.format->dirty_mask))
		return false;
	batch.cleared = true;
	return p2m_split(s, gfn);
}

/* One step of the hand; adds what is cold to the batch. Returns where to go on. */
static gfn_t hand_step(struct space *s, gfn_t gfn)
{
	struct p2m_slot p = {p2m_at(s, &s->near, gfn), 1};

	if (!p.entry)
		p = p2m_find(s, gfn);
	if (!p.entry)
		return p2m_next_locked(s, gfn);
	if (p.level > 1)
		return large_is_cold(s, gfn, p.entry)
		           ? gfn
		           : GFN(align_down(gfn.n, LARGE_PAGES) + LARGE_PAGES);
	if (page_is_cold(s, gfn, p.entry))
		batch.page[batch.n++] = (struct page){.gfn = gfn, .e = p.entry};
	return GFN(gfn.n + 1);
}

/* Move the hand over at most *looks leaves, until `most` pages are found or it is round. */
static bool hand_move(struct space *s, unsigned most, uint64_t *looks)
{
	gfn_t gfn = GFN(s->compress_next);

	while (*looks && batch.n < most && gfn.n < GFN_LIMIT) {
		gfn = hand_step(s, gfn);
		(*looks)--;
	}
	s->compress_next = gfn.n;
	if (gfn.n < GFN_LIMIT)
		return false;
	s->compress_next = 0;
	s->compress_round++;
	return true;
}

/* ---- a batch ---- */

static void batch_unmap(struct space *s)
{
	for (unsigned i = 0; i < batch.n; i++) {
		struct page *p = &batch.page[i];

		p->leaf = p2m_entry_exchange(p->e, mm.format->soft(P2M_SOFT_COMPRESSED));
		p->mfn = mm.format->frame(p->leaf, 1);
	}
	env_point(POINT_COMPRESS_UNMAPPED);
	flush_space(s);
	batch.cleared = false;
}

/* Whether the page is one byte over and over. */
static bool page_is_filled(const uint64_t *words)
{
	uint64_t first = words[0];

	if (first != (first & 0xff) * UINT64_C(0x0101010101010101))
		return false;
	for (unsigned i = 1; i < PAGE_SIZE / sizeof(*words); i++)
		if (words[i] != first)
			return false;
	return true;
}

static void page_pack(struct page *p, uint8_t *to)
{
	const void *bytes = env_frame(p->mfn);

	if (page_is_filled(bytes)) {
		p->fill = *(const uint8_t *)bytes;
		p->outcome = p->fill == 0x00 || p->fill == 0xff ? CONSTANT : FILLED;
		return;
	}
	p->bytes = (unsigned)lz4_pack(bytes, PAGE_SIZE, to, STORE_MOST, &batch.work);
	p->outcome = p->bytes ? PACKED : LEFT_ALONE;
}

/* Pack all; returns how many frames can be given up, and what the store needs of them. */
static unsigned batch_pack(struct space *s, unsigned *needed)
{
	struct store_item items[BATCH_PAGES];
	unsigned gone = 0, objects = 0;

	for (unsigned i = 0; i < batch.n; i++) {
		struct page *p = &batch.page[i];

		page_pack(p, batch.packed[i]);
		gone += p->outcome != LEFT_ALONE;
		if (p->outcome == PACKED)
			items[objects++] = (struct store_item){p->gfn, p->bytes};
	}
	*needed = store_frames_needed(s, items, objects);
	return gone;
}

/* The page stays as it was; one that was tried in vain is marked. */
static void page_put_back(struct space *s, const struct page *p)
{
	bool in_vain = p->outcome == LEFT_ALONE;

	p2m_entry_set(p->e, p->leaf | (in_vain ? mm.format->calm_mask : 0));
	quiet_doubt(s, p->gfn); /* its hint may be gone */
	s->stats.incompressible += in_vain;
}

/* Its content is kept elsewhere: this is what its entry says from now on. */
static void page_commit(struct space *s, const struct page *p, const uint8_t *packed,
                        struct store_frames *frames)
{
	s->stats.private_pages--;
	if (p->outcome == CONSTANT) {
		bool zero = !p->fill;

		p2m_entry_set(p->e,
		              mm.format->leaf(zero ? zero_frame() : ones_frame(), 1,
		                              mm.format->access(p->leaf) & ~PTE_W, PTE_SW_SHARED));
		s->stats.zero_mappings += zero;
		s->stats.ones_mappings += !zero;
		return;
	}
	s->stats.compressed++;
	s->stats.compressions++;
	if (p->outcome == FILLED) {
		p2m_entry_set(p->e, entry_filled(p->fill));
		s->stats.compressed_filled++;
		return;
	}
	store_put(s, p->gfn, packed, p->bytes, frames);
}

/* Give up the frames of all pages that are gone: the first `needed` to the store. */
static bool batch_give_up(struct space *s, mfn_t *store, unsigned needed)
{
	uint32_t freed[BATCH_PAGES];
	unsigned nr_store = 0, nr_freed = 0;

	for (unsigned i = 0; i < batch.n; i++) {
		const struct page *p = &batch.page[i];

		if (p->outcome == LEFT_ALONE)
			continue;
		if (nr_store < needed)
			store[nr_store++] = p->mfn;
		else
			freed[nr_freed++] = (uint32_t)p->mfn.n;
	}
	if (!fund_store(s, store, needed))
		return false;
	for (unsigned i = 0; i < nr_freed; i++)
		env_page_zero(env_frame(MFN(freed[i])));
	fund_give_batch(s, freed, nr_freed);
	return true;
}

static void batch_unindex(void)
{
	for (unsigned i = 0; i < batch.n; i++)
		if (batch.page[i].outcome != LEFT_ALONE)
			index_remove(batch.page[i].mfn);
}

/* Compress what is in the batch; returns how many frames are free now that were not. */
static unsigned batch_do(struct space *s)
{
	mfn_t store[BATCH_PAGES];
	struct store_frames frames = {.frame = store};
	unsigned gone, needed;
	bool worth;

	batch_unmap(s);
	gone = batch_pack(s, &needed);
	env_point(POINT_COMPRESS_PACKED);
	worth = gone > needed;
	if (worth)
		batch_unindex();
	worth = worth && batch_give_up(s, store, needed);
	frames.n = worth ? needed : 0;
	for (unsigned i = 0; i < batch.n; i++) {
		if (!worth || batch.page[i].outcome == LEFT_ALONE)
			page_put_back(s, &batch.page[i]);
		else
			page_commit(s, &batch.page[i], batch.packed[i], &frames);
	}
	ASSERT(frames.n == 0);
	return worth ? gone - needed : 0;
}

/* Look at up to LOOK_PAGES leaves and compress what is cold among them, as one batch. */
static void compress_step(struct space *s, uint64_t *looks, struct compress_result *r)
{
	uint64_t mine = min_u64(*looks, LOOK_PAGES), left = mine, most, used;

	batch.n = 0;
	batch.cleared = false;
	p2m_lock(s);
	most = s->dying ? 0 : min_u64(fund_above_min(s), BATCH_PAGES);
	if (!most)
		left = *looks = mine = 0;
	else
		r->round |= hand_move(s, (unsigned)most, &left);
	if (batch.n)
		r->freed += batch_do(s);
	if (batch.cleared)
		flush_space(s);
	p2m_unlock(s);
	used = mine - left + (uint64_t)batch.n * COMPRESS_PACK_LOOKS;
	r->looked += used;
	*looks -= min_u64(*looks, used);
}

struct compress_result compress_some(struct space *s, uint64_t frames, uint64_t looks)
{
	struct compress_result r = {0};

	if (!lock_try(&batch.lock, LOCK_COMPRESS))
		return r;
	while (r.freed < frames && looks && !r.round)
		compress_step(s, &looks, &r);
	lock_drop(&batch.lock, LOCK_COMPRESS);
	return r;
}

/* ---- back again ---- */

/* The content of a compressed page, whole. */
static void compress_unpack(struct space *s, gfn_t gfn, uint64_t e, uint8_t *page)
{
	const uint8_t *packed;
	unsigned bytes;

	if (entry_is_filled(e)) {
		__builtin_memset(page, entry_fill(e), PAGE_SIZE);
		return;
	}
	packed = store_get(s, gfn, &bytes);
	if (lz4_unpack(packed, bytes, page, PAGE_SIZE) != PAGE_SIZE)
		env_panic("mm/compress.c: domain %u, guest frame %#llx does not unpack", s->domid,
		          (unsigned long long)gfn.n);
}

void compress_forget(struct space *s, gfn_t gfn, uint64_t e)
{
	ASSERT(compress_is(e));
	if (entry_is_filled(e))
		s->stats.compressed_filled--;
	else
		store_drop(s, gfn);
	s->stats.compressed--;
}

enum mm_status compress_expand(struct space *s, gfn_t gfn, uint64_t *e, mfn_t *out)
{
	uint64_t v = p2m_entry_get(e), leaf;
	bool clean;
	mfn_t mfn = fund_take(s, gfn, FUND_BREAK, &clean);

	if (!mfn_valid(mfn))
		return MM_NOMEM;
	compress_unpack(s, gfn, v, env_frame(mfn));
	leaf = mm.format->leaf(mfn, 1, PTE_R | PTE_W | PTE_X, 0) | mm.format->accessed_mask;
	p2m_entry_set(e, leaf); /* nothing was present: no flush */
	compress_forget(s, gfn, v);
	quiet_doubt(s, gfn);
	s->stats.private_pages++;
	s->stats.expansions++;
	*out = mfn;
	return MM_OK;
}

void compress_peek(struct space *s, gfn_t gfn, uint64_t e, unsigned at, void *dst, unsigned bytes)
{
	ASSERT(at + bytes <= PAGE_SIZE);
	lock_take(&peek.lock, LOCK_PEEK);
	compress_unpack(s, gfn, e, peek.page);
	__builtin_memcpy(dst, peek.page + at, bytes);
	lock_drop(&peek.lock, LOCK_PEEK);
}
