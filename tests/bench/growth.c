/* SPDX-License-Identifier: MIT */
/*
 * How the cost of a pass grows with memory, when guests write as much as before.
 *
 *	bench-growth GIB
 *
 * One guest for each GiB. The frame table, the index and all page tables are there in full, and
 * every page is populated, read and put into the index; but the contents of all guests'
 * data lie in the same 1 GiB of the host (world.h). Each guest is a share group of its own,
 * so that nobody notices. A write sets the flags as a CPU does, and leaves the content.
 *
 * Before each pass WRITES pages are written: "local", all within one window of 64 MiB, as programs
 * do; or "scattered", anywhere in all memory. A pass clears their dirty bits, and reads what was
 * written before the pass before. Told are means over some passes.
 */
#include <stdlib.h>

#include "arch/x86_64/vmx/vmx.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/world.h"
#include "tests/bench/writer.h"

#define GIB_PAGES    (UINT64_C(1) << 18)
#define MAX_GIB      64u
#define WINDOW_PAGES (UINT64_C(64) << 8)
#define WRITES       4096u
#define PASSES       36u /* the first three do not count: marks settle */
#define SETTLING     3u
#define SLICE        512u /* as the hypervisor's idle loop */

static struct space guest[MAX_GIB];
static uint64_t gib;

static void fill(struct space *s)
{
	for (uint64_t p = 0; p < GIB_PAGES; p++) {
		struct p2m_view view;
		uint64_t word;

		writer_put(s, GFN(p), 0, NULL, 0); /* it is zeroes now */
		view = p2m_lookup(s, GFN(p));
		/* Alike for all frames that share this place, and for no other. */
		word = (uint64_t)(uintptr_t)env_frame(view.mfn);
		writer_put(s, GFN(p), 8, &word, sizeof(word));
	}
}

static void write_some(bool scattered, uint64_t round)
{
	for (uint64_t i = 0; i < WRITES; i++) {
		uint64_t x = measure_mix(round << 32 | i);
		struct space *s = &guest[scattered ? (x >> 40) % gib : 0];

		writer_put(s, GFN(x % (scattered ? GIB_PAGES : WINDOW_PAGES)), 0, NULL, 0);
	}
}

static uint64_t pass(void)
{
	uint64_t seen = counter_read(&mm.count.full_scans), begin;

	scan_settle_begin();
	begin = measure_cpu_ns();
	while (counter_read(&mm.count.full_scans) == seen)
		(void)!scan_settle_step(SLICE);
	return measure_cpu_ns() - begin;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *name, bool scattered)
{
	uint64_t ns[PASSES - SETTLING], looked = 0, read = 0;
	char text[64];

	for (unsigned r = 0; r < PASSES; r++) {
		struct mm_stats a = mm_stats(), b;
		uint64_t cost;

		write_some(scattered, r + (scattered ? 100 : 0));
		world_chill();
		cost = pass();
		b = mm_stats();
		if (r < SETTLING)
			continue;
		ns[r - SETTLING] = cost;
		looked += b.pages_scanned - a.pages_scanned;
		read += b.pages_fingerprinted - a.pages_fingerprinted;
	}
	qsort(ns, PASSES - SETTLING, sizeof(ns[0]), by_size);
	snprintf(text, sizeof(text), "%s.cpu_ns", name);
	emit_count(text, ns[(PASSES - SETTLING) / 2]);
	snprintf(text, sizeof(text), "%s.looked_at", name);
	emit_count(text, looked / (PASSES - SETTLING));
	snprintf(text, sizeof(text), "%s.read", name);
	emit_count(text, read / (PASSES - SETTLING));
}

static void quiet(void)
{
	uint64_t ns;

	for (unsigned r = 0; r < SETTLING; r++)
		(void)pass();
	world_chill();
	ns = pass();
	emit_count("quiet.cpu_ns", ns);
}

int main(int argc, char **argv)
{
	uint64_t data, tables;

	gib = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	if (!gib || gib > MAX_GIB) {
		fprintf(stderr, "usage: bench-growth GIB (1 to %u)\n", MAX_GIB);
		return 1;
	}
	data = gib * GIB_PAGES;
	tables = align_up(data / 512 + gib * 64, 512) + 4096; /* and to spare */
	world_start(&(struct world_config){.frames = data + tables,
	                                   .format = &ept_format,
	                                   .aliased = data,
	                                   .backing = GIB_PAGES,
	                                   .large_mapping = true});
	for (uint64_t g = 0; g < gib; g++) {
		struct space_config c = {.domid = (domid_t)(g + 1),
		                         .share_group = (uint16_t)(g + 1),
		                         .memory_pages = GIB_PAGES,
		                         .max_pages = GIB_PAGES};

		if (space_create(&guest[g], &c) != MM_OK)
			return 1;
	}
	for (uint64_t g = 0; g < gib; g++)
		fill(&guest[g]);
	for (unsigned i = 0; i < 3; i++)
		(void)pass();
	quiet();
	measure("local", false);
	measure("scattered", true);
	emit_count("merges", mm_stats().merges);
	return mm_stats().merges != 0; /* two pages of a guest on one place: the set-up is wrong */
}
