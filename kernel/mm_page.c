/* SPDX-License-Identifier: MIT */
/*
 * The page-sized operations of mm/env.h: copy, zero, compare, prefetch. Nothing else is
 * here, so that what is measured natively (tests/bench/) is what the hypervisor runs.
 *
 * Integer registers only: the guest's vector registers are in the CPU. Copying and zeroing use
 * string instructions on 8-byte words: an emulator counts one instruction a step.
 */
#include "mm/env.h"

#define WORDS (PAGE_SIZE / sizeof(uint64_t))

void env_page_copy(void *dst, const void *src)
{
	uint64_t words = WORDS;

	__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
}

void env_page_zero(void *dst)
{
	uint64_t words = WORDS;

	__asm__ volatile("rep stosq" : "+D"(dst), "+c"(words) : "a"(UINT64_C(0)) : "memory");
}

#define DIFF(i) (x[i] ^ y[i])
#define DIFF8(i)                                                                                   \
	(DIFF(i) | DIFF((i) + 1) | DIFF((i) + 2) | DIFF((i) + 3) | DIFF((i) + 4) | DIFF((i) + 5) | \
	 DIFF((i) + 6) | DIFF((i) + 7))

/* Thirty-two words between two branches: whoever asks expects them to be equal. */
bool env_page_equal(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b, *end = x + WORDS;

	for (; x < end; x += 32, y += 32)
		if (DIFF8(0) | DIFF8(8) | DIFF8(16) | DIFF8(24))
			return false;
	return true;
}

void env_prefetch_page(const void *page)
{
	for (size_t i = 0; i < 4; i++)
		__builtin_prefetch((const char *)page + 64 * i);
}
