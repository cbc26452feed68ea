/* SPDX-License-Identifier: MIT */
/*
 * The world around mm/ when it is measured: its frames in an arena, nothing injected,
 * nothing checked that the hypervisor does not check. The page-sized operations
 * are the hypervisor's own (kernel/mm_page.c).
 */
#ifndef TESTS_BENCH_WORLD_H
#define TESTS_BENCH_WORLD_H

#include "mm/core.h"

struct world_config {
	uint64_t frames; /* of the machine */
	const struct pte_format *format;
	bool large_mapping; /* 2 MiB pages of the host behind the arena, not 4 KiB */
	/*
	 * Simulated memory: of the frames below `aliased` (data, no tables) only
	 * `backing` pages (a power of two) exist, each under many numbers. 0: all exist.
	 */
	uint64_t aliased, backing;
};

void world_start(const struct world_config *c);
void world_stop(void);

/* Before world_start: other keys and coins than usual. */
void world_seed(uint64_t seed);

/* What env_cycles tells; NULL: the time-stamp counter. */
extern uint64_t (*world_clock)(void);

/* Bytes that mm/ keeps for all frames: records and index buckets. */
uint64_t world_metadata_bytes(void);

/* Read more than the caches hold, so that what comes next is cold. */
void world_chill(void);

/* Memory behind the arena is 4 KiB or 2 MiB pages, touched. For other cold memory too. */
void *world_map(uint64_t bytes, bool large_mapping);

#endif
