/* SPDX-License-Identifier: MIT */
/* The scanner, beyond what mm/mm.h shows of it (scan_slice, scan_settle). */
#ifndef MM_SCAN_H
#define MM_SCAN_H

#include "mm/policy/policy.h"

/* Forget where the scan stands; the first policy, all knobs at their defaults. Called by mm_init.
 */
void scan_init(void);

/* ---- which policy, and its knobs (mm/scan_policy.c) ---- */

/* By name; NULL if there is none of this name. */
const struct scan_policy *scan_find_policy(const char *name);

/*
 * Use it, from the next slice on. MM_NOMEM if what it keeps for each frame cannot be had:
 * then the old one goes on.
 */
enum mm_status scan_use(const struct scan_policy *policy) must_check;

/* Both in one; false if there is none of this name, or no memory for it. */
bool scan_set_policy(const char *name);
const struct scan_policy *scan_policy(void);
const char *scan_policy_name(void);

/* Bytes that a policy keeps for all frames of this machine. */
uint64_t scan_policy_bytes(const struct scan_policy *policy);

/* Those that every policy has, ended by a NULL name. */
const struct scan_knob *scan_common_knobs(void);

/* NULL if neither the policy has one of this name, nor every policy. */
const struct scan_knob *scan_find_knob(const struct scan_policy *policy, const char *name);

/* False if the value is not between least and most: then nothing has changed. */
bool scan_set_knob(const struct scan_knob *knob, uint64_t value) must_check;

/*
 * How many env_cycles are a millisecond: without it no policy keeps to a rate, and each
 * does what it has to as fast as slices come. 0: unknown.
 */
void scan_set_clock(uint64_t cycles_per_ms);

/* What a policy has come to since mm_init; only grows. */
struct scan_counts {
	uint64_t passes;
	uint64_t scanned;  /* pages looked at, less the skipped */
	uint64_t skipped;  /* passed by, as the policy said so */
	uint64_t read;     /* whole pages, for their fingerprint */
	uint64_t gated;    /* of these, read otherwise than the last time: nothing came of it */
	uint64_t sought;   /* of these, looked up */
	uint64_t compared; /* pairs of pages, byte by byte */
	uint64_t merged;
	uint64_t modelled; /* compares that its own trees would have cost (policy.h) */
};
struct scan_counts scan_counts(const struct scan_policy *policy);

/* ---- settling ---- */

/*
 * scan_settle in steps, for callers who must not stay long: looks at up to
 * `pages` pages and returns true once a whole pass has found nothing new (or the
 * guests write so fast that SCAN_SETTLE_PASSES went by). Begin with scan_settle_begin.
 * It goes by scan_settler, whichever policy is in use: the others may leave pages out.
 */
#define SCAN_SETTLE_PASSES 64u
void scan_settle_begin(void);
bool scan_settle_step(uint64_t pages) must_check;

/* ---- for mm/ ---- */

/* Tell the policy of an event; p2m lock of s held. */
void scan_tell(struct space *s, gfn_t gfn, enum scan_event what);

/* The policy in use; scan lock held. */
const struct scan_policy *scan_policy_locked(void);
void scan_count(const struct scan_policy *policy, const struct scan_counts *more);
void scan_policy_init(void);
/* The policy in use has changed since the last call. Scan lock held. */
bool scan_policy_changed(void);

#endif
