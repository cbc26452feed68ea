/* SPDX-License-Identifier: MIT */
/* Bits and powers of two. */
#ifndef MM_LEAF_BITS_H
#define MM_LEAF_BITS_H

#include "mm/leaf/types.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Bits hi..lo of a word, both included, in place. */
#define BITS(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))

static inline bool is_power_of_2(uint64_t x)
{
	return x && !(x & (x - 1));
}

static inline uint64_t align_up(uint64_t x, uint64_t a)
{
	return (x + a - 1) & ~(a - 1);
}

static inline uint64_t align_down(uint64_t x, uint64_t a)
{
	return x & ~(a - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
