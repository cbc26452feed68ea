/* SPDX-License-Identifier: MIT */
/* Giving up frames that were mapped, after the flush: see deferred.h. */
#include "mm/deferred.h"
#include "mm/core.h"
#include "mm/flush.h"
#include "mm/fund_batch.h"
#include "mm/index.h"

void deferred_init(struct deferred *d, struct space *s)
{
	d->space = s;
	d->n = 0;
}

void deferred_add(struct deferred *d, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	ASSERT(d->n < DEFERRED_MAX);
	if (frame_kind(f) == FRAME_PRIVATE && frame_flag(f, FRAME_INDEXED))
		index_remove(mfn);
	d->clean[d->n] = false;
	d->frames[d->n++] = (uint32_t)mfn.n;
}

void deferred_add_clean(struct deferred *d, mfn_t mfn)
{
	deferred_add(d, mfn);
	d->clean[d->n - 1] = true;
}

static inline unsigned deferred_bits(const struct frame *f)
{
	return atomic_load_explicit(&f->bits, memory_order_relaxed);
}

/* Whether one of four frames is a hint: most large frames hold none, and have 512. */
static inline bool deferred_indexed_of_four(const struct frame *f)
{
	return (deferred_bits(&f[0]) | deferred_bits(&f[1]) | deferred_bits(&f[2]) |
	        deferred_bits(&f[3])) &
	       FRAME_INDEXED;
}

static void deferred_unindex_four(mfn_t first)
{
	for (unsigned i = 0; i < 4; i++)
		if (frame_flag(frame_at(MFN(first.n + i)), FRAME_INDEXED))
			index_remove(MFN(first.n + i));
}

void deferred_add_large(struct deferred *d, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	for (unsigned i = 0; i < LARGE_PAGES; i += 4)
		if (__builtin_expect(deferred_indexed_of_four(&f[i]), 0))
			deferred_unindex_four(MFN(mfn.n + i));
	frame_set_flag(frame_at(mfn), LARGE_ORDER << FRAME_ORDER_SHIFT);
	ASSERT(d->n < DEFERRED_MAX);
	d->clean[d->n] = false;
	d->frames[d->n++] = (uint32_t)mfn.n;
}

uint64_t deferred_seal(struct deferred *d)
{
	return d->n ? flush_begin(d->space) : 0;
}

void shared_put(mfn_t mfn)
{
	if (index_put(mfn))
		fund_give_shared(mfn);
}

/* Whether it is a single private frame, as nearly all are. */
static inline bool deferred_is_plain(mfn_t mfn)
{
	unsigned bits = atomic_load_explicit(&frame_at(mfn)->bits, memory_order_relaxed);

	return (bits & (15u | FRAME_ORDER_MASK)) == FRAME_PRIVATE;
}

/* Give up one frame that is not. */
static void deferred_give_other(struct space *s, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	switch (frame_kind(f)) {
	case FRAME_PRIVATE:
		fund_give_dirty(s, mfn, LARGE_ORDER);
		break;
	case FRAME_SHARED:
		shared_put(mfn);
		break;
	case FRAME_CONSTANT:
	case FRAME_SERVICE: /* stays allocated: it was only unmapped */
		break;
	default:
		env_panic("mm/deferred.c: frame %#llx of kind %u was mapped",
		          (unsigned long long)mfn.n, frame_kind(f));
	}
}

void deferred_finish(struct deferred *d, uint64_t generation)
{
	unsigned kept = 0;

	if (d->n == 0)
		return;
	flush_wait(d->space, generation);
	for (unsigned i = 0; i < d->n; i++) {
		mfn_t mfn = MFN(d->frames[i]);

		if (!deferred_is_plain(mfn)) {
			deferred_give_other(d->space, mfn);
			continue;
		}
		if (!d->clean[i])
			env_page_zero(env_frame(mfn));
		d->frames[kept++] = (uint32_t)mfn.n;
	}
	if (kept)
		fund_give_batch(d->space, d->frames, kept);
	d->n = 0;
}

void deferred_free(struct space *s, mfn_t mfn, uint64_t generation)
{
	flush_wait(s, generation);
	if (deferred_is_plain(mfn))
		fund_give(s, mfn, 0);
	else
		deferred_give_other(s, mfn);
}
