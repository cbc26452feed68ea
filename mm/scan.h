/* SPDX-License-Identifier: MIT */
/* The scanner, beyond what mm/mm.h shows of it (scan_slice, scan_settle). */
#ifndef MM_SCAN_H
#define MM_SCAN_H

#include "mm/policy/policy.h"

/* Forget where the scan stands; the first policy. Called by mm_init. */
void scan_init(void);

/* By name; false if there is none of this name. Takes effect with the next slice. */
bool scan_set_policy(const char *name);
const char *scan_policy_name(void);

/*
 * scan_settle in steps, for callers who must not stay long: looks at up to
 * `pages` pages and returns true once a whole pass has found nothing new (or the
 * guests write so fast that SCAN_SETTLE_PASSES went by). Begin with scan_settle_begin.
 */
#define SCAN_SETTLE_PASSES 64u
void scan_settle_begin(void);
bool scan_settle_step(uint64_t pages) must_check;

#endif
