/* SPDX-License-Identifier: MIT */
/* A set of physical addresses as a sorted list of ranges that do not touch. Pure. */
#ifndef ARCH_MEMMAP_H
#define ARCH_MEMMAP_H

#include "kernel/boot_info.h"
#include "mm/leaf/types.h"

#define MEMMAP_MAX 256

struct memmap_range {
	uint64_t base, end; /* end is the first byte behind */
};

struct memmap {
	unsigned n;
	unsigned dropped; /* ranges that did not fit */
	struct memmap_range r[MEMMAP_MAX];
};

/* Add or take out [base, end). Taking out can split a range; what does not fit is dropped. */
void memmap_add(struct memmap *m, uint64_t base, uint64_t end);
void memmap_remove(struct memmap *m, uint64_t base, uint64_t end);
uint64_t memmap_bytes(const struct memmap *m);
/* Take `bytes` (aligned) off the upper end of the highest range below `limit`; 0 if none fits. */
uint64_t memmap_take(struct memmap *m, uint64_t bytes, uint64_t align, uint64_t limit);

/*
 * RAM in whole pages: what any range calls RAM and none calls something else,
 * below `limit`. Adds to *cut the bytes of RAM at or above the limit.
 */
void memmap_ram(struct memmap *m, const struct boot_info *bi, uint64_t limit, uint64_t *cut);

#endif
