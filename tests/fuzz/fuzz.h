/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share. Each tests/fuzz/NAME.c is one program: libFuzzer calls
 * LLVMFuzzerTestOneInput with bytes that it mutates towards new branches, beginning
 * with tests/fuzz/corpus/NAME. The bytes lie in an allocation of exactly their size,
 * so that ASan sees one byte too far.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What must hold whatever the input. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Input that is read as decisions, from its beginning; zeroes behind its end. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes)
{
	uint64_t v = 0;
	size_t n = bytes < in->left ? bytes : in->left;

	if (n)
		memcpy(&v, in->at, n);
	in->at += n;
	in->left -= n;
	return v;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return (uint8_t)fuzz_take(in, 1);
}

#endif
