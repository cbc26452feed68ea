/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own address space:
 *
 *	ffff800000000000  direct map of RAM, never executable
 *	ffffa00000000000  frame table, backed only where there is RAM
 *	ffffa01000000000  index buckets
 *	ffffb00000000000  device registers and firmware tables, mapped on request
 *	ffffc00000000000  stacks, an unmapped guard page under each
 *	ffffffff80000000  the image, + its physical address
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

#define DIRECT_MAP_BASE UINT64_C(0xffff800000000000)
#define FRAMES_BASE     UINT64_C(0xffffa00000000000)
#define BUCKETS_BASE    UINT64_C(0xffffa01000000000)
#define MMIO_BASE       UINT64_C(0xffffb00000000000)
#define STACKS_BASE     UINT64_C(0xffffc00000000000)
#define IMAGE_BASE      UINT64_C(0xffffffff80000000)

#define MAP_WRITE BIT(0)
#define MAP_EXEC  BIT(1)
#define MAP_UC    BIT(2) /* uncached: device registers */
#define MAP_WC    BIT(3) /* write-combining: frame buffers */

/* Defined by linker.ld. */
extern char image_start[], image_end[], text_start[], text_end[], rodata_start[], rodata_end[];
extern char data_start[], data_end[], symbols_start[], symbols_end[];

static inline void *phys_to_virt(uint64_t hpa)
{
	return (void *)(DIRECT_MAP_BASE + hpa);
}

/* Of an address in the direct map or in the image. */
static inline uint64_t virt_to_phys(const void *va)
{
	uint64_t a = (uint64_t)va;

	if (a >= IMAGE_BASE)
		return a - IMAGE_BASE;
	ASSERT(a >= DIRECT_MAP_BASE && a < FRAMES_BASE);
	return a - DIRECT_MAP_BASE;
}

/* The root of the hypervisor's tables, below 4 GiB. */
extern uint64_t paging_root;

/* Build the final tables (direct map of the boot ranges, image W^X) and load them. */
void paging_init(void);
/* CR0, CR4, EFER and PAT of this CPU as all CPUs have them. */
void paging_cpu_init(void);

/* Map [va, va + bytes) to [hpa, ...); all page-aligned; nothing there yet. */
void paging_map(uint64_t va, uint64_t hpa, uint64_t bytes, unsigned flags);
/* Back [va, va + bytes) with zeroed boot memory. False if there is no more. */
bool paging_back(uint64_t va, uint64_t bytes);
/* Remove what paging_map put there, and the identity map of the AP trampoline. */
void paging_unmap(uint64_t va, uint64_t bytes);
/* Whether the address is mapped; for backtraces. */
bool paging_mapped(uint64_t va);

/* Device registers or firmware tables at any physical address and length; NULL if out of range. */
void *mmio_map(uint64_t hpa, uint64_t bytes, unsigned flags);

#endif
