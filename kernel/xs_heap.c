/* SPDX-License-Identifier: MIT */
/* See xs_heap.h. */
#include "kernel/xs_heap.h"
#include "kernel/string.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

ASSERT_STATIC(sizeof(struct xs_block) == 32);

static struct xs_block *block_at(struct xs_heap *h, unsigned number)
{
	ASSERT(number != 0);
	return &h->block[number - 1];
}

void xs_heap_init(struct xs_heap *h, unsigned blocks)
{
	ASSERT(blocks <= UINT16_MAX);
	h->free = blocks ? 1 : 0;
	h->nr_free = (uint16_t)blocks;
	for (unsigned i = 1; i <= blocks; i++)
		block_at(h, i)->next = (uint16_t)(i < blocks ? i + 1 : 0);
}

unsigned xs_blocks(size_t length)
{
	return (unsigned)((length + XS_BLOCK_BYTES - 1) / XS_BLOCK_BYTES);
}

struct xs_string xs_string_make(struct xs_heap *h, const char *bytes, size_t length)
{
	struct xs_string s = {0, (uint16_t)length};
	uint16_t *link = &s.first;

	ASSERT(length <= UINT16_MAX && xs_blocks(length) <= h->nr_free);
	while (length) {
		size_t n = min_u64(length, XS_BLOCK_BYTES);

		*link = h->free;
		h->free = block_at(h, *link)->next;
		h->nr_free--;
		memcpy(block_at(h, *link)->bytes, bytes, n);
		link = &block_at(h, *link)->next;
		bytes += n;
		length -= n;
	}
	*link = 0;
	return s;
}

void xs_string_free(struct xs_heap *h, struct xs_string *s)
{
	unsigned number = s->first;

	while (number) {
		struct xs_block *b = block_at(h, number);
		unsigned next = b->next;

		b->next = h->free;
		h->free = (uint16_t)number;
		h->nr_free++;
		number = next;
	}
	*s = (struct xs_string){0, 0};
}

void xs_string_get(const struct xs_heap *h, struct xs_string s, char *dst)
{
	unsigned number = s.first;

	for (size_t left = s.length, n; left; left -= n, dst += n) {
		const struct xs_block *b = &h->block[number - 1];

		n = min_u64(left, XS_BLOCK_BYTES);
		memcpy(dst, b->bytes, n);
		number = b->next;
	}
}

bool xs_string_begins(const struct xs_heap *h, struct xs_string s, const char *bytes, size_t length)
{
	unsigned number = s.first;

	if (length > s.length)
		return false;
	for (size_t n; length; length -= n, bytes += n) {
		const struct xs_block *b = &h->block[number - 1];

		n = min_u64(length, XS_BLOCK_BYTES);
		if (memcmp(b->bytes, bytes, n))
			return false;
		number = b->next;
	}
	return true;
}

bool xs_string_is(const struct xs_heap *h, struct xs_string s, const char *bytes, size_t length)
{
	return s.length == length && xs_string_begins(h, s, bytes, length);
}
