/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory map and its free pages: one run of RAM from the end of the
 * image to the end of the region that holds it. Identity mapped, so a page's
 * address is its guest frame number times 4096.
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include "guests/lib/hypercall.h"
#include <xen/arch-x86/hvm/start_info.h>

#define PAGE_SIZE  4096u
#define PAGE_WORDS 512u

struct memory_range {
	uint64_t base, bytes;
	uint32_t type;
};

void memory_init(const struct hvm_start_info *si);
unsigned memory_ranges(const struct memory_range **list);
uint64_t memory_top(void);        /* end of the last RAM range */
uint64_t memory_ram_pages(void);  /* of all RAM ranges */
uint64_t memory_free_pages(void); /* not yet taken */
/* n pages in a row, never given back, contents as found (zero if untouched). Ends the
 * guest if there are none: a test's size is its author's business. */
void *memory_take(uint64_t n);
/* As memory_take, but starting at a multiple of `align` bytes. */
void *memory_take_aligned(uint64_t n, uint64_t align);

void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
