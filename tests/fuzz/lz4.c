/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a block: unpacked inside of the buffers or refused; and any bytes as a page: what
 * is packed comes back as it was, and into less room than that it is refused.
 */
#include "mm/lz4.h"
#include "tests/fuzz/fuzz.h"

#define PAGE 4096u

static struct lz4_work work;

static void unpacks(const uint8_t *bytes, size_t n)
{
	uint8_t *to = malloc(PAGE);
	size_t made = lz4_unpack(bytes, n, to, PAGE);

	MUST(made == LZ4_WRONG || made <= PAGE);
	free(to);
}

static void comes_back(const uint8_t *bytes, size_t n)
{
	size_t room = n + n / 255 + 16, packed;
	uint8_t *to = malloc(room), *back = malloc(n);

	packed = lz4_pack(bytes, n, to, room, &work);
	MUST(packed && packed <= room);
	MUST(lz4_unpack(to, packed, back, n) == n);
	MUST(!memcmp(back, bytes, n));
	MUST(lz4_pack(bytes, n, to, packed - 1, &work) == 0);
	free(back);
	free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	unpacks(bytes, n);
	if (n && n <= LZ4_MOST)
		comes_back(bytes, n);
	return 0;
}
