/* SPDX-License-Identifier: MIT */
/* The keyed fingerprint of a page's content; mm/hash.c tells which and why. */
#ifndef MM_HASH_H
#define MM_HASH_H

#include "mm/leaf/types.h"

/* The first stage: twice 128 bits, low word first, under the secret of this boot. The same for
 * all groups. */
struct hash_sum {
	uint64_t word[4];
};

static inline bool hash_sum_equal(struct hash_sum a, struct hash_sum b)
{
	return !((a.word[0] ^ b.word[0]) | (a.word[1] ^ b.word[1]) | (a.word[2] ^ b.word[2]) |
	         (a.word[3] ^ b.word[3]));
}

/* For tests and statistics: one number for what was hashed. */
static inline uint64_t hash_sum_fold(struct hash_sum a)
{
	return (a.word[0] ^ a.word[1]) + 3 * (a.word[2] ^ a.word[3]);
}

/* The keys of the second stage for one share group: one to begin with, and one for every
 * 32 bits of the sum. */
#define HASH_GROUP_KEYS 9u
struct hash_group {
	uint64_t key[HASH_GROUP_KEYS];
};

/* Draw the secret. Called once, by mm_init, before any other call. */
void hash_init(void);

struct hash_group hash_group(uint16_t group);

struct hash_sum hash_page(const void *page);
/* The same; and with each line asks the cache for a line of `next`, the page that will be read
 * next. */
struct hash_sum hash_page_ahead(const void *page, const void *next);
uint32_t hash_finish(struct hash_sum sum, const struct hash_group *g);

/* Both stages, for callers in no hurry (audit). */
uint32_t hash_fingerprint(const void *page, uint16_t group);

/* Whether the content is likely all zeroes or all ones: certain but for one in 2^64. */
bool hash_may_be_zero(struct hash_sum sum);
bool hash_may_be_ones(struct hash_sum sum);

/*
 * For tests: keep only these bits of every fingerprint. With 0 all pages of a
 * group collide, and everything must still be right.
 */
void hash_weaken(uint32_t mask);

#endif
