/* SPDX-License-Identifier: MIT */
/* The memory core as a whole: start, machine frames, scanning, statistics, audit. */
#ifndef MM_MM_H
#define MM_MM_H

#include "mm/frame.h"
#include "mm/space.h"

struct mm_range {
	mfn_t first;
	uint64_t pages;
};

struct mm_config {
	/*
	 * The frame table: one zeroed record per machine frame, index = mfn. Only
	 * the parts that cover RAM need to be backed by memory, rounded out to
	 * whole 2 MiB, also behind the last frame (the buddy allocator and the merge of
	 * 2 MiB look that far).
	 */
	struct frame *frames;
	uint64_t nr_frames; /* highest frame of RAM + 1 */

	/* RAM that may be handed out. Frames of RAM outside of these are reserved. */
	const struct mm_range *free;
	unsigned nr_free;

	/* Hash buckets: a power of two, zeroed; about one a frame. */
	uint32_t *buckets;
	uint64_t nr_buckets;

	const struct pte_format *format; /* NULL until chosen; then mm_set_format */
	unsigned nr_cpus;
	uint64_t reserve_pages; /* frames kept for copy-on-write breaks */
};

/* Called once, on one CPU, before anything else of mm/ (again only by tests). */
void mm_init(const struct mm_config *c);

/* How the scanner learns what was written: mm/dirty.h. */
enum dirty_source { DIRTY_FLAGS, DIRTY_LOG, DIRTY_PROTECT, DIRTY_SOURCES };

/*
 * The page-table format, once it is known, and the dirty source: DIRTY_SOURCES if that
 * follows from the format. Before the first space_create.
 */
void mm_set_format(const struct pte_format *f, enum dirty_source source);

enum dirty_source mm_dirty_source(void);
enum dirty_source dirty_best(unsigned there);     /* of those whose BIT is set */
const char *dirty_name(enum dirty_source source); /* as on the command line */

/*
 * No guest may execute through a large leaf: where a CPU with the ITLB multihit
 * erratum could be stopped by it. A fetch splits the leaf. Before the first space.
 */
void mm_set_large_nx(bool on);

/* ---- scanning ---- */

/*
 * Do one slice of the scan: at most `pages` pages looked at; a page that is read counts as
 * eight, a quiet region passed over as a whole as one. Returns how many it came to; 0 if there is
 * nothing to do now. Any CPU may call; one at a time works, the others get 0 at once.
 */
uint64_t scan_slice(uint64_t pages);

/* Look at everything until a whole pass finds nothing new; for tests and the monitor. */
void scan_settle(void);

/* ---- statistics; KSM's names where KSM has the thing ---- */

struct mm_stats {
	uint64_t frames_total, frames_free, frames_reserve, frames_table, frames_private;
	uint64_t frames_shared, frames_service, frames_constant;
	uint64_t frames_store;      /* of compressed pages */
	uint64_t frames_hypervisor; /* allocated for its own structures */
	uint64_t
	    frames_reserved;    /* never handed out: its image, the frame table, firmware, holes */
	uint64_t frames_debt;   /* of the free ones, spoken for by guarantees and turns */
	uint64_t frames_loans;  /* and kept for guests that give memory back (fund.h) */
	uint64_t reserve_level; /* how many frames_reserve should be */

	uint64_t pages_shared;   /* shared frames in use */
	uint64_t pages_sharing;  /* mappings saved: mappings of shared frames - shared frames */
	uint64_t pages_unshared; /* hints: private, fingerprinted, no match */
	uint64_t pages_volatile; /* private, written too recently to be fingerprinted */
	uint64_t pages_zero;     /* mappings of the zero frame by merging (all saved) */
	uint64_t pages_ones;
	uint64_t pages_untouched; /* never written: saves nothing in any figure */
	uint64_t pages_saved;     /* pages_sharing + pages_zero + pages_ones */

	/* monotonic */
	uint64_t full_scans, pages_scanned, pages_fingerprinted, pages_compared;
	uint64_t pages_passed; /* passed over: not looked at, as their region was quiet */
	uint64_t pages_logged; /* entries of modification logs */
	uint64_t bytes_read;
	uint64_t merges, merges_given_up, breaks, take_overs, flushes, hints_dropped;
	uint64_t waits;

	/* compression (mm/compress.c): pages now, their bytes in the store; then monotonic */
	uint64_t pages_compressed, pages_compressed_filled, compressed_bytes;
	uint64_t compressions, expansions, incompressible;
};

/* Takes the scan lock for a moment: it may wait for another CPU's slice to end. */
struct mm_stats mm_stats(void);

/* The split by walk: who shares with whom. Slow (walks every p2m); all CPUs must be stopped. */
struct share_split {
	uint64_t zero, ones; /* saved by constants */
	uint64_t self;       /* saved inside one guest */
	uint64_t inter;      /* saved between guests */
};
struct share_split share_split(void);

/* A domain's exact part of its shared frames, in 1/2^32 pages; all CPUs stopped. */
uint64_t share_part(struct space *s);

/*
 * What a domain has, in pages. memory = populated + untouched + compressed; populated = own
 * frames + mappings of shared and of constant frames. tables, service, hypervisor and store (where
 * the compressed pages lie) are frames beside them; the frames of all domains, shared, constant, free and reserved ones are the machine.
 */
struct mm_account {
	uint64_t memory, max, min;
	uint64_t populated, untouched, compressed, ballooned;
	uint64_t own;      /* private frames */
	uint64_t mappings; /* of shared frames; constants apart */
	uint64_t tables, service, hypervisor, store;
	uint64_t owed; /* of its min, what it does not hold now: free frames back it */
};
struct mm_account mm_account(struct space *s);

/* ---- audit ---- */

struct audit_report {
	uint64_t checks; /* single comparisons made */
	uint64_t failures;
	uint64_t saved;  /* pages, by the walk: invariant 10 */
	char first[160]; /* the first failure, as a sentence; "" if none */
};

/* Check the invariants of docs/invariants.md. No vCPU may run, no other CPU may be in mm/. */
struct audit_report mm_audit(void);

#endif
