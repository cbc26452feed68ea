/* SPDX-License-Identifier: MIT */
/*
 * The frame table is an array indexed by frame number in a window of its own
 * of the address space; memory stands behind only those parts that describe
 * RAM. With the index buckets that is at most 20 bytes a frame.
 *
 * A page of it holds the records of 1 MiB, and the memory core goes by blocks of 2 MiB: it looks at
 * the record of a buddy, and from a page at the first of its block. So all of a block in which
 * there is RAM has records, a hole's too (all zeroes: FRAME_RESERVED), and behind nr_frames.
 */
#include "arch/x86_64/frames.h"

#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/paging.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "mm/mm.h"

/* 2 % of the machine is kept for copy-on-write breaks unless reserve= says otherwise. */
#define RESERVE_DIVISOR 50

static struct mm_range free_ranges[MEMMAP_MAX];

static void back(uint64_t start, uint64_t end)
{
	start = align_down(start, PAGE_SIZE);
	end = align_up(end, PAGE_SIZE);
	if (!paging_back(start, end - start))
		env_panic("not enough memory for the frame table");
}

/* The table of a full machine ends with a whole block, where the buckets begin. */
_Static_assert(MFN_LIMIT % LARGE_PAGES == 0 &&
                   FRAMES_BASE + MFN_LIMIT * sizeof(struct frame) <= BUCKETS_BASE,
               "there is room for the records of whole blocks");

/* Returns how many frames there are. */
static uint64_t table_back(void)
{
	uint64_t frames = 0;

	for (unsigned i = 0; i < boot_ram.n; i++) {
		uint64_t first = boot_ram.r[i].base >> PAGE_SHIFT;
		uint64_t end = boot_ram.r[i].end >> PAGE_SHIFT;

		back(FRAMES_BASE + align_down(first, LARGE_PAGES) * sizeof(struct frame),
		     FRAMES_BASE + align_up(end, LARGE_PAGES) * sizeof(struct frame));
		frames = end;
	}
	/* frame 0 has a record too: it is the end mark of chains */
	back(FRAMES_BASE, FRAMES_BASE + sizeof(struct frame));
	return frames;
}

/* The largest power of two that is not above the frames of RAM: at most 4 bytes a frame. */
static uint64_t buckets_back(uint64_t pages)
{
	uint64_t n = BIT(63 - __builtin_clzll(max_u64(pages, 1024)));

	back(BUCKETS_BASE, BUCKETS_BASE + n * sizeof(uint32_t));
	return n;
}

void frames_init(void)
{
	uint64_t pages = memmap_bytes(&boot_ram) >> PAGE_SHIFT, left;
	struct mm_config c = {
	    .frames = (struct frame *)FRAMES_BASE,
	    .buckets = (uint32_t *)BUCKETS_BASE,
	    .free = free_ranges,
	    .nr_cpus = machine_cpus(),
	    .reserve_pages = cmdline_share("reserve", pages, pages / RESERVE_DIVISOR),
	};

	c.nr_frames = table_back();
	c.nr_buckets = buckets_back(pages);
	bootmem_close();
	if (boot_free.dropped || boot_ram.dropped)
		log_warn("the memory map has too many pieces: some memory is not used");
	c.nr_free = boot_free.n;
	for (unsigned i = 0; i < boot_free.n; i++)
		free_ranges[i] =
		    (struct mm_range){mfn_of_addr(boot_free.r[i].base),
		                      (boot_free.r[i].end - boot_free.r[i].base) >> PAGE_SHIFT};
	left = memmap_bytes(&boot_free);
	log_info("memory: %llu MiB, %llu MiB free, frame table and index %llu KiB",
	         (unsigned long long)(pages >> 8), (unsigned long long)(left >> 20),
	         (unsigned long long)((pages * sizeof(struct frame) + c.nr_buckets * 4) >> 10));
	mm_init(&c);
}
