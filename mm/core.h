/* SPDX-License-Identifier: MIT */
/*
 * What the files of mm/ share among themselves: the one global state, and how
 * it is locked. Nothing outside of mm/ includes this (tests/host does).
 */
#ifndef MM_CORE_H
#define MM_CORE_H

#include "mm/env.h"
#include "mm/frame.h"
#include "mm/leaf/lock.h"
#include "mm/lock_order.h"
#include "mm/mm.h"
#include "mm/space.h"

/* Counters that only grow, or that one file alone keeps exact. */
struct mm_counters {
	/* flush.c */
	_Atomic uint64_t flushes; /* flush_begin calls */

	/* scan.c, merge.c (hints are counted in index_stats) */
	_Atomic uint64_t full_scans, pages_scanned, pages_passed, pages_fingerprinted,
	    pages_compared;
	_Atomic uint64_t bytes_read;
	_Atomic uint64_t merges, merges_given_up;
	_Atomic uint64_t pages_volatile; /* as of the last pass */
	_Atomic uint64_t pages_logged;   /* entries of modification logs (dirty_log.c) */

	/* mappings of shared frames, over all spaces; kept by p2m_share.c and cow.c */
	_Atomic uint64_t shared_mappings;
};

struct mm_core {
	/* Written by mm_init only. */
	struct frame *frames;
	uint64_t nr_frames;
	unsigned nr_cpus;
	mfn_t zero, ones; /* the constant frames */

	const struct pte_format *format; /* mm_set_format, before the first space; see mm/dirty.h */
	enum dirty_source dirty;
	bool large_nx; /* large leaves are not executable (mm_set_large_nx) */

	/* Spaces by domain id. A slot changes to NULL only with scan_lock held. */
	struct space *_Atomic spaces[MM_MAX_SPACES];

	struct spinlock scan_lock; /* one scan engine at a time; outermost lock of mm/ */
	bool blind;                /* the slice under way goes by no dirty bits (scan.c) */
	struct spinlock free_lock; /* buddy.c and fund.c; innermost */

	_Atomic bool tracing;                /* mm/trace.h */
	_Atomic uint64_t kinds[FRAME_KINDS]; /* frames of each kind */
	struct mm_counters count;
};

extern struct mm_core mm;

/* Whether a page that was read is known to be as it was while its dirty bit is clear. */
static inline bool mm_by_dirty(void)
{
	return !mm.blind;
}

/* frame_of without the call; mfn was read from the p2m or a frame record. */
static inline struct frame *frame_at(mfn_t mfn)
{
	return &mm.frames[mfn.n];
}

static inline mfn_t frame_mfn(const struct frame *f)
{
	return MFN(f - mm.frames);
}

/* The permanent frames that hold only 0x00 and only 0xff bytes. */
static inline mfn_t zero_frame(void)
{
	return mm.zero;
}

static inline mfn_t ones_frame(void)
{
	return mm.ones;
}

static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_read(_Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

/* ---- the fields of a frame record (frame.c has the meaning) ---- */

static inline bool frame_flag(const struct frame *f, unsigned flag)
{
	return atomic_load_explicit(&f->bits, memory_order_relaxed) & flag;
}

static inline void frame_set_flag(struct frame *f, unsigned flag)
{
	if (!frame_flag(f, flag))
		atomic_fetch_or_explicit(&f->bits, (uint16_t)flag, memory_order_relaxed);
}

static inline void frame_clear_flag(struct frame *f, unsigned flag)
{
	if (frame_flag(f, flag))
		atomic_fetch_and_explicit(&f->bits, (uint16_t)~flag, memory_order_relaxed);
}

static inline unsigned frame_age(const struct frame *f)
{
	uint16_t bits = atomic_load_explicit(&f->bits, memory_order_relaxed);

	return (bits & FRAME_AGE_MASK) >> FRAME_AGE_SHIFT;
}

/* Set the age (0 .. 15); other CPUs may change other bits meanwhile. */
void frame_set_age(struct frame *f, unsigned age);

static inline uint32_t frame_slot(const struct frame *f)
{
	return atomic_load_explicit(&f->slot, memory_order_relaxed);
}

static inline uint16_t frame_owner(const struct frame *f)
{
	return atomic_load_explicit(&f->owner, memory_order_relaxed);
}

/* Kind, order and flags of a frame in one store: nobody else may know the frame now. */
static inline void frame_set_bits(struct frame *f, enum frame_kind kind, unsigned flags)
{
	atomic_store_explicit(&f->bits, (uint16_t)(kind | flags), memory_order_relaxed);
}

/* Count n frames that change their kind; the records are the caller's business. */
static inline void frame_count(enum frame_kind from, enum frame_kind to, uint64_t n)
{
	atomic_fetch_sub_explicit(&mm.kinds[from], n, memory_order_relaxed);
	atomic_fetch_add_explicit(&mm.kinds[to], n, memory_order_relaxed);
}

/* ---- the p2m lock ---- */

static inline void p2m_lock(struct space *s)
{
	lock_take(&s->lock, LOCK_P2M + s->domid);
}

static inline void p2m_unlock(struct space *s)
{
	lock_drop(&s->lock, LOCK_P2M + s->domid);
}

#endif
