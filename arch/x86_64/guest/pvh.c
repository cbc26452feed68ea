/* SPDX-License-Identifier: MIT */
/*
 * A PVH guest's first view of its world.
 *
 *	  1 MiB    kernel      page            pages
 *	----+--------####--------@--------########----------- RAM
 *	                    start info     ramdisk
 *
 * One page holds the start info, the list of modules, the memory map and the
 * command line. It lies above 1 MiB, because some small kernels do not map what
 * is below, and behind the kernel, whose end covers its zeroed memory.
 */
#include "arch/x86_64/guest/pvh.h"

#include <xen/arch-x86/hvm/start_info.h>

#include "kernel/string.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

/* Offsets in the start page. */
#define AT_START_INFO 0u
#define AT_MODULE     64u
#define AT_MAP        128u
#define AT_CMDLINE    512u

ASSERT_STATIC(sizeof(struct hvm_start_info) == 56);
ASSERT_STATIC(sizeof(struct hvm_modlist_entry) == 32);
ASSERT_STATIC(sizeof(struct hvm_memmap_table_entry) == 24);
ASSERT_STATIC(AT_MAP + PVH_MAP_MAX * sizeof(struct hvm_memmap_table_entry) <= AT_CMDLINE);
ASSERT_STATIC(AT_CMDLINE + PVH_CMDLINE_MAX < PAGE_SIZE);

unsigned pvh_memory_map(uint64_t low_pages, uint64_t high_first, uint64_t high_pages,
                        struct pvh_range out[PVH_MAP_MAX])
{
	unsigned n = 0;

	out[n++] = (struct pvh_range){0, low_pages << PAGE_SHIFT, PVH_MAP_RAM};
	out[n++] =
	    (struct pvh_range){(uint64_t)PVH_ACPI_GFN << PAGE_SHIFT, PAGE_SIZE, PVH_MAP_ACPI};
	out[n++] =
	    (struct pvh_range){(uint64_t)(PVH_ACPI_GFN + 1) << PAGE_SHIFT,
	                       (uint64_t)(PVH_SPECIAL_PAGES - 1) << PAGE_SHIFT, PVH_MAP_RESERVED};
	if (high_pages)
		out[n++] = (struct pvh_range){high_first << PAGE_SHIFT, high_pages << PAGE_SHIFT,
		                              PVH_MAP_RAM};
	return n;
}

bool pvh_place(uint64_t kernel_end, uint64_t ramdisk_bytes, uint64_t low_bytes,
               struct pvh_layout *out)
{
	uint64_t at = align_up(max_u64(kernel_end, UINT64_C(1) << 20), PAGE_SIZE);

	/* kernel_end <= low_bytes, which is far from the end of 64 bits. */
	if (low_bytes < PAGE_SIZE || at > low_bytes - PAGE_SIZE)
		return false;
	*out = (struct pvh_layout){.start_info = at, .ramdisk_bytes = ramdisk_bytes};
	at += PAGE_SIZE;
	if (ramdisk_bytes)
		out->ramdisk = at;
	return ramdisk_bytes <= low_bytes - at;
}

void pvh_start_page(uint8_t page[4096], const struct pvh_layout *l, const char *cmdline,
                    const struct pvh_range *map, unsigned nr)
{
	struct hvm_start_info info = {
	    .magic = XEN_HVM_START_MAGIC_VALUE,
	    .version = 1,
	    .memmap_paddr = l->start_info + AT_MAP,
	    .memmap_entries = nr,
	    .cmdline_paddr = l->start_info + AT_CMDLINE,
	    .rsdp_paddr = (uint64_t)PVH_ACPI_GFN << PAGE_SHIFT,
	};
	struct hvm_modlist_entry module = {.paddr = l->ramdisk, .size = l->ramdisk_bytes};

	ASSERT(nr <= PVH_MAP_MAX && strlen(cmdline) <= PVH_CMDLINE_MAX);
	memset(page, 0, PAGE_SIZE);
	if (l->ramdisk_bytes) {
		info.nr_modules = 1;
		info.modlist_paddr = l->start_info + AT_MODULE;
		memcpy(page + AT_MODULE, &module, sizeof(module));
	}
	for (unsigned i = 0; i < nr; i++) {
		struct hvm_memmap_table_entry e = {
		    .addr = map[i].base, .size = map[i].bytes, .type = map[i].type};

		memcpy(page + AT_MAP + i * sizeof(e), &e, sizeof(e));
	}
	memcpy(page + AT_CMDLINE, cmdline, strlen(cmdline) + 1);
	memcpy(page + AT_START_INFO, &info, sizeof(info));
}

/* A flat 4 GiB segment: present, accessed, 32-bit, in pages. */
static struct guest_segment flat(unsigned type)
{
	return (struct guest_segment){
	    .attributes = (uint16_t)(type | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DB | SEG_ATTR_G),
	    .limit = UINT32_MAX};
}

void pvh_first_state(uint32_t entry, uint64_t start_info, struct guest_regs *r,
                     struct guest_state *s)
{
	memset(r, 0, sizeof(*r));
	r->rip = entry;
	r->rflags = 2; /* bit 1 is always set (SDM vol. 1, 3.4.3) */
	r->gpr[RBX] = start_info;

	memset(s, 0, sizeof(*s));
	s->cr0 = 0x11; /* PE and ET */
	s->dr7 = 0x400;
	s->cs = flat(0xb);                 /* code, readable, accessed */
	s->ds = s->es = s->ss = flat(0x3); /* data, writable, accessed */
	s->tr = (struct guest_segment){.attributes = 0xb | SEG_ATTR_P, .limit = 0x67};
}
