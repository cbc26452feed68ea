/* SPDX-License-Identifier: MIT */
/*
 * The index: from the fingerprint of a page's content to the frames that hold
 * it. mm/index.c opens with the design; these are the rules for callers.
 *
 * Two kinds of entries:
 *	shared	a FRAME_SHARED frame; slot = references: the leaves that map it,
 *		plus lookups under way. The count changes only inside index_* calls,
 *		under the bucket lock, so a count of one means that nobody is looking.
 *	hint	a FRAME_PRIVATE frame that was quiet when it was fingerprinted.
 *
 * The fingerprint of a frame is written only while the frame is not in the
 * index, under its owner's p2m lock. Every call takes and drops one bucket
 * lock, which is inner to the p2m locks and outer to the free list.
 */
#ifndef MM_INDEX_H
#define MM_INDEX_H

#include "mm/frame.h"

/* At most so many entries of one fingerprint and one share group. */
#define INDEX_SAME_MAX 8u

/* nr_buckets: a power of two; buckets zeroed. Called once, by mm_init. */
void index_init(uint32_t *buckets, uint64_t nr_buckets);

/* ---- looking (changes nothing) ---- */

struct index_match {
	mfn_t mfn;
	domid_t owner; /* of a hint: the domain; of a shared frame: the group */
	uint32_t gfn;  /* of a hint: where its owner maps it */
	bool shared;
	bool large; /* a hint under a large leaf: it cannot be merged with before that is split */
};

struct index_found {
	unsigned n;
	struct index_match match[INDEX_SAME_MAX]; /* newest first */
};

/*
 * All entries of this fingerprint and group, stale hints left out (unless mm.blind). What is
 * found may be gone when the call returns: a hint is checked again under its
 * owner's p2m lock, a shared frame is taken with index_get.
 */
struct index_found index_lookup(uint32_t fingerprint, uint16_t group);

/* The same, shared entries only. */
struct index_found index_lookup_shared(uint32_t fingerprint, uint16_t group);

/*
 * For who looks up many at once: a walk along a chain that asks the cache for what is there, and does no
 * more. It begins with the bucket of a fingerprint; each step goes to the record of the next
 * frame, when what the step before has asked for has had the time to come. Behind the last frame
 * comes frame 0. No lock is taken, and what is there may change.
 */
typedef const uint32_t *index_ask_t; /* the link that was asked for last */
#define INDEX_ASKS 3u                /* steps behind the bucket: few chains are longer */
index_ask_t index_ask(uint32_t fingerprint);
index_ask_t index_ask_next(index_ask_t at);

/* ---- references to shared frames ---- */

/*
 * Take a reference, if the frame is (still) the shared entry of this fingerprint
 * and group. Its content then stays until index_put. False: it is not, or its
 * count is full.
 */
bool index_get(mfn_t mfn, uint32_t fingerprint, uint16_t group) must_check;

/*
 * Drop a reference: a lookup's, or that of a mapping that is gone and flushed.
 * Returns true when it was the last one: the frame has then left the index and
 * is the caller's to free.
 */
bool index_put(mfn_t mfn) must_check;

/*
 * A write to a shared frame by its only user: if the caller's mapping is the
 * only reference, the frame leaves the index and becomes `owner`'s private frame
 * at `gfn`. False: others hold it. p2m lock of owner held; nothing else changes.
 */
bool index_take_over(mfn_t mfn, domid_t owner, gfn_t gfn) must_check;

/* ---- entries; the owner's p2m lock is held ---- */

/*
 * Put a private frame in as a hint. Its older entry, if any, is replaced. With
 * INDEX_SAME_MAX entries there the oldest hint makes room and is counted as
 * dropped; if all are shared, nothing is put in. Returns whether it is in.
 */
bool index_insert_hint(mfn_t mfn, uint32_t fingerprint, uint16_t group);

/*
 * A private frame, in the index or not, becomes a shared one of this group and
 * fingerprint with `references`. Its leaves are read-only, and its content is
 * that of the fingerprint. A shared frame is never without an entry, so the
 * caller first makes sure that there are fewer than INDEX_SAME_MAX shared ones
 * (index_lookup_shared); under the scan lock nobody else adds one meanwhile.
 */
void index_insert_shared(mfn_t mfn, uint32_t fingerprint, uint16_t group, uint32_t references);

/* Take a private frame's hint out, if there is one. Call before a frame with
 * FRAME_INDEXED is freed or changes its owner. */
void index_remove(mfn_t mfn);

/* Take a hint out if it is FRAME_STALE; returns whether it did. */
bool index_drop_stale(mfn_t mfn);

/* ---- counters ---- */

struct index_stats {
	uint64_t shared;         /* entries now */
	uint64_t hints;          /* entries now */
	uint64_t hints_inserted; /* monotonic */
	uint64_t
	    hints_dropped; /* monotonic: replaced, or refused, by the limit of INDEX_SAME_MAX */
	uint64_t stale_dropped; /* monotonic */
};
struct index_stats index_stats(void);

/* Call f for every entry; for the audit, with all CPUs stopped. */
void index_each(void (*f)(mfn_t mfn, void *arg), void *arg);

#endif
