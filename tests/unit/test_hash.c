/* SPDX-License-Identifier: MIT */
/* The fingerprint (mm/hash.c): what its head comment promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "mm/hash.h"
#include "mm/leaf/mul_add.h"
#include "mm/env.h"

static uint64_t random_state;

uint64_t env_random(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t page[PAGE_SIZE / 8];

static void fill_page(void)
{
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = env_random();
}

static int setup(void **state)
{
	(void)state;
	random_state = 42;
	hash_weaken(~0u);
	hash_init();
	fill_page();
	return 0;
}

/* Equal contents have equal fingerprints wherever they lie; both stages agree with the short form.
 */
static void same_content(void **state)
{
	uint64_t copy[PAGE_SIZE / 8];
	struct hash_group g = hash_group(7);

	(void)state;
	memcpy(copy, page, sizeof(copy));
	assert_int_equal(hash_fingerprint(page, 7), hash_fingerprint(copy, 7));
	assert_int_equal(hash_fingerprint(page, 7), hash_finish(hash_page(copy), &g));
}

/* NH: with all else fixed, a word's part of the sum grows by the same step, the key of its
 * neighbour (as long as word + key does not wrap, which small words hardly ever make happen). */
static void nh_is_linear_in_one_word(void **state)
{
	typedef unsigned __int128 u128;
	static uint64_t p[PAGE_SIZE / 8];

	(void)state;
	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 37) {
		struct hash_sum s[3];
		unsigned half = i & 2;
		u128 v[3];

		for (uint64_t x = 0; x < 3; x++) {
			memset(p, 0, sizeof(p));
			p[i] = x;
			s[x] = hash_page(p);
			v[x] = (u128)s[x].word[half + 1] << 64 | s[x].word[half];
			/* The other half of the page has not heard of it. */
			assert_true(s[x].word[2 - half] == s[0].word[2 - half] &&
			            s[x].word[3 - half] == s[0].word[3 - half]);
		}
		assert_true(v[2] - v[1] == v[1] - v[0]); /* = k[i ^ 1] */
		assert_true((v[1] - v[0]) >> 64 == 0);   /* a key has 64 bits */
		assert_true(v[1] != v[0]);
	}
}

/* The named instructions and the C come to the same, carries and all. */
static void mul_add_is_what_c_says(void **state)
{
	static const uint64_t edge[] = {0, 1, 2, UINT64_C(1) << 63, ~UINT64_C(0) - 1, ~UINT64_C(0)};
	struct sum128 a = {0, 0}, b = {0, 0};

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t x = i < 36 ? edge[i / 6] : env_random(),
		         y = i < 36 ? edge[i % 6] : env_random();

		mul_add(&a, x, y);
		mul_add_portable(&b, x, y);
		assert_true(a.lo == b.lo && a.hi == b.hi);
		assert_true(i || (a.lo == 0 && a.hi == 0));
	}
	a = (struct sum128){~UINT64_C(0), 1};
	mul_add(&a, 1, 1);
	assert_true(a.lo == 0 && a.hi == 2);
}

/* Any single changed bit of the 32768 changes the fingerprint, and about half of its bits. */
static void avalanche(void **state)
{
	struct hash_group g = hash_group(1);
	uint32_t before = hash_finish(hash_page(page), &g);
	uint64_t changed = 0;

	(void)state;
	for (unsigned bit = 0; bit < PAGE_SIZE * 8; bit++) {
		uint32_t after;

		page[bit / 64] ^= UINT64_C(1) << bit % 64;
		after = hash_finish(hash_page(page), &g);
		page[bit / 64] ^= UINT64_C(1) << bit % 64;
		assert_int_not_equal(before, after);
		changed += (unsigned)__builtin_popcount(before ^ after);
	}
	assert_in_range(changed, PAGE_SIZE * 8 * 15, PAGE_SIZE * 8 * 17);
}

/* Every 32 bits of the sum have a key of their own, and what they add does not depend on the rest.
 */
