/* SPDX-License-Identifier: MIT */
/*
 * Pages of known content. A content is named by a 64-bit key; two pages are
 * equal exactly if their keys are. Two keys stand for the constant contents.
 */
#ifndef GUEST_PATTERN_H
#define GUEST_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#define PATTERN_ZERO UINT64_C(0)
#define PATTERN_ONES UINT64_MAX

/* So many words of a page are as good as noise, the others repeat: for who compresses. All, unless
 * set before the first page is filled. */
extern unsigned pattern_noisy_words;

static inline uint64_t pattern_word(uint64_t key, unsigned i)
{
	if (key == PATTERN_ZERO || key == PATTERN_ONES || i >= pattern_noisy_words)
		return key;
	return key ^ i * UINT64_C(0x9e3779b97f4a7c15);
}

void pattern_fill(void *page, uint64_t key);
/* The index of the first 8 bytes that differ, or -1: every byte is as it should be. */
int pattern_check(const void *page, uint64_t key);
/* As pattern_check, and says on the console what is wrong. */
bool pattern_verify(const void *page, uint64_t key, const char *when);

#endif
