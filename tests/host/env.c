/* SPDX-License-Identifier: MIT */
/* mm/env.h on Linux: see tests/host/env.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sanitizer/asan_interface.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "mm/fund.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/toy_format.h"

#define RECORDS_BLOCK LARGE_PAGES /* where one frame is RAM there are records for so many */

static uint8_t *arena;
static struct frame *frames;
static uint32_t *buckets;
static uint64_t nr_frames;
static __thread unsigned this_cpu;
static uint64_t alloc_count, alloc_fail_at, alloc_fail_until;
static _Atomic uint64_t kick_count, fence_word;
static __thread uint64_t random_state = 88172645463325252u; /* of this thread */
static __thread bool in_point;

void (*host_on_point)(enum env_point p);
void (*host_on_kick)(unsigned cpu) = guest_kicked;
jmp_buf host_panic_jump;
bool host_panic_expected;
uint64_t host_cycles;
char host_panic_text[256];

static uint64_t next_power_of_2(uint64_t n)
{
	uint64_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* The bytes and the records that arch/x86_64/frames.c would put no memory behind. */
static void make_hole(struct mm_range hole)
{
	uint64_t end = hole.first.n + hole.pages;
	uint64_t first = align_up(hole.first.n, RECORDS_BLOCK);

	end = align_down(end, RECORDS_BLOCK);
	ASAN_POISON_MEMORY_REGION(arena + hole.first.n * PAGE_SIZE, hole.pages * PAGE_SIZE);
	if (first < end)
		ASAN_POISON_MEMORY_REGION(&frames[first], (end - first) * sizeof(*frames));
}

void host_start(const struct host_config *c)
{
	uint64_t behind = c->hole.first.n + c->hole.pages;
	struct mm_range ram[] = {
	    {MFN(1),      c->frames - 1     },
	    {MFN(behind), c->frames - behind},
	};
	uint64_t nr_buckets = next_power_of_2(c->frames);
	struct mm_config config = {
	    .nr_frames = c->frames,
	    .free = ram,
	    .nr_free = c->hole.pages ? 2 : 1,
	    .nr_buckets = nr_buckets,
	    .format = c->format ? c->format : &toy_format,
	    .nr_cpus = c->cpus + 1,
	    .reserve_pages = c->reserve,
	};

	nr_frames = c->frames;
	arena = aligned_alloc(PAGE_SIZE, nr_frames * PAGE_SIZE);
	memset(arena, 0xa5, nr_frames * PAGE_SIZE); /* RAM is never zero by luck */
	frames = calloc(align_up(nr_frames, LARGE_PAGES), sizeof(*frames));
	buckets = calloc(nr_buckets, sizeof(*buckets));
	if (c->hole.pages) {
		ram[0].pages = c->hole.first.n - 1;
		make_hole(c->hole);
	}
	config.frames = frames;
	config.buckets = buckets;
	alloc_count = alloc_fail_at = alloc_fail_until = 0;
	host_on_point = NULL;
	host_on_kick = guest_kicked;
	this_cpu = c->cpus; /* the test itself: guests run on the others */
	guest_reset();
	mm_init(&config);
	if (c->log)
		mm_set_format(config.format, DIRTY_LOG);
}

void host_start_small(void)
{
	host_start(&(struct host_config){.frames = 4096, .cpus = 2});
}

void host_stop(void)
{
	if (arena) {
		ASAN_UNPOISON_MEMORY_REGION(arena, nr_frames * PAGE_SIZE);
		ASAN_UNPOISON_MEMORY_REGION(frames,
		                            align_up(nr_frames, LARGE_PAGES) * sizeof(*frames));
	}
	free(arena);
	free(frames);
	free(buckets);
	arena = NULL;
}

uint64_t host_free_frames(void)
{
	return fund_look().free;
}

void host_set_cpu(unsigned cpu)
{
	this_cpu = cpu;
}

void host_fail_alloc(uint64_t k)
{
	alloc_fail_at = k ? alloc_count + k : 0;
	alloc_fail_until = alloc_fail_at;
}

void host_fail_alloc_from(uint64_t k)
{
	host_fail_alloc(k);
	alloc_fail_until = UINT64_MAX;
}

uint64_t host_allocs(void)
{
	return alloc_count;
}

uint64_t host_kicks(void)
{
	return atomic_load(&kick_count);
}

void host_seed(uint64_t seed)
{
	random_state = seed * 2 + 1;
}

/* ---- mm/env.h ---- */

void *env_frame(mfn_t mfn)
{
	ASSERT(mfn.n < nr_frames);
	return arena + mfn.n * PAGE_SIZE;
}

void env_page_copy(void *dst, const void *src)
{
	memcpy(dst, src, PAGE_SIZE);
}

void env_page_zero(void *dst)
{
	memset(dst, 0, PAGE_SIZE);
}

bool env_page_equal(const void *a, const void *b)
{
	return memcmp(a, b, PAGE_SIZE) == 0;
}

void env_prefetch_page(const void *page)
{
	__builtin_prefetch(page);
}

unsigned env_cpu(void)
{
	return this_cpu;
}

void env_kick(unsigned cpu)
{
	atomic_fetch_add(&kick_count, 1);
	host_on_kick(cpu);
}

/*
 * ThreadSanitizer does not model fences. Two read-modify-writes of one word are
 * ordered, and the later one synchronizes with the earlier one: which is all
 * that mm/flush.c asks of its fences.
 */
void env_fence(void)
{
	atomic_fetch_add_explicit(&fence_word, 1, memory_order_seq_cst);
}

void env_relax(void)
{
	/* Not sched_yield(): kernel/sched.c has a function of that name, and it would be called. */
	syscall(SYS_sched_yield);
}

uint64_t env_cycles(void)
{
	return host_cycles;
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
	if (!host_on_point || in_point)
		return;
	in_point = true;
	host_on_point(p);
	in_point = false;
}

bool env_refuse_alloc(void)
{
	uint64_t n = __atomic_add_fetch(&alloc_count, 1, __ATOMIC_RELAXED);

	return alloc_fail_at && n >= alloc_fail_at && n <= alloc_fail_until;
}

void env_panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host_panic_text, sizeof(host_panic_text), fmt, ap);
	va_end(ap);
	if (host_panic_expected)
		longjmp(host_panic_jump, 1);
	fprintf(stderr, "# panic: %s\n", host_panic_text);
	abort();
}
