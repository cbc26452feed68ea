/* SPDX-License-Identifier: MIT */
/* A text with numbers in it, for the audit: no printf, as mm/ has none. */
#ifndef MM_SENTENCE_H
#define MM_SENTENCE_H

#include "mm/leaf/types.h"

static inline char *sentence_number(char *to, char *end, uint64_t n)
{
	char digits[20];
	unsigned i = 0;

	do
		digits[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i > 0 && to < end)
		*to++ = digits[--i];
	return to;
}

/* Each '#' of the text stands for a number, in order. */
static inline void sentence_fill(char *to, size_t bytes, const char *text, const uint64_t *numbers)
{
	char *end = to + bytes - 1;

	for (; *text && to < end; text++) {
		if (*text == '#')
			to = sentence_number(to, end, *numbers++);
		else
			*to++ = *text;
	}
	*to = 0;
}

#endif
