/* SPDX-License-Identifier: MIT */
/* Fills a new domain's memory: its PVH kernel, its ramdisk, its start info. CPU 0. */
#ifndef KERNEL_LOADER_H
#define KERNEL_LOADER_H

#include "arch/x86_64/guest/pvh.h"
#include "kernel/domain.h"
#include "kernel/elf.h"

/* What is to be copied: the segments of the kernel, then the ramdisk. */
struct loader_piece {
	const uint8_t *from;
	uint64_t gpa, bytes;
};

struct loader {
	struct loader_piece pieces[ELF_MAX_SEGMENTS + 1];
	unsigned nr_pieces, next; /* pieces[next] is under way */
	uint64_t at;              /* and so many bytes of it are there */
	struct pvh_layout layout;
	uint32_t entry;
};

/*
 * Check the image and find a place for all of it; nothing is written yet. Both files stay where
 * they are until the end. NULL, or a sentence, which is in why.
 */
const char *loader_begin(struct loader *l, const struct domain *d, char *why, size_t why_bytes);

/* Copy up to so many pages. MM_MORE: there are more; MM_OK: all are there; MM_NOMEM: it may go on later. */
enum mm_status loader_step(struct loader *l, struct domain *d, uint64_t pages) must_check;

/* The start info, and vCPU 0's first state: the last. NULL, or a sentence, which is in why. */
const char *loader_end(struct loader *l, struct domain *d, char *why, size_t why_bytes);

#endif
