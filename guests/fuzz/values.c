/* SPDX-License-Identifier: MIT */
/*
 * Hostile values. Numbers near every boundary; addresses of what is not there, may not be
 * written, ends within a structure, or is itself a table of the walk; guest frames of all
 * kinds.
 *
 *	args	two pages a vCPU, alone in 64 KiB: a pointer to them whose lower half is bent
 *		still points to nothing of ours
 *	arena	RAM that may be given back, be pinned, or lie under pages of the hypervisor: only
 *		the hypervisor goes there, through addresses that we give it
 *	Both are at the end of memory: a list without end meets it soon.
 *	window	8 pages at 512 GiB whose tables are pages of ours: bent while they are walked
 */
#include "guests/fuzz/fuzz.h"

#define P  UINT64_C(1)
#define W  UINT64_C(2)
#define U  UINT64_C(4)
#define PS UINT64_C(0x80)
#define NX (UINT64_C(1) << 63)

#define WINDOW       UINT64_C(0x8000000000) /* entry 1 of the PML4 */
#define WINDOW_PAGES 8u
#define END_OF_MAP   UINT64_C(0xffffffff)
#define ARGS_ALONE   0x10000u

extern uint64_t page_pml4[512];
extern char _end[];

struct fuzzer fuzzers[VCPUS];

static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
static uint8_t *arena;

/* Where the structure of each vCPU's call lies just now, and its size. */
static struct {
	uint8_t *volatile at;
	volatile size_t bytes;
} target[VCPUS];

bool chance(struct fuzzer *f, unsigned one_in)
{
	return random_below(&f->rng, one_in) == 0;
}

uint64_t below(struct fuzzer *f, uint64_t n)
{
	return random_below(&f->rng, n);
}

/* ---- the window ---- */

static void window_right(unsigned i)
{
	page_pml4[1] = (uint64_t)pdpt | P | W;
	pdpt[0] = (uint64_t)pd | P | W;
	pd[0] = (uint64_t)pt | P | W;
	pt[i] = ((uint64_t)arena + i * PAGE_SIZE) | P | W;
}

static uint64_t window_lie(struct fuzzer *f, unsigned i)
{
	const uint64_t page = (uint64_t)arena + i * PAGE_SIZE;

	switch (below(f, 10)) {
	case 0:
		return 0;
	case 1:
		return page | P; /* read-only */
	case 2:
		return page | P | W | U | NX;
	case 3:
		return page | P | W | UINT64_C(1) << 51;
	case 4:
		return (UINT64_C(1) << 38) | P | W; /* beyond all memory */
	case 5:
		return UINT64_C(0x000ffffffffff000) | P | W;
	case 6:
		return (uint64_t)(chance(f, 2) ? pt : pd) | P | W; /* a table is its own page */
	case 7:
		return page | PS | P | W;
	case 8:
		return odd_gfn(f) << 12 | P | W;
	default:
		return random_next(&f->rng);
	}
}

static void window_bend(struct fuzzer *f)
{
	unsigned i = (unsigned)below(f, WINDOW_PAGES);
	uint64_t lie = window_lie(f, i);

	switch (below(f, 16)) {
	case 0:
		pd[0] = lie;
		break;
	case 1:
		pdpt[0] = lie;
		break;
	case 2:
		page_pml4[1] = lie;
		break;
	default:
		pt[i] = lie;
		return;
	}
	for (unsigned n = 0; n < 200; n++)
		cpu_relax();
	window_right(i);
}

/* ---- values ---- */

uint64_t arena_gfn(struct fuzzer *f)
{
	return (uint64_t)arena / PAGE_SIZE + below(f, ARENA_PAGES);
}

/* A number that some call may take for a guest frame must not be one that we live in. */
static uint64_t not_our_own(uint64_t n)
{
	uint64_t first = 0x200, end = (uint64_t)_end / PAGE_SIZE;

	return n >= first && n < end && !fuzz_lethal ? n | UINT64_C(1) << 33 : n;
}

uint64_t odd_gfn(struct fuzzer *f)
{
	switch (below(f, 8)) {
	case 0:
		return memory_top() / PAGE_SIZE + below(f, 64); /* the first that are not there */
	case 1:
		return 0xfe000 + below(f, 64); /* a hole below 4 GiB */
	case 2:
		return not_our_own((UINT64_C(1) << below(f, 63)) - chance(f, 2));
	case 3:
		return UINT64_C(0x100000) - below(f, 2); /* at 4 GiB */
	case 4:
		return fuzz_lethal ? below(f, 0x100000) : UINT64_MAX - below(f, 3);
	default:
		return arena_gfn(f);
	}
}

