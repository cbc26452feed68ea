/* SPDX-License-Identifier: MIT */
/*
 * What the fingerprint of a cold page costs, beside just reading it, and beside other hashes.
 *
 *	bench-fingerprint [MIB [ROUNDS]]	MIB a power of two
 *
 * Cold: page after page of much memory. Random: the same pages, jumping about, as pages lie that
 * were written. Warm: few pages, again and again.
 *
 * The unit is a plain read of the same memory: one load a line, and with each a line of the next
 * page asked for, as ours does. Two others are told beside: without asking, and asking for all of
 * the next page at once. Ours is what the scanner does (mm/scan.c):
 * env_prefetch_page of the page after the next, then hash_page_ahead, from the hypervisor's
 * files with its flags.
 * The others may use vector registers, which the hypervisor may not: they are the
 * machine's limit. Tells the median of the rounds, in units of the read of the same round.
 */
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "mm/hash.h"
#include "tests/bench/measure.h"
#include "tests/bench/world.h"

#if __has_include(<xxhash.h>)
#define XXH_INLINE_ALL
#include <xxhash.h>
#define HAVE_XXHASH 1
#else
#define HAVE_XXHASH 0
#endif

#define WORDS      (PAGE_SIZE / 8)
#define MAX_ROUNDS 99u

static volatile uint64_t sink;

static inline void ask_for(const void *page, const void *then)
{
	__builtin_prefetch(then);
	for (unsigned line = 0; line < PAGE_SIZE; line += 64)
		__builtin_prefetch((const char *)page + line);
}

/* ---- candidates: read a page; `next` will be read after it, and `then` after that ---- */

static uint64_t read_lines(const uint64_t *m)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (unsigned i = 0; i < WORDS; i += 32) { /* one word of each line */
		a += m[i];
		b += m[i + 8];
		c += m[i + 16];
		d += m[i + 24];
	}
	return a + b + c + d;
}

static uint64_t read_plain(const uint64_t *m, const void *next, const void *then)
{
	(void)next;
	(void)then;
	return read_lines(m);
}

/* Asks for a line of the next page with each line that it loads, as ours does. */
static uint64_t read_ahead(const uint64_t *m, const void *next, const void *then)
{
	uint64_t a = 0;

	__builtin_prefetch(then);
	for (unsigned i = 0; i < WORDS; i += 8) {
		__builtin_prefetch((const uint64_t *)next + i);
		a += m[i];
	}
	return a;
}

static uint64_t read_env(const uint64_t *m, const void *next, const void *then)
{
	(void)then;
	env_prefetch_page(next);
	return read_lines(m);
}

static uint64_t ours(const uint64_t *m, const void *next, const void *then)
{
	struct hash_sum s;

	env_prefetch_page(then);
	s = hash_page_ahead(m, next);
	return hash_sum_fold(s);
}

/* CRC32C of three parts at once: the instruction takes three cycles, and one can begin in each. */
__attribute__((target("sse4.2"))) static uint64_t crc32c(const uint64_t *m, const void *next,
                                                         const void *then)
{
	const unsigned part = WORDS / 3;
	uint64_t a = 0, b = 0, c = 0;

	ask_for(next, then);
	for (unsigned i = 0; i < part; i++) {
		a = _mm_crc32_u64(a, m[i]);
		b = _mm_crc32_u64(b, m[i + part]);
		c = _mm_crc32_u64(c, m[i + 2 * part]);
	}
	for (unsigned i = 3 * part; i < WORDS; i++)
		a = _mm_crc32_u64(a, m[i]);
	return a ^ b << 16 ^ c << 32;
}

/* One round of AES a block, in four lanes. */
__attribute__((target("aes,sse4.1"))) static uint64_t aes(const uint64_t *m, const void *next,
                                                          const void *then)
{
	const __m128i *v = (const __m128i *)m;
	__m128i lane[4] = {_mm_set1_epi8(1), _mm_set1_epi8(2), _mm_set1_epi8(3), _mm_set1_epi8(4)};

	ask_for(next, then);
	for (unsigned i = 0; i < PAGE_SIZE / 16; i += 4)
		for (unsigned j = 0; j < 4; j++)
			lane[j] = _mm_aesenc_si128(lane[j], v[i + j]);
	lane[0] = _mm_aesenc_si128(_mm_aesenc_si128(lane[0], lane[1]),
	                           _mm_aesenc_si128(lane[2], lane[3]));
	return (uint64_t)_mm_extract_epi64(lane[0], 0);
}

