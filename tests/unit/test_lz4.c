/* SPDX-License-Identifier: MIT */
/*
 * LZ4 blocks (mm/lz4.c), held against the LZ4 library both ways: what we pack it unpacks, what it
 * packs we unpack, what it refuses we refuse; and no input leads outside of the buffers (each
 * lies in an allocation of its own size, so that ASan sees one byte too far).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <lz4.h>
#include "mm/lz4.h"

#define PAGE 4096u

static struct lz4_work work;
static uint64_t state_of_random = 1;

static uint32_t rnd(uint32_t n)
{
	state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state_of_random >> 33) % n;
}

/* Content of a kind: from what repeats at once to what never does. */
static void fill(uint8_t *page, size_t n, unsigned kind)
{
	static const char *const words[] = {"struct ", "page ",    "of ",
	                                    "memory ", "\0\0\0\0", "int "};

	for (size_t i = 0; i < n;) {
		const char *w = words[rnd(6)];

		switch (kind % 8) {
		case 0:
			page[i++] = 0x5a;
			break;
		case 1:
			page[i++] = (uint8_t)rnd(256);
			break;
		case 2:
			page[i] = (uint8_t)(i / 8 % 7 ? 0 : rnd(256));
			i++;
			break;
		case 3:
			for (size_t k = 0; w[k] && i < n; k++)
				page[i++] = (uint8_t)w[k];
			if (!w[0])
				page[i++] = 0;
			break;
		case 4:
			page[i] = i < 3000 ? (uint8_t)rnd(256) : page[i - 2999];
			i++;
			break;
		case 5:
			page[i] = (uint8_t)(i & 1);
			i++;
			break;
		case 6:
			page[i] = rnd(50) || i < 9 ? (uint8_t)(i * 7 % 31) : page[i - 9];
			i++;
			break;
		default:
			page[i] = (uint8_t)(rnd(40) ? 0 : 1 + rnd(3));
			i++;
		}
	}
}

/* n bytes packed by us into `room`: 0, or a block that both unpackers turn back. */
static size_t packs(const uint8_t *page, size_t n, size_t room)
{
	uint8_t *to = malloc(room ? room : 1), *back = malloc(n);
	size_t bytes = lz4_pack(page, n, to, room, &work);

	assert_true(bytes <= room);
	if (bytes) {
		assert_int_equal(lz4_unpack(to, bytes, back, n), n);
		assert_memory_equal(back, page, n);
		memset(back, 0xee, n);
		assert_int_equal(LZ4_decompress_safe((char *)to, (char *)back, (int)bytes, (int)n),
		                 n);
		assert_memory_equal(back, page, n);
		/* One byte of room less, and it is refused, not cut. */
		if (n > 1)
			assert_int_equal(lz4_unpack(to, bytes, back, n - 1), LZ4_WRONG);
		assert_int_equal(lz4_pack(page, n, to, bytes - 1, &work), 0);
	}
	free(back);
	free(to);
	return bytes;
}

static void ours_is_theirs(void **state)
{
	uint8_t *page = malloc(PAGE);

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		fill(page, PAGE, i);
		packs(page, PAGE, 2 * PAGE);
		packs(page, PAGE, PAGE / 2);
	}
	free(page);
}

/* Every length up to some hundred: the ends of blocks are where the rules are. */
static void every_length(void **state)
{
	(void)state;
	for (size_t n = 1; n < 700; n++) {
		uint8_t *page = malloc(n);

		for (unsigned kind = 0; kind < 8; kind++) {
			fill(page, n, kind);
			assert_true(packs(page, n, n + n / 255 + 16) > 0);
		}
		free(page);
	}
}

static void theirs_is_ours(void **state)
{
	uint8_t *page = malloc(PAGE), *back = malloc(PAGE);

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		char packed[LZ4_COMPRESSBOUND(PAGE)];
		uint8_t *exact;
		int n;

		fill(page, PAGE, i);
		n = LZ4_compress_default((char *)page, packed, PAGE, sizeof(packed));
		assert_true(n > 0);
		exact = malloc((size_t)n);
		memcpy(exact, packed, (size_t)n);
		assert_int_equal(lz4_unpack(exact, (size_t)n, back, PAGE), PAGE);
		assert_memory_equal(back, page, PAGE);
		free(exact);
	}
	free(back);
	free(page);
}

static size_t length_at(const uint8_t **at, size_t n)
{
	if (n == 15)
		do
			n += **at;
		while (*(*at)++ == 255);
	return n;
}

/* Whether a block that the library takes has an offset of 0, which its format forbids and 1.9.4
 * lets pass. */
static bool has_no_offset(const uint8_t *at, size_t n)
{
	const uint8_t *end = at + n;

	while (at < end) {
		unsigned token = *at++;
		size_t literals = length_at(&at, token >> 4);

		at += literals;
		if (at >= end)
			return false;
		if (!at[0] && !at[1])
			return true;
		at += 2;
		length_at(&at, token & 15);
	}
	return false;
}

/* Blocks with bytes changed, cut, or of noise: we say what the library says, and stay inside. */
static void wrong_blocks(void **state)
{
	uint8_t *page = malloc(PAGE), *back = malloc(600), *theirs = malloc(600);
	unsigned refused = 0, taken = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t packed[2 * PAGE], *exact;
		size_t n, made;
		int made_there;

		fill(page, 600, i);
		n = lz4_pack(page, 600, packed, sizeof(packed), &work);
		if (i % 3 == 0)
			n = 1 + rnd((uint32_t)n);
		for (unsigned k = rnd(4); k; k--)
			packed[rnd((uint32_t)n)] = (uint8_t)rnd(256);
		exact = malloc(n);
		memcpy(exact, packed, n);
		made = lz4_unpack(exact, n, back, 600);
		made_there = LZ4_decompress_safe((char *)exact, (char *)theirs, (int)n, 600);
		/* The library also refuses blocks that end against the rule of the last five bytes. */
		if (made == LZ4_WRONG) {
			assert_true(made_there < 0 || has_no_offset(exact, n));
			refused++;
		} else if (made_there >= 0) {
			assert_int_equal(made, made_there);
			assert_memory_equal(back, theirs, made);
			taken++;
		}
		free(exact);
	}
	assert_true(refused > 1000 && taken > 1000);
	assert_int_equal(lz4_unpack(page, 0, back, 600), LZ4_WRONG);
	free(theirs);
	free(back);
	free(page);
}

/* A run of one byte becomes next to nothing; noise does not fit into what it was. */
static void how_small(void **state)
{
	uint8_t *page = malloc(PAGE);

	(void)state;
	memset(page, 0x77, PAGE);
	assert_in_range(packs(page, PAGE, PAGE), 1, 40);
	fill(page, PAGE, 1);
	assert_int_equal(packs(page, PAGE, PAGE), 0);
	fill(page, PAGE, 3);
	assert_in_range(packs(page, PAGE, PAGE), 1, PAGE / 2);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ours_is_theirs), cmocka_unit_test(every_length),
	    cmocka_unit_test(theirs_is_ours), cmocka_unit_test(wrong_blocks),
	    cmocka_unit_test(how_small),
	};

	return cmocka_run_group_tests_name("lz4", tests, NULL, NULL);
}
