/* SPDX-License-Identifier: MIT */
/*
 * Everything that the memory core asks of the world around it. The hypervisor
 * answers in kernel/mm_env.c and arch/x86_64/; the native tests answer in
 * tests/host/env.c with arrays, a modelled TLB and injected faults.
 */
#ifndef MM_ENV_H
#define MM_ENV_H

#include "mm/leaf/assert.h"
#include "mm/leaf/types.h"

#define ENV_MAX_CPUS 64u

/* The contents of a machine frame, 4096 bytes; valid for every frame of RAM. */
void *env_frame(mfn_t mfn);

/* Page-sized operations; dst and src are page-aligned. */
void env_page_copy(void *dst, const void *src);
void env_page_zero(void *dst);
bool env_page_equal(const void *a, const void *b);

/* Ask the cache for the page that will be read next; a hint, may do nothing. */
void env_prefetch_page(const void *page);

/* The CPU that we run on, 0 .. ENV_MAX_CPUS - 1. Stable: nothing migrates. */
unsigned env_cpu(void);

/* Make that CPU leave guest mode soon. Does not wait. */
void env_kick(unsigned cpu);

/* A full fence between a store and a later load (flush protocol, mm/flush.c). */
void env_fence(void);

/* A pause in a spin loop. */
void env_relax(void);

/* A free-running cycle counter, for statistics only. */
uint64_t env_cycles(void);

/* Random bits that no guest can predict: keys, salts, the survivor of a merge. */
uint64_t env_random(void);

/* One line to the log, without the newline. */
void env_log(const char *fmt, ...) printf_like(1, 2);

/* Places between the steps of a protocol where a test strikes. */
enum env_point {
	POINT_MERGE_PROTECTED, /* leaves are read-only, TLBs not flushed yet */
	POINT_MERGE_FLUSHED,   /* flushed, not compared yet */
	POINT_MERGE_COMPARED,  /* compared equal, not switched yet */
	POINT_MERGE_SWITCHED,  /* leaf points at the survivor, not flushed yet */
	POINT_BREAK_COPIED,    /* new frame filled, leaf not switched yet */
	POINT_BREAK_SWITCHED,  /* leaf switched, not flushed yet */
	POINT_SCAN_READ,       /* fingerprint taken, not yet in the index */
	POINT_ALLOC,           /* an allocation is about to be tried */
	POINT_LARGE_PROTECTED, /* 512 leaves are read-only, TLBs not flushed yet */
	POINT_LARGE_COPIED,    /* the large frame is filled, not mapped yet */
	POINT_LARGE_SWITCHED,  /* the large leaf is there, read-only; not flushed yet */
	POINT_WHOLE_PROTECTED, /* as POINT_MERGE_..., of 512 pages under large leaves at once */
	POINT_WHOLE_FLUSHED,
	POINT_WHOLE_COMPARED,
	POINT_WHOLE_SWITCHED,
	POINT_COMPRESS_UNMAPPED, /* pages are out of the tables, TLBs not flushed yet */
	POINT_COMPRESS_PACKED,   /* flushed and packed, no frame given up yet */
	POINT_COUNT
};

/* Called at each point. Does nothing in the hypervisor. */
void env_point(enum env_point p);

/* True if this allocation must fail (fault injection); false in a quiet world. */
bool env_refuse_alloc(void);

#endif