uint64_t odd_number(struct fuzzer *f)
{
	switch (below(f, 10)) {
	case 0:
	case 1:
		return below(f, 32);
	case 2:
		return below(f, 256);
	case 3:
		return UINT64_MAX - below(f, 32);
	case 4:
		return UINT32_MAX - below(f, 3);
	case 5: /* a power of two, and its neighbours */
		return not_our_own((UINT64_C(1) << below(f, 64)) + below(f, 3) - 1);
	case 6:
		return odd_gfn(f);
	case 7:
		return odd_pointer(f);
	case 8:
		return UINT64_C(0x7ff0) + below(f, 32); /* DOMID_SELF and what is beside it */
	default:
		return not_our_own(random_next(&f->rng));
	}
}

uint64_t odd_pointer(struct fuzzer *f)
{
	const uint64_t page = below(f, WINDOW_PAGES) * PAGE_SIZE;

	switch (below(f, 16)) {
	case 0:
		return 0x7000000000 + below(f, PAGE_SIZE); /* not mapped */
	case 1:
		return UINT64_C(1) << 63 | below(f, PAGE_SIZE); /* not canonical */
	case 2:
		return (chance(f, 2) ? UINT64_C(0xffff800000000000)
		                     : UINT64_C(0xffffffff80000000)) +
		       below(f, 1u << 20);
	case 3:
		return UINT64_MAX - below(f, 16);
	case 4:
		return END_OF_MAP - below(f, 16);
	case 5:
		return memory_top() - below(f, 32); /* ends where memory ends */
	case 6:
		return (uint64_t)(chance(f, 2) ? pt : chance(f, 2) ? pd : pdpt) + below(f, 64) * 8;
	case 7:
		return UINT64_C(0xfee00000) + below(f, PAGE_SIZE); /* the local APIC */
	case 8:
	case 9:
		return WINDOW + page + PAGE_SIZE - below(f, 64); /* into the next page */
	case 10:
	case 11:
		return WINDOW + page + below(f, PAGE_SIZE);
	case 12:
	case 13:
		return arena_gfn(f) * PAGE_SIZE + below(f, 512) * 8;
	default:
		return (uint64_t)f->args + below(f, ARG_PAGES * PAGE_SIZE - 512);
	}
}

uint64_t odd_count(struct fuzzer *f)
{
	return chance(f, 32) ? odd_number(f) : below(f, 40);
}

void bend(struct fuzzer *f, void *p, size_t bytes)
{
	static const uint8_t widths[] = {1, 2, 4, 4, 8, 8};
	size_t n = widths[below(f, sizeof(widths))];
	uint64_t value = odd_number(f);

	if (bytes < n)
		n = bytes;
	memcpy((uint8_t *)p + below(f, bytes / n) * n, &value, n);
}

void values_disturb(struct fuzzer *f)
{
	const unsigned other = 1 - f->id;
	uint8_t *at = target[other].at;
	size_t bytes = target[other].bytes;
	uint64_t was;

	if (!at || bytes < 8 || chance(f, 4)) {
		window_bend(f);
		return;
	}
	at += below(f, bytes / 8) * 8;
	memcpy(&was, at, 8);
	bend(f, at, 8);
	for (unsigned n = below(f, 64); n; n--)
		__asm__ volatile("nop");
	if (chance(f, 2))
		memcpy(at, &was, 8);
}

/* ---- calls ---- */

/* A place for a structure; mostly one that is good. */
static uint8_t *place(struct fuzzer *f, size_t bytes)
{
	uint64_t room = ARG_PAGES * PAGE_SIZE - bytes;

	if (chance(f, 4)) /* across the two pages */
		return f->args + PAGE_SIZE - below(f, bytes);
	return f->args + (below(f, room) & ~UINT64_C(7));
}

long fuzz_call(struct fuzzer *f, struct call c, void *structure, size_t bytes)
{
	uint8_t *at = place(f, bytes);
	long ret;

	memcpy(at, structure, bytes);
	if (chance(f, 3))
		bend(f, at, bytes);
	target[f->id].bytes = bytes;
	target[f->id].at = at;
	c.arg[c.at] = chance(f, 12) ? odd_pointer(f) : (uint64_t)at;
	/* Upper halves of registers are no business of a 32-bit caller. */
	ret = chance(f, 8) ? hypercall_narrow(c.nr | f->rng << 32, c.arg[0] | f->rng << 32,
	                                      c.arg[1] | f->rng << 32, c.arg[2] | f->rng << 32)
	                   : hypercall((unsigned)c.nr, c.arg[0], c.arg[1], c.arg[2], 0, 0);
	target[f->id].at = NULL;
	memcpy(structure, at, bytes);
	return ret;
}

void values_init(void)
{
	uint64_t want = ARENA_PAGES + (VCPUS + 1) * ARGS_ALONE / PAGE_SIZE;

	(void)memory_take(memory_free_pages() - want);
	for (unsigned i = 0; i < VCPUS; i++)
		fuzzers[i].args = memory_take_aligned(ARGS_ALONE / PAGE_SIZE, ARGS_ALONE);
	arena = memory_take(ARENA_PAGES);
	for (unsigned i = 0; i < WINDOW_PAGES; i++)
		window_right(i);
}
