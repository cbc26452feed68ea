/* SPDX-License-Identifier: MIT */
/*
 * The fingerprint of a page: 32 bits, keyed, in two stages.
 *
 *	page, 512 words --NH, key of this boot--> 128 bits --multilinear, key of
 *	the share group--> 32 bits
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
 * the inner sums mod 2^64. For two different pages of equal length, over
 * uniform keys, the sums are equal with a chance of at most 2^-64.
 *
 * Stage 2 is MULTILINEAR over the four 32-bit words of that sum (Lemire, Kaser:
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
 * page is 256 multiplications, 7 instructions each.
 *
 * Measured (make bench-hash, docs/hash-and-index.md): 1986 instructions a page, 64 of them asking
 * for the next one; mum 2062, xxHash64's loop 3472, multilinear in one stage 5641. Over cold
 * memory, in plain reads of it (median of nine rounds): NH 1.8, mum 2.1, multilinear 2.6,
 * xxHash64 2.6. NH and mum change places from run to run; mum has no proof.
 *
 * A match is only ever a reason to compare: every merge compares whole pages.
 */
#include "mm/hash.h"
#include "mm/env.h"
#include "mm/leaf/assert.h"

#define PAGE_WORDS (PAGE_SIZE / 8)

typedef unsigned __int128 u128;

static uint64_t hash_key[PAGE_WORDS];
static struct {
	u128 u, v;
} hash_salt[5];
static struct hash_sum hash_zero, hash_ones; /* of the two constant pages */
static uint32_t hash_mask = ~0u;

static u128 hash_random128(void)
{
	u128 high = env_random();

	return high << 64 | env_random();
}

static inline struct hash_sum hash_split(u128 sum)
{
	return (struct hash_sum){.lo = (uint64_t)sum, .hi = (uint64_t)(sum >> 64)};
}

/* The sum of a page whose words are all `word`. */
static struct hash_sum hash_constant(uint64_t word)
{
	u128 sum = 0;

	for (unsigned i = 0; i < PAGE_WORDS; i += 2)
		sum += (u128)(word + hash_key[i]) * (word + hash_key[i + 1]);
	return hash_split(sum);
}

void hash_init(void)
{
	for (unsigned i = 0; i < PAGE_WORDS; i++)
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

#define HASH_PAIR(i) ((u128)(m[i] + k[i]) * (m[(i) + 1] + k[(i) + 1]))

/*
 * The one read of guest memory that no lock and no protection stands behind: whoever asks
 * finds out under the lock whether the page was written meanwhile (mm/scan.c), and
 * throws the sum away. C has no words for such a read, which a CPU makes all the time: it
 * is told to ThreadSanitizer here, and nowhere else.
 */
__attribute__((no_sanitize("thread"))) struct hash_sum hash_page_ahead(const void *page,
                                                                       const void *next)
{
	/* The page is other people's memory: any type, and it may change while we read. */
	typedef uint64_t __attribute__((may_alias)) word;
	const word *m = page;
	const uint64_t *k = hash_key, *ahead = next;
	u128 sum = 0;

	for (unsigned i = 0; i < PAGE_WORDS; i += 32, m += 32, k += 32, ahead += 32) {
		__builtin_prefetch(ahead);
		sum += HASH_PAIR(0) + HASH_PAIR(2) + HASH_PAIR(4) + HASH_PAIR(6);
		__builtin_prefetch(ahead + 8);
		sum += HASH_PAIR(8) + HASH_PAIR(10) + HASH_PAIR(12) + HASH_PAIR(14);
		__builtin_prefetch(ahead + 16);
		sum += HASH_PAIR(16) + HASH_PAIR(18) + HASH_PAIR(20) + HASH_PAIR(22);
		__builtin_prefetch(ahead + 24);
		sum += HASH_PAIR(24) + HASH_PAIR(26) + HASH_PAIR(28) + HASH_PAIR(30);
	}
	return hash_split(sum);
}

struct hash_sum hash_page(const void *page)
{
	return hash_page_ahead(page, page);
}

uint32_t hash_finish(struct hash_sum sum, const struct hash_group *g)
{
	uint64_t h = g->key[0];

	h += g->key[1] * (uint32_t)sum.lo;
	h += g->key[2] * (sum.lo >> 32);
	h += g->key[3] * (uint32_t)sum.hi;
	h += g->key[4] * (sum.hi >> 32);
	return (uint32_t)(h >> 32) & hash_mask;
}

uint32_t hash_fingerprint(const void *page, uint16_t group)
{
	struct hash_group g = hash_group(group);

	return hash_finish(hash_page(page), &g);
}

bool hash_may_be_zero(struct hash_sum sum)
{
	return sum.lo == hash_zero.lo && sum.hi == hash_zero.hi;
}

bool hash_may_be_ones(struct hash_sum sum)
{
	return sum.lo == hash_ones.lo && sum.hi == hash_ones.hi;
}

void hash_weaken(uint32_t mask)
{
	hash_mask = mask;
}
