/* SPDX-License-Identifier: MIT */
/*
 * How a PVH guest finds itself at its first instruction: registers, memory map
 * and start info (docs/misc/pvh.pandoc of Xen; xen/arch-x86/hvm/start_info.h). Pure.
 */
#ifndef ARCH_GUEST_PVH_H
#define ARCH_GUEST_PVH_H

#include "arch/x86_64/regs.h"

/*
 * Pages of ours in a guest's address space, where Xen has them too
 * (NR_SPECIAL_PAGES below 0xff000): out of RAM, and reserved in the memory map.
 */
#define PVH_SPECIAL_FIRST 0xfeff8u
#define PVH_SPECIAL_PAGES 8u
#define PVH_ACPI_GFN      PVH_SPECIAL_FIRST
#define PVH_STORE_GFN     0xfeffcu
#define PVH_CONSOLE_GFN   0xfefffu

#define PVH_MAP_RAM      1u /* types of the memory map, as in an e820 */
#define PVH_MAP_RESERVED 2u
#define PVH_MAP_ACPI     3u
#define PVH_MAP_MAX      4u

struct pvh_range {
	uint64_t base, bytes;
	uint32_t type;
};

/* The memory map of a domain, in ascending order; returns how many ranges. Also
 * the answer of XENMEM_memory_map. */
unsigned pvh_memory_map(uint64_t low_pages, uint64_t high_first, uint64_t high_pages,
                        struct pvh_range out[PVH_MAP_MAX]);

/* Where the start info and the ramdisk go. */
struct pvh_layout {
	uint64_t start_info; /* one page: everything that start info points at, too */
	uint64_t ramdisk, ramdisk_bytes;
};

/* Find room above 1 MiB and behind the kernel, which ends at kernel_end. False: none. */
bool pvh_place(uint64_t kernel_end, uint64_t ramdisk_bytes, uint64_t low_bytes,
               struct pvh_layout *out);

/* Fill the page that goes to l->start_info; cmdline is at most PVH_CMDLINE_MAX long. */
#define PVH_CMDLINE_MAX 1024u
void pvh_start_page(uint8_t page[4096], const struct pvh_layout *l, const char *cmdline,
                    const struct pvh_range *map, unsigned nr);

/* The first state of vCPU 0. */
void pvh_first_state(uint32_t entry, uint64_t start_info, struct guest_regs *r,
                     struct guest_state *s);

#endif
