/* SPDX-License-Identifier: MIT */
/*
 * sum += x * y with 128 bits, for long sums in the general registers.
 *
 * In C this is one line, and GCC 12 makes of two such sums in a loop 260 to 500 instructions more
 * than there should be in a page's hash: it shifts the halves about, or gathers
 * products until it must store some. So the three instructions are named where they
 * exist; elsewhere the C will do. tests/unit/test_hash.c holds each against the other.
 */
#ifndef MM_LEAF_MUL_ADD_H
#define MM_LEAF_MUL_ADD_H

#include "mm/leaf/types.h"

struct sum128 {
	uint64_t lo, hi;
};

static inline void mul_add_portable(struct sum128 *sum, uint64_t x, uint64_t y)
{
	unsigned __int128 product = (unsigned __int128)x * y;

	sum->lo += (uint64_t)product;
	sum->hi += (uint64_t)(product >> 64) + (sum->lo < (uint64_t)product);
}

static inline void mul_add(struct sum128 *sum, uint64_t x, uint64_t y)
{
#ifdef __x86_64__
	__asm__("mulq %3\n\taddq %%rax, %0\n\tadcq %%rdx, %1"
	        : "+r"(sum->lo), "+r"(sum->hi), "+a"(x)
	        : "r"(y)
	        : "rdx", "cc");
#else
	mul_add_portable(sum, x, y);
#endif
}

#endif
