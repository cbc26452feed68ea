/* SPDX-License-Identifier: MIT */
#include "guests/lib/memory.h"
#include "guests/lib/console.h"
#include "guests/lib/shutdown.h"

#define MAX_RANGES 32

extern char _end[];

static struct memory_range ranges[MAX_RANGES];
static unsigned nr_ranges;
static uint64_t next, limit;

void memory_init(const struct hvm_start_info *si)
{
	const struct hvm_memmap_table_entry *map = (const void *)si->memmap_paddr;

	for (unsigned i = 0; i < si->memmap_entries && i < MAX_RANGES; i++) {
		uint64_t base = map[i].addr, end = base + map[i].size;

		ranges[nr_ranges++] = (struct memory_range){base, map[i].size, map[i].type};
		if (map[i].type == XEN_HVM_MEMMAP_TYPE_RAM && base <= (uint64_t)_end &&
		    (uint64_t)_end < end) {
			next = (uint64_t)_end;
			limit = end & ~(uint64_t)(PAGE_SIZE - 1);
		}
	}
}

unsigned memory_ranges(const struct memory_range **list)
{
	*list = ranges;
	return nr_ranges;
}

uint64_t memory_top(void)
{
	uint64_t top = 0;

	for (unsigned i = 0; i < nr_ranges; i++)
		if (ranges[i].type == XEN_HVM_MEMMAP_TYPE_RAM &&
		    ranges[i].base + ranges[i].bytes > top)
			top = ranges[i].base + ranges[i].bytes;
	return top;
}

uint64_t memory_ram_pages(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < nr_ranges; i++)
		if (ranges[i].type == XEN_HVM_MEMMAP_TYPE_RAM)
			bytes += ranges[i].bytes;
	return bytes / PAGE_SIZE;
}

uint64_t memory_free_pages(void)
{
	return (limit - next) / PAGE_SIZE;
}

void *memory_take_aligned(uint64_t n, uint64_t align)
{
	uint64_t p = (next + align - 1) & ~(align - 1);

	if (p > limit || n > (limit - p) / PAGE_SIZE) {
		print("not ok - this guest needs more memory: %lu pages wanted, %lu free\n", n,
		      memory_free_pages());
		guest_shutdown(GUEST_CRASH);
	}
	next = p + n * PAGE_SIZE;
	return (void *)p;
}

void *memory_take(uint64_t n)
{
	return memory_take_aligned(n, PAGE_SIZE);
}
