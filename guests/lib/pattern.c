/* SPDX-License-Identifier: MIT */
#include "guests/lib/memory.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

unsigned pattern_noisy_words = PAGE_WORDS;

/* Word 0 of a content is its key, so contents differ wherever keys do. */
void pattern_fill(void *page, uint64_t key)
{
	volatile uint64_t *w = page;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		w[i] = pattern_word(key, i);
}

int pattern_check(const void *page, uint64_t key)
{
	const volatile uint64_t *w = page;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		if (w[i] != pattern_word(key, i))
			return (int)i;
	return -1;
}

bool pattern_verify(const void *page, uint64_t key, const char *when)
{
	int i = pattern_check(page, key);

	if (i < 0)
		return true;
	tap_diag("%s: page %lx word %d is %lx, should be %lx", when, (uint64_t)page / PAGE_SIZE, i,
	         ((const volatile uint64_t *)page)[i], pattern_word(key, (unsigned)i));
	return false;
}