#if HAVE_XXHASH
static uint64_t xxh64(const uint64_t *m, const void *next, const void *then)
{
	ask_for(next, then);
	return XXH64(m, PAGE_SIZE, 1);
}

static uint64_t xxh3(const uint64_t *m, const void *next, const void *then)
{
	ask_for(next, then);
	return XXH3_64bits(m, PAGE_SIZE);
}
#endif

static const struct candidate {
	const char *name;
	uint64_t (*page)(const uint64_t *m, const void *next, const void *then);
} candidates[] = {
    {"read",           read_plain},
    {"read_ahead",     read_ahead},
    {"read_env_ahead", read_env  },
    {"fingerprint",    ours      },
    {"crc32c",         crc32c    },
    {"aes",            aes       },
#if HAVE_XXHASH
    {"xxh64",          xxh64     },
    {"xxh3",           xxh3      },
#endif
};
#define CANDIDATES ARRAY_SIZE(candidates)
#define UNIT       1u /* read_ahead */

/* ---- measuring ---- */

/* Page number i of a walk over all of them (a power of two): in order, or jumping about. */
static const uint64_t *page_at(const uint64_t *memory, uint64_t i, uint64_t pages, uint64_t step)
{
	return memory + (i * step & (pages - 1)) * WORDS;
}

static double time_pages(const struct candidate *c, const uint64_t *memory, uint64_t pages,
                         uint64_t step)
{
	uint64_t begin = measure_cpu_ns(), h = 0;

	for (uint64_t p = 0; p < pages; p++)
		h += c->page(page_at(memory, p, pages, step), page_at(memory, p + 1, pages, step),
		             page_at(memory, p + 2, pages, step));
	sink = h;
	return (double)(measure_cpu_ns() - begin) / (double)pages;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *name, const char *what, double *values, unsigned n)
{
	char text[80];

	qsort(values, n, sizeof(*values), order);
	snprintf(text, sizeof(text), "%s_%s", name, what);
	emit(text, values[n / 2]);
}

/* Over all memory, in the order that step makes; or, warm, again and again over what fits into a
 * part of an L2 cache. */
static void rounds(const uint64_t *memory, uint64_t pages, unsigned n, const char *name,
                   uint64_t some, uint64_t step)
{
	char name_ns[32];
	static double ns[CANDIDATES][MAX_ROUNDS], ratio[CANDIDATES][MAX_ROUNDS];

	snprintf(name_ns, sizeof(name_ns), "%s_ns", name);
	for (unsigned r = 0; r < n; r++) {
		for (unsigned c = 0; c < CANDIDATES; c++) {
			ns[c][r] = 0;
			for (uint64_t i = 0; i < pages / some; i++)
				ns[c][r] += time_pages(&candidates[c], memory, some, step);
			ns[c][r] /= (double)(pages / some);
		}
		for (unsigned c = 0; c < CANDIDATES; c++)
			ratio[c][r] = ns[c][r] / ns[UNIT][r];
	}
	for (unsigned c = 0; c < CANDIDATES; c++) {
		tell(candidates[c].name, name, ratio[c], n);
		tell(candidates[c].name, name_ns, ns[c], n);
	}
}

int main(int argc, char **argv)
{
	uint64_t pages = (argc > 1 ? strtoull(argv[1], NULL, 0) : 512) * 256;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 7;
	uint64_t *memory;

	if (!pages || pages & (pages - 1) || !n || n > MAX_ROUNDS) {
		fputs("usage: bench-fingerprint [MIB [ROUNDS]] (MIB a power of two)\n", stderr);
		return 1;
	}
	hash_init();
	memory = world_map(pages * PAGE_SIZE, false);
	for (uint64_t i = 0; i < pages * WORDS; i++)
		memory[i] = measure_mix(i);
	rounds(memory, pages, n, "cold", pages, 1);
	rounds(memory, pages, n, "random", pages, 40503); /* odd: meets every page */
	rounds(memory, 4096, n, "warm", 64, 1);
	return 0;
}
