/* SPDX-License-Identifier: MIT */
/* mm/env.h for measurements: see world.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/world.h"

#define CHILL_BYTES (UINT64_C(128) << 20)

static uint8_t *arena;
static uint64_t arena_bytes, aliased, backing_mask;
static struct frame *frames;
static uint32_t *buckets;
static uint64_t frames_bytes, buckets_bytes;
static uint64_t random_state = 88172645463325252u;
uint64_t (*world_clock)(void);
static uint8_t *chill;
static volatile uint64_t sink;

/* The stack protector of the hypervisor keeps its canary here (-mstack-protector-guard=global). */
uintptr_t __stack_chk_guard = 0x5bd1e995a5a5a500u;

void *world_map(uint64_t bytes, bool large_mapping)
{
	uint64_t align = UINT64_C(2) << 20;
	uint8_t *p = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	p += -(uintptr_t)p & (align - 1);
	if (madvise(p, bytes, large_mapping ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		perror("madvise");
	memset(p, 0xa5, bytes); /* touched now; and RAM is never zero by luck */
	return p;
}

static void world_unmap(void *p, uint64_t bytes)
{
	if (p)
		munmap(p, bytes);
}

/* As arch/x86_64/frames.c: the largest power of two that is not above the frames. */
static uint64_t world_buckets(uint64_t nr)
{
	return UINT64_C(1) << (63 - __builtin_clzll(nr));
}

void world_start(const struct world_config *c)
{
	/* Whole 2 MiB: then the buddy allocator begins with the highest frames, not aliased ones.
	 */
	struct mm_range ram = {MFN(LARGE_PAGES), c->frames - LARGE_PAGES};
	struct mm_config config = {
	    .nr_frames = c->frames,
	    .free = &ram,
	    .nr_free = 1,
	    .nr_buckets = world_buckets(c->frames),
	    .format = c->format,
	    .nr_cpus = 2,
	};

	aliased = c->aliased;
	backing_mask = c->backing - 1;
	arena_bytes = (c->aliased ? c->frames - c->aliased + c->backing : c->frames) * PAGE_SIZE;
	arena = world_map(arena_bytes, c->large_mapping);
	frames_bytes = align_up(c->frames, LARGE_PAGES) * sizeof(*frames);
	buckets_bytes = config.nr_buckets * sizeof(*buckets);
	/* As arch/x86_64/paging.c:paging_back backs them. */
	frames = world_map(frames_bytes, true);
	buckets = world_map(buckets_bytes, true);
	memset(frames, 0, frames_bytes);
	memset(buckets, 0, buckets_bytes);
	config.frames = frames;
	config.buckets = buckets;
	mm_init(&config);
}

void world_stop(void)
{
	world_unmap(arena, arena_bytes);
	world_unmap(frames, frames_bytes);
	world_unmap(buckets, buckets_bytes);
	arena = NULL;
	frames = NULL;
	buckets = NULL;
}

void world_seed(uint64_t seed)
{
	random_state = (seed * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

uint64_t world_metadata_bytes(void)
{
	return mm.nr_frames * sizeof(*frames) + buckets_bytes;
}

void world_chill(void)
{
	uint64_t sum = 0;

	if (!chill)
		chill = world_map(CHILL_BYTES, false);
	for (uint64_t i = 0; i < CHILL_BYTES; i += 64)
		sum += chill[i];
	sink = sum;
}

/* ---- mm/env.h ---- */

void *env_frame(mfn_t mfn)
{
	uint64_t n = mfn.n;

	if (aliased)
		n = n < aliased ? n & backing_mask : n - aliased + backing_mask + 1;
	return arena + n * PAGE_SIZE;
}

unsigned env_cpu(void)
{
	return 0;
}

void env_kick(unsigned cpu)
{
	(void)cpu;
}

void env_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void env_relax(void)
{
}

uint64_t env_cycles(void)
{
	return world_clock ? world_clock() : measure_tsc();
}

uint64_t env_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

void env_log(const char *fmt, ...)
{
	(void)fmt;
}

void env_point(enum env_point p)
{
	(void)p;
}

bool env_refuse_alloc(void)
{
	return false;
}

void env_panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# panic: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}
