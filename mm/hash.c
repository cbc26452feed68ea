/* SPDX-License-Identifier: MIT */
/*
 * The fingerprint of a page: 32 bits, keyed, in two stages.
 *
 *	page, 512 words --NH twice, key of this boot--> 2 x 128 bits --multilinear,
 *	key of the share group--> 32 bits
 *
 * Why keyed: with a fixed hash a guest could write pages that all collide, and
 * make every lookup of the scanner a chain of comparisons. Why a family with a
 * proof: the bound below holds for any two contents, chosen by whoever does not
 * know the key; and no guest ever sees a fingerprint.
 *
 * Stage 1 is NH with words of 64 bits (Black, Halevi, Krawczyk, Krovetz,
 * Rogaway: "UMAC: fast and secure message authentication", CRYPTO 1999, theorem 1):
 *
 *	sum over i of (m[2i] + k[2i]) * (m[2i+1] + k[2i+1])   mod 2^128,
 *
 * the inner sums mod 2^64. For two different strings of equal length, over
 * uniform keys, the sums are equal with a chance of at most 2^-64.
 *
 * It is taken of two halves of the page under the same key, one half being the
 * first two words of every four, the other the last two. Two different pages differ
 * in one half at least, and there the sums are equal with a chance of at most 2^-64; that
 * the other half knows the same key changes nothing. What it is for: a key word is
 * loaded once for two uses, six loads for two products in place of eight, and the
 * loads are what a CPU runs out of.
 *
 * Stage 2 is MULTILINEAR over the eight 32-bit words of the sums (Lemire, Kaser:
 * "Strongly universal string hashing is fast", Computer Journal 57(11), 2014):
 *
 *	(a[0] + sum over i of a[i + 1] * s[i]   mod 2^64)  >>  32.
 *
 * It is strongly universal: two different sums collide with a chance of
 * exactly 2^-32. Together: any two different pages of a group collide with a
 * chance of at most 2^-32 + 2^-64.
 *
 * The keys of a group are the upper halves of u * group + v mod 2^128 with u, v
 * from the boot's secret: multilinear with one character again, so the keys of
 * any two groups are independent, and equal pages of two groups have unrelated
 * fingerprints. Nothing is stored for a group.
 *
 * Only the general registers are used: the hypervisor is built with
 * -mgeneral-regs-only and would have to save a guest's vector state first. One
 * page is 256 multiplications of 7 instructions each, and 256 loads of the key.
 *
 * Measured (make bench-hash, docs/hash-and-index.md): 2201 instructions a page, 64 of them asking
 * for the next one; mum 2062, xxHash64's loop 3472, multilinear in one stage 5641. Over cold
 * memory, in plain reads of it (median of nine rounds): NH 1.8, mum 2.1, multilinear 2.6,
 * xxHash64 2.6. NH and mum change places from run to run; mum has no proof.
 *
 * A match is only ever a reason to compare: every merge compares whole pages.
 */
#include "mm/hash.h"
#include "mm/env.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/mul_add.h"

#define PAGE_WORDS (PAGE_SIZE / 8)

typedef unsigned __int128 u128;
/* The page is other people's memory: any type, and it may change while we read. */
typedef uint64_t __attribute__((may_alias)) hash_word;

static uint64_t hash_key[PAGE_WORDS / 2];
static struct {
	u128 u, v;
} hash_salt[HASH_GROUP_KEYS];
static struct hash_sum hash_zero, hash_ones; /* of the two constant pages */
static uint32_t hash_mask = ~0u;

static u128 hash_random128(void)
{
	u128 high = env_random();

	return high << 64 | env_random();
}

/* The sum of a page whose words are all `word`. */
static struct hash_sum hash_constant(uint64_t word)
{
	struct sum128 sum = {0, 0};

	for (unsigned i = 0; i < ARRAY_SIZE(hash_key); i += 2)
		mul_add(&sum, word + hash_key[i], word + hash_key[i + 1]);
	return (struct hash_sum){
	    .word = {sum.lo, sum.hi, sum.lo, sum.hi}
        };
}

void hash_init(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(hash_key); i++)
		hash_key[i] = env_random();
	for (unsigned i = 0; i < ARRAY_SIZE(hash_salt); i++) {
		hash_salt[i].u = hash_random128();
		hash_salt[i].v = hash_random128();
	}
	hash_zero = hash_constant(0);
	hash_ones = hash_constant(~UINT64_C(0));
}

struct hash_group hash_group(uint16_t group)
{
	struct hash_group g;

	for (unsigned i = 0; i < ARRAY_SIZE(g.key); i++)
		g.key[i] = (uint64_t)((hash_salt[i].u * group + hash_salt[i].v) >> 64);
	return g;
}

/* Four words of the page, under two of the key. (What it may say of ThreadSanitizer: below.) */
__attribute__((no_sanitize("thread"))) static inline void
hash_four(struct sum128 sum[2], const hash_word *m, const uint64_t *k)
{
	mul_add(&sum[0], m[0] + k[0], m[1] + k[1]);
	mul_add(&sum[1], m[2] + k[0], m[3] + k[1]);
}

/* Two lines of the page, under one of the key. */
__attribute__((no_sanitize("thread"))) static inline void
hash_sixteen(struct sum128 sum[2], const hash_word *m, const uint64_t *k)
{
	hash_four(sum, m, k);
	hash_four(sum, m + 4, k + 2);
	hash_four(sum, m + 8, k + 4);
	hash_four(sum, m + 12, k + 6);
}

/*
 * The one read of guest memory that no lock and no protection stands behind: whoever asks
 * finds out under the lock whether the page was written meanwhile (mm/scan.c), and
 * throws the sum away. C has no words for such a read, which a CPU makes all the time: it
 * is told to ThreadSanitizer here, and nowhere else.
 */
__attribute__((no_sanitize("thread"))) struct hash_sum hash_page_ahead(const void *page,
                                                                       const void *next)
{
	const hash_word *m = page;
	const uint64_t *k = hash_key, *ahead = next;
	struct sum128 sum[2] = {{.lo = 0}, {.lo = 0}};

	for (unsigned i = 0; i < PAGE_WORDS; i += 32, m += 32, k += 16, ahead += 32) {
		__builtin_prefetch(ahead);
		__builtin_prefetch(ahead + 8);
		hash_sixteen(sum, m, k);
		__builtin_prefetch(ahead + 16);
		__builtin_prefetch(ahead + 24);
		hash_sixteen(sum, m + 16, k + 8);
	}
	return (struct hash_sum){
	    .word = {sum[0].lo, sum[0].hi, sum[1].lo, sum[1].hi}
        };
}

struct hash_sum hash_page(const void *page)
{
	return hash_page_ahead(page, page);
}

uint32_t hash_finish(struct hash_sum sum, const struct hash_group *g)
{
	uint64_t h = g->key[0];

	for (unsigned i = 0; i < ARRAY_SIZE(sum.word); i++) {
		h += g->key[2 * i + 1] * (uint32_t)sum.word[i];
		h += g->key[2 * i + 2] * (sum.word[i] >> 32);
	}
	return (uint32_t)(h >> 32) & hash_mask;
}

uint32_t hash_fingerprint(const void *page, uint16_t group)
{
	struct hash_group g = hash_group(group);

	return hash_finish(hash_page(page), &g);
}

bool hash_may_be_zero(struct hash_sum sum)
{
	return hash_sum_equal(sum, hash_zero);
}

bool hash_may_be_ones(struct hash_sum sum)
{
	return hash_sum_equal(sum, hash_ones);
}

void hash_weaken(uint32_t mask)
{
	hash_mask = mask;
}
