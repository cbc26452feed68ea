/* SPDX-License-Identifier: MIT */
/* Guest kernels: ELF images with a PVH entry (32 or 64 bits, x86). Pure. */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include "mm/leaf/types.h"

#define ELF_MAX_SEGMENTS 32u

struct elf_segment {
	uint64_t offset, file_bytes; /* in the image */
	uint64_t gpa, memory_bytes;  /* where it goes; the rest is zeroes */
};

/* What is to be loaded: checked, nothing left to go wrong but the writing. */
struct elf_plan {
	uint32_t entry; /* guest-physical, of the 32-bit PVH entry */
	unsigned nr_segments;
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	uint64_t first, end; /* all segments lie in [first, end) */
};

/*
 * Check the image against guest RAM [0, ram_bytes) and fill the plan. NULL, or
 * a sentence that says what is wrong; the image is named by the caller.
 */
const char *elf_plan(const void *image, uint64_t bytes, uint64_t ram_bytes, struct elf_plan *plan);

#endif
