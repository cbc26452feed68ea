/* SPDX-License-Identifier: MIT */
/*
 * What a copy-on-write break costs the host, without the exit: mm_fault for a write to a shared
 * page, source and new frame out of the caches, beside a copy of a cold page by `rep movsb`.
 *
 *	bench-breaks [MIB]		MIB of memory for each of two guests
 *
 * Two guests of the same contents are merged. The first writes to all its pages, in random order:
 * each is a break with a copy. Then the second does: now each is the last reference, and is
 * taken over. Breaks and plain copies are timed in turn, a chunk of each; told are medians
 * of the chunks, and the median of what a break costs beyond 1.15 copies.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/vmx/vmx.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/world.h"
#include "tests/bench/writer.h"

#define CHUNK 512u

static struct space guest[2];
static uint64_t pages;
static uint32_t *order_of; /* the pages, shuffled */

static void shuffle(uint32_t *a, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		a[i] = (uint32_t)i;
	for (uint64_t i = n - 1; i > 0; i--) {
		uint64_t j = measure_mix(i) % (i + 1);
		uint32_t t = a[i];

		a[i] = a[j];
		a[j] = t;
	}
}

static void fill(unsigned g)
{
	struct space_config c = {
	    .domid = (domid_t)(g + 1), .share_group = 1, .memory_pages = pages, .max_pages = pages};
	uint64_t page[PAGE_SIZE / 8];

	if (space_create(&guest[g], &c) != MM_OK)
		exit(1);
	for (uint64_t p = 0; p < pages; p++) {
		for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
			page[i] = measure_mix(p * 512 + i);
		writer_put(&guest[g], GFN(p), 0, page, PAGE_SIZE);
	}
}

/* Write faults for CHUNK pages of a guest; ns each. */
static double time_faults(unsigned g, const uint32_t *gfns)
{
	uint64_t begin = measure_cpu_ns();

	for (unsigned i = 0; i < CHUNK; i++)
		if (mm_fault(&guest[g], GFN(gfns[i]), FAULT_WRITE) != VERDICT_RESUME)
			exit(1);
	return (double)(measure_cpu_ns() - begin) / CHUNK;
}

static double time_copies(uint8_t *memory, const uint32_t *from, const uint32_t *to)
{
	uint64_t begin = measure_cpu_ns();

	for (unsigned i = 0; i < CHUNK; i++) {
		const void *src = memory + (uint64_t)from[i] * PAGE_SIZE;
		void *dst = memory + (pages + to[i]) * PAGE_SIZE;
		uint64_t n = PAGE_SIZE;

		__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
	return (double)(measure_cpu_ns() - begin) / CHUNK;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *name, double *v, uint64_t n)
{
	qsort(v, n, sizeof(*v), compare);
	emit(name, v[n / 2]);
}

static void measure(uint8_t *memory)
{
	uint64_t chunks = pages / CHUNK;
	double *breaks = malloc(chunks * sizeof(double)), *copies = malloc(chunks * sizeof(double)),
	       *over = malloc(chunks * sizeof(double)), *taken = malloc(chunks * sizeof(double));

	for (uint64_t c = 0; c < chunks; c++) {
		uint64_t other = (c + chunks / 2) % chunks;

		breaks[c] = time_faults(0, order_of + c * CHUNK);
		copies[c] = time_copies(memory, order_of + c * CHUNK, order_of + other * CHUNK);
		over[c] = breaks[c] - 1.15 * copies[c];
	}
	for (uint64_t c = 0; c < chunks; c++)
		taken[c] = time_faults(1, order_of + c * CHUNK);
	tell("break", breaks, chunks);
	tell("cold_copy", copies, chunks);
	tell("break_over_copy", over, chunks);
	tell("take_over", taken, chunks);
	emit_count("breaks", guest[0].stats.breaks);
	emit_count("take_overs", guest[1].stats.take_overs);
}

int main(int argc, char **argv)
{
	uint8_t *memory;

	pages = (argc > 1 ? strtoull(argv[1], NULL, 0) : 256) * 256 / CHUNK * CHUNK;
	if (!pages) {
		fputs("usage: bench-breaks [MIB]\n", stderr);
		return 1;
	}
	world_start(
	    &(struct world_config){.frames = align_up(2 * pages + pages / 128 + 4096, LARGE_PAGES),
	                           .format = &ept_format});
	fill(0);
	fill(1);
	scan_settle();
	if (mm_stats().pages_saved != pages) {
		fputs("not all pages were merged\n", stderr);
		return 1;
	}
	order_of = malloc(pages * sizeof(*order_of));
	shuffle(order_of, pages);
	memory = world_map(2 * pages * PAGE_SIZE, false);
	world_chill();
	measure(memory);
	return mm_audit().failures != 0;
}
