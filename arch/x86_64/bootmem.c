/* SPDX-License-Identifier: MIT */
/*
 * Memory before the memory core: from the boot loader's map come the RAM that we can
 * address, minus what is in use (the first MiB, our image, boot modules, ACPI
 * tables), and an allocator that takes from the top and never gives back. Below
 * 4 GiB at first, which is all that boot.S has mapped. bootmem_close() hands the
 * rest over; from then on memory is frame_alloc()'s.
 */
#include "arch/x86_64/bootmem.h"

#include "kernel/string.h"

#include "arch/x86_64/paging.h"
#include "kernel/log.h"
#include "mm/leaf/bits.h"

struct memmap boot_ram, boot_free, boot_readonly;
uint64_t boot_trampoline;

static uint64_t limit = BIT(32);
static bool closed;

static void bootmem_readonly(uint64_t base, uint64_t bytes)
{
	uint64_t end = align_up(base + bytes, PAGE_SIZE);

	if (end > MFN_LIMIT << PAGE_SHIFT) /* the direct map does not reach there */
		return;
	memmap_add(&boot_readonly, align_down(base, PAGE_SIZE), end);
	memmap_remove(&boot_free, align_down(base, PAGE_SIZE), end);
}

void bootmem_init(const struct boot_found *f)
{
	const struct boot_info *bi = &f->info;
	struct memmap low;
	uint64_t cut;

	memmap_ram(&boot_ram, bi, MFN_LIMIT << PAGE_SHIFT, &cut);
	if (cut)
		log_warn("%llu MiB of memory above 16 TiB are not used",
		         (unsigned long long)(cut >> 20));
	memmap_remove(&boot_ram, 0, PAGE_SIZE); /* frame 0 is the end mark of chains */
	boot_free = boot_ram;
	memmap_remove(&boot_free, 0, 0x100000); /* firmware's and the trampoline's */
	memmap_remove(&boot_free, virt_to_phys(image_start), virt_to_phys(image_end));
	for (unsigned i = 0; i < bi->nr_modules; i++)
		bootmem_readonly(f->module_phys[i], bi->modules[i].bytes);
	for (unsigned i = 0; i < bi->nr_ranges; i++)
		if (bi->ranges[i].type == 3 || bi->ranges[i].type == 4)
			bootmem_readonly(bi->ranges[i].base, bi->ranges[i].bytes);
	low = boot_ram;
	boot_trampoline = memmap_take(&low, PAGE_SIZE, PAGE_SIZE, 0x9f000);
}

uint64_t bootmem_alloc(uint64_t bytes, uint64_t align)
{
	uint64_t at = memmap_take(&boot_free, bytes, align, limit);

	ASSERT(!closed);
	if (at)
		memset(phys_to_virt(at), 0, bytes);
	return at;
}

void bootmem_all_mapped(void)
{
	limit = UINT64_MAX;
}

void bootmem_close(void)
{
	closed = true;
}

bool bootmem_open(void)
{
	return !closed;
}