static void each_part_counts(void **state)
{
	const struct hash_sum none = {0};
	struct hash_group g = hash_group(5), same;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct hash_sum part = none;
		uint32_t step;

		part.word[i / 2] = UINT64_C(1) << (i % 2 ? 63 : 31);
		step = hash_finish(part, &g) - hash_finish(none, &g);

		/* key * 2^31, upper half; one more if the lower halves carry. */
		assert_in_range(step - (uint32_t)(g.key[i + 1] >> 1), 0, 1);
		same = g;
		same.key[i + 1] = 0;
		assert_int_equal(hash_finish(part, &same), hash_finish(none, &g));
	}
}

/* Swapped words, and pages of one repeated word, are told apart. */
static void structure(void **state)
{
	uint32_t before = hash_fingerprint(page, 1);
	uint64_t first = page[0];

	(void)state;
	page[0] = page[1];
	page[1] = first;
	assert_int_not_equal(before, hash_fingerprint(page, 1));
	for (unsigned fill = 0; fill < 255; fill++) {
		uint32_t a;

		memset(page, (int)fill, PAGE_SIZE);
		a = hash_fingerprint(page, 1);
		memset(page, (int)fill + 1, PAGE_SIZE);
		assert_int_not_equal(a, hash_fingerprint(page, 1));
	}
}

/* Another boot, another fingerprint. */
static void depends_on_the_key(void **state)
{
	uint32_t before = hash_fingerprint(page, 1);

	(void)state;
	hash_init();
	assert_int_not_equal(before, hash_fingerprint(page, 1));
}

/* Equal pages of different groups have unrelated fingerprints: over all pairs with group 1 about
 * half of the bits differ, and nowhere all are equal. */
static void groups_are_apart(void **state)
{
	uint32_t one = hash_fingerprint(page, 1);
	uint64_t differ = 0;

	(void)state;
	for (unsigned g = 2; g < 1002; g++) {
		uint32_t other = hash_fingerprint(page, (uint16_t)g);

		assert_int_not_equal(one, other);
		differ += (unsigned)__builtin_popcount(one ^ other);
	}
	assert_in_range(differ, 15000, 17000);
}

/* Of 4096 pages that differ in one word, 2^23 pairs, hardly any collide (2^-32 each). */
static void few_collisions(void **state)
{
	enum { N = 1 << 12 };
	static uint32_t seen[N];
	unsigned collisions = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		page[511] = i;
		seen[i] = hash_fingerprint(page, 3);
		for (unsigned j = 0; j < i; j++)
			collisions += seen[j] == seen[i];
	}
	assert_in_range(collisions, 0, 1);
}

/* The constant pages are known by their sums, and a page that is nearly constant is not. */
static void constants(void **state)
{
	(void)state;
	memset(page, 0, PAGE_SIZE);
	assert_true(hash_may_be_zero(hash_page(page)));
	assert_false(hash_may_be_ones(hash_page(page)));
	page[511] = 1;
	assert_false(hash_may_be_zero(hash_page(page)));
	memset(page, 0xff, PAGE_SIZE);
	assert_true(hash_may_be_ones(hash_page(page)));
	assert_false(hash_may_be_zero(hash_page(page)));
	page[0] ^= 1;
	assert_false(hash_may_be_ones(hash_page(page)));
}

/* For other tests: a weakened fingerprint collides as told. */
static void weakened(void **state)
{
	(void)state;
	hash_weaken(0);
	assert_int_equal(hash_fingerprint(page, 1), 0);
	hash_weaken(3);
	assert_in_range(hash_fingerprint(page, 1), 0, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(same_content, setup),
	    cmocka_unit_test_setup(nh_is_linear_in_one_word, setup),
	    cmocka_unit_test_setup(mul_add_is_what_c_says, setup),
	    cmocka_unit_test_setup(avalanche, setup),
	    cmocka_unit_test_setup(each_part_counts, setup),
	    cmocka_unit_test_setup(structure, setup),
	    cmocka_unit_test_setup(depends_on_the_key, setup),
	    cmocka_unit_test_setup(groups_are_apart, setup),
	    cmocka_unit_test_setup(few_collisions, setup),
	    cmocka_unit_test_setup(constants, setup),
	    cmocka_unit_test_setup(weakened, setup),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
