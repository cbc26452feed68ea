/* SPDX-License-Identifier: MIT */
/*
 * bench: what does the hypervisor cost its guest?
 *
 * On the emulators one tick of the TSC is one instruction (QEMU under -icount),
 * so the ticks around an operation, less those of reading the TSC twice, are
 * the instructions of the guest, of the exit and of the hypervisor together:
 *	# bench name=NAME value=MEDIAN min=N max=N runs=N
 *
 *	hypercall_empty	xen_version, which does nothing, by the hypercall page
 *	cpuid		one CPUID
 *	(trips.c)	events and timers, there and back
 *	populate	the first write to an untouched page, zeroing included
 *	zero_break	the first write to a page of which only zeroes were read
 *	cow_break	a write to a merged page, the copy included
 *	balloon_out	512 single pages in one call, a page; balloon_in likewise
 *	extent_out	four extents of 2 MiB in one call, a page; extent_in likewise
 *	scrub		zeroing one page, which is in balloon_out and extent_in
 *
 * With `settle` it prints "# bench ready" when its equal pages are written, and
 * sleeps until hypercall 50's event (a new memory target): whoever measures
 * lets the scanner merge them meanwhile. Without, it waits wait= ms (2000).
 *
 * With `sets` it measures nothing itself: it fills memory for the scanner (sets.h). With
 * `echo` it answers the events of the domain peer=ID, which has peer=ITS ID.
 *
 * Options: settle  wait=MS  sets  pages=N  echo  peer=ID
 */
#include "guests/bench/samples.h"
#include "guests/bench/sets.h"
#include "guests/bench/trips.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/cpu.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define RUNS         SAMPLES
#define BALLOON_RUNS 8u
#define EXTENTS      4u
#define EXTENT_ORDER 9u
#define EXTENT_PAGES (1u << EXTENT_ORDER)

static uint8_t *merged;

static void measure_hypercall(void)
{
	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t t = rdtsc();

		hypercall_version(XENVER_version, 0);
		sample_take(i, rdtsc() - t);
	}
	sample_report("hypercall_empty", RUNS, 1);
}

static void measure_cpuid(void)
{
	uint32_t r[4];

	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t t = rdtsc();

		cpuid(1, 0, r);
		sample_take(i, rdtsc() - t);
	}
	sample_report("cpuid", RUNS, 1);
}

/* One write into each of RUNS pages. Each must have been a memory exit, or the figure
 * is of something else. */
static void measure_writes(const char *name, uint8_t *pages)
{
	uint64_t before = control_exits().memory_exits, faults;

	for (unsigned i = 0; i < RUNS; i++) {
		volatile uint64_t *word = (uint64_t *)(pages + i * PAGE_SIZE + 64);
		uint64_t t = rdtsc();

		*word = 1;
		sample_take(i, rdtsc() - t);
	}
	faults = control_exits().memory_exits - before;
	if (!tap_ok(faults >= RUNS - RUNS / 16, "%s: %lu of %u writes faulted", name, faults, RUNS))
		return;
	sample_report(name, RUNS, 1);
}

static void measure_zero_break(void)
{
	uint8_t *pages = memory_take(RUNS);
	uint64_t sum = 0;

	for (unsigned i = 0; i < RUNS; i++)
		sum += *(volatile uint64_t *)(pages + i * PAGE_SIZE);
	tap_is((long)sum, 0, "untouched pages read as zero");
	measure_writes("zero_break", pages);
}

