/* SPDX-License-Identifier: MIT */
/*
 * Strings in blocks: what xenstore keeps of a guest lies in arrays of fixed
 * size, made with the domain, so a guest that fills them finds its own quota
 * and nobody else's memory. A string is a chain of blocks; blocks are numbered
 * from 1, not pointed at, so a heap may be copied as bytes (xs_tx.c). Pure.
 */
#ifndef KERNEL_XS_HEAP_H
#define KERNEL_XS_HEAP_H

#include "mm/leaf/types.h"

#define XS_BLOCK_BYTES 30u

struct xs_block {
	uint16_t next; /* 0: the last one */
	char bytes[XS_BLOCK_BYTES];
};

struct xs_heap {
	uint16_t free, nr_free;
	struct xs_block block[];
};

/* A heap of n blocks, as a member. */
#define XS_HEAP(n)                                                                                 \
	union {                                                                                    \
		struct xs_heap heap;                                                               \
		uint8_t room[sizeof(struct xs_heap) + (n) * sizeof(struct xs_block)];              \
	}

/* At most UINT16_MAX bytes, zeroes among them if need be; {0} is the empty string. */
struct xs_string {
	uint16_t first, length;
};

void xs_heap_init(struct xs_heap *h, unsigned blocks);
unsigned xs_blocks(size_t length); /* that a string of this length takes */

/* The blocks must be there: the caller has asked for xs_blocks() <= nr_free. */
struct xs_string xs_string_make(struct xs_heap *h, const char *bytes, size_t length);
void xs_string_free(struct xs_heap *h, struct xs_string *s);                /* *s is empty after */
void xs_string_get(const struct xs_heap *h, struct xs_string s, char *dst); /* no NUL is added */

/* Its first `length` bytes are these; whether it is these. */
bool xs_string_begins(const struct xs_heap *h, struct xs_string s, const char *bytes,
                      size_t length);
bool xs_string_is(const struct xs_heap *h, struct xs_string s, const char *bytes, size_t length);

#endif
