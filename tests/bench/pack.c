/* SPDX-License-Identifier: MIT */
/*
 * What the pages of an image of a guest's memory would come to, compressed: how many are constant,
 * filled, packed (and into how many frames by the size classes of mm/store.c) and left alone.
 *
 *	bench-pack IMAGE ...	(make images)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/env.h"
#include "mm/lz4.h"

/* As mm/store.c has them: so many to a frame, each rounded down to 16 bytes. */
static const unsigned slots[] = {32, 28, 24, 20, 16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2};
#define HALF (PAGE_SIZE / 2)

struct counts {
	uint64_t pages, constant, filled, packed, left, bytes;
	double frames;
};

/* Of the hypervisor's stack protector (-mstack-protector-guard=global). */
uintptr_t __stack_chk_guard = 0x5bd1e995a5a5a500u;

void env_panic(const char *fmt, ...)
{
	fprintf(stderr, "%s\n", fmt);
	abort();
}

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	abort();
}

static double part_of_a_frame(size_t bytes)
{
	unsigned i = 0;

	while ((PAGE_SIZE / slots[i] & ~15u) < bytes)
		i++;
	return 1.0 / slots[i];
}

static void count_page(struct counts *c, const uint8_t *page)
{
	static uint8_t packed[HALF], back[PAGE_SIZE];
	static struct lz4_work work;
	size_t n;

	c->pages++;
	if (!memcmp(page, page + 1, PAGE_SIZE - 1)) {
		*(page[0] == 0x00 || page[0] == 0xff ? &c->constant : &c->filled) += 1;
		return;
	}
	n = lz4_pack(page, PAGE_SIZE, packed, HALF, &work);
	if (!n) {
		c->left++;
		return;
	}
	if (lz4_unpack(packed, n, back, PAGE_SIZE) != PAGE_SIZE || memcmp(page, back, PAGE_SIZE))
		env_panic("a page did not come back");
	c->packed++;
	c->bytes += n;
	c->frames += part_of_a_frame(n);
}

int main(int argc, char **argv)
{
	static uint8_t page[PAGE_SIZE];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		struct counts c = {0};

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		while (fread(page, PAGE_SIZE, 1, f) == 1)
			count_page(&c, page);
		fclose(f);
		printf("%s: %lu pages: %lu constant, %lu filled, %lu packed (%lu bytes) into %.0f "
		       "frames, %lu left alone\n",
		       argv[i], c.pages, c.constant, c.filled, c.packed, c.bytes, c.frames, c.left);
	}
	return 0;
}