static void measure_balloon(void)
{
	uint64_t in[BALLOON_RUNS];
	uint8_t *area = memory_take(BALLOON_BATCH);
	uint64_t gfns[BALLOON_BATCH];
	long done = 0;

	for (unsigned i = 0; i < BALLOON_BATCH; i++)
		gfns[i] = (uint64_t)area / PAGE_SIZE + i;
	for (unsigned r = 0; r < BALLOON_RUNS; r++) {
		uint64_t t;

		for (unsigned i = 0; i < BALLOON_BATCH; i++)
			pattern_fill(area + i * PAGE_SIZE, r * BALLOON_BATCH + i + 1);
		t = rdtsc();
		done += balloon_out(gfns, BALLOON_BATCH, 0);
		sample_take(r, rdtsc() - t);
		t = rdtsc();
		done += balloon_in(gfns, BALLOON_BATCH, 0);
		in[r] = rdtsc() - t;
	}
	tap_is(done, 2 * BALLOON_RUNS * BALLOON_BATCH, "every page went out and came in");
	sample_report("balloon_out", BALLOON_RUNS, BALLOON_BATCH);
	for (unsigned r = 0; r < BALLOON_RUNS; r++)
		sample_take(r, in[r]);
	sample_report("balloon_in", BALLOON_RUNS, BALLOON_BATCH);
}

/* What zeroing one page costs, in the way in which the hypervisor does it. */
static void measure_scrub(void)
{
	uint8_t *page = memory_take(1);

	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t *at = (uint64_t *)page, n = PAGE_SIZE / 8, t = rdtsc();

		__asm__ volatile("rep stosq" : "+D"(at), "+c"(n) : "a"(0) : "memory");
		sample_take(i, rdtsc() - t);
	}
	sample_report("scrub", RUNS, 1);
}

/* Extents of 2 MiB, all in one call, a page. The first time they come back large. */
static void measure_extents(void)
{
	uint64_t in[BALLOON_RUNS];
	uint8_t *area = memory_take_aligned(EXTENTS * EXTENT_PAGES, EXTENT_PAGES * PAGE_SIZE);
	uint64_t gfns[EXTENTS];
	long done = 0;

	for (unsigned i = 0; i < EXTENTS; i++)
		gfns[i] = (uint64_t)area / PAGE_SIZE + i * EXTENT_PAGES;
	balloon_out(gfns, EXTENTS, EXTENT_ORDER);
	balloon_in(gfns, EXTENTS, EXTENT_ORDER);
	for (unsigned r = 0; r < BALLOON_RUNS; r++) {
		uint64_t t;

		for (unsigned i = 0; i < EXTENTS * EXTENT_PAGES; i++)
			*(volatile uint64_t *)(area + i * PAGE_SIZE) = i + 1;
		t = rdtsc();
		done += balloon_out(gfns, EXTENTS, EXTENT_ORDER);
		sample_take(r, rdtsc() - t);
		t = rdtsc();
		done += balloon_in(gfns, EXTENTS, EXTENT_ORDER);
		in[r] = rdtsc() - t;
	}
	tap_is(done, 2 * BALLOON_RUNS * EXTENTS, "every extent went out and came in");
	sample_report("extent_out", BALLOON_RUNS, EXTENTS * EXTENT_PAGES);
	for (unsigned r = 0; r < BALLOON_RUNS; r++)
		sample_take(r, in[r]);
	sample_report("extent_in", BALLOON_RUNS, EXTENTS * EXTENT_PAGES);
}

/* One more than measured: the last reference to a merged frame is taken over, not copied. */
static void prepare_merged(void)
{
	merged = memory_take(RUNS + 1);
	for (unsigned i = 0; i <= RUNS; i++)
		pattern_fill(merged + i * PAGE_SIZE, 0xbe7c);
}

static void await_merging(void)
{
	struct quire_control first, now;

	if (!option_flag("settle")) {
		clock_sleep_ms(option_u64("wait", 2000));
		return;
	}
	control_get(&first);
	control_wait(0); /* binds */
	tap_diag("bench ready");
	do
		control_wait(0);
	while (control_get(&now) && now.target_pages == first.target_pages);
}

void guest_main(void)
{
	clock_init();
	if (option_flag("sets")) {
		sets_run();
		return;
	}
	if (option_flag("echo")) {
		trips_echo((unsigned)option_u64("peer", 0));
		return;
	}
	prepare_merged();
	sample_init();
	measure_hypercall();
	measure_cpuid();
	trips_run((unsigned)option_u64("peer", 0));
	measure_writes("populate", memory_take(RUNS));
	measure_zero_break();
	await_merging();
	measure_writes("cow_break", merged);
	measure_balloon();
	measure_scrub();
	measure_extents();
}
