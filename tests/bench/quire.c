/* SPDX-License-Identifier: MIT */
/*
 * Quire's side of the comparison with KSM: mm/ as the hypervisor has it, scanning the memory
 * of a set (tests/bench/sets.h), one space a guest, all in one share group.
 *
 *	fill	the guests write all their pages: t0
 *	t0	passes until what is saved is what can be saved; then compare all
 *	quiet	passes over memory in which nothing changes
 *	apply	the guests write what t1 has else: breaks
 *	t1	as t0
 *	touch	a fraction of all pages written before each pass
 *
 * Told is CPU time of this thread around the slices of the scan: harvest, splits, page
 * tables and frees are in it, as they are part of a slice. After each phase everything is
 * compared with the files, and audited. The exit status is 1 if anything was wrong.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "mm/merge.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/sets.h"
#include "tests/bench/world.h"
#include "tests/bench/writer.h"
#include "tests/host/oracle.h"

#define MAX_PASSES   8u
#define MAX_TOUCHES  64u
#define TOUCH_ROUNDS 3u
#define QUIET_PASSES 3u
#define SHARE_GROUP  1u
#define SPARE_FRAMES 1024u

static struct options {
	const struct pte_format *format;
	bool large_leaves, large_mapping;
	uint64_t slice;
	char *fractions;
} options = {.format = &ept_format, .slice = 512};

static struct set set;
static struct space spaces[SET_MAX_VMS];
static struct set_touch touched[MAX_TOUCHES];
static unsigned nr_touched;
static bool wrong;

/* ---- flushes of one batch of merges: the linker puts this in the place of merge_commit ---- */

uint64_t __real_merge_commit(void);
uint64_t __wrap_merge_commit(void);

static uint64_t max_flushes; /* of one space, in one batch */

uint64_t __wrap_merge_commit(void)
{
	uint64_t before[SET_MAX_VMS], merged;

	for (unsigned v = 0; v < set.vms; v++)
		before[v] = atomic_load_explicit(&spaces[v].generation, memory_order_relaxed);
	merged = __real_merge_commit();
	for (unsigned v = 0; v < set.vms; v++) {
		uint64_t now = atomic_load_explicit(&spaces[v].generation, memory_order_relaxed);

		max_flushes = max_u64(max_flushes, now - before[v]);
	}
	return merged;
}

/* ---- telling ---- */

static void tell(const char *phase, const char *what, uint64_t value)
{
	char name[80];

	snprintf(name, sizeof(name), "%s.%s", phase, what);
	emit_count(name, value);
}

static void complain(const char *phase, const char *what, uint64_t have, uint64_t want)
{
	fprintf(stderr, "# %s: %s: %llu, expected %llu\n", phase, what, (unsigned long long)have,
	        (unsigned long long)want);
	wrong = true;
}

/* ---- a pass ---- */

struct cost {
	uint64_t cpu_ns, flushes, scanned, fingerprinted, bytes_read, merges;
};

static struct cost cost_now(void)
{
	return (struct cost){
	    .cpu_ns = measure_cpu_ns(),
	    .flushes = counter_read(&mm.count.flushes),
	    .scanned = counter_read(&mm.count.pages_scanned),
	    .fingerprinted = counter_read(&mm.count.pages_fingerprinted),
	    .bytes_read = counter_read(&mm.count.bytes_read),
	    .merges = counter_read(&mm.count.merges),
	};
}

static struct cost pass(void)
{
	uint64_t seen = counter_read(&mm.count.full_scans);
	struct cost a, b;

	scan_settle_begin();
	a = cost_now();
	while (counter_read(&mm.count.full_scans) == seen)
		(void)!scan_settle_step(options.slice);
	b = cost_now();
	return (struct cost){
	    b.cpu_ns - a.cpu_ns,         b.flushes - a.flushes,
	    b.scanned - a.scanned,       b.fingerprinted - a.fingerprinted,
	    b.bytes_read - a.bytes_read, b.merges - a.merges,
	};
}

static void cost_add(struct cost *sum, struct cost c)
{
	sum->cpu_ns += c.cpu_ns;
	sum->flushes += c.flushes;
	sum->scanned += c.scanned;
	sum->fingerprinted += c.fingerprinted;
	sum->bytes_read += c.bytes_read;
	sum->merges += c.merges;
}

static void cost_tell(const char *phase, const struct cost *c)
{
	tell(phase, "cpu_ns", c->cpu_ns);
	tell(phase, "flushes", c->flushes);
	tell(phase, "looked_at", c->scanned);
	tell(phase, "fingerprinted", c->fingerprinted);
	tell(phase, "bytes_read", c->bytes_read);
	tell(phase, "merges", c->merges);
}

/* ---- checks, outside of all timing ---- */

static uint64_t check_contents(bool t1)
{
	uint64_t mismatches = 0, page = 0;

	for (unsigned v = 0; v < set.vms; v++) {
		const struct set_vm *vm = &set.vm[v];
		const uint8_t *image = t1 && vm->t1 ? vm->t1 : vm->t0;

		for (uint64_t p = 0; p < vm->pages; p++, page++) {
			struct p2m_view view = p2m_lookup(&spaces[v], GFN(p));

			mismatches += !mfn_valid(view.mfn) ||
			              !set_is(env_frame(view.mfn), image + p * PAGE_SIZE, page,
			                      touched, nr_touched);
		}
	}
	return mismatches;
}

static void check(const char *phase, bool t1, uint64_t savable)
{
	struct audit_report audit = mm_audit();
	uint64_t saved = mm_stats().pages_saved, mismatches = check_contents(t1);

	tell(phase, "saved", saved);
	tell(phase, "savable", savable);
	tell(phase, "mismatches", mismatches);
	tell(phase, "audit_failures", audit.failures);
	if (saved != savable)
		complain(phase, "pages saved", saved, savable);
	if (mismatches)
		complain(phase, "pages of another content", mismatches, 0);
	if (audit.failures)
		complain(phase, audit.first, audit.failures, 0);
	if (max_flushes > 2)
		complain(phase, "flushes of a space in one batch", max_flushes, 2);
}

/* ---- phases ---- */

/* A set that is smaller than the caches is only there to be checked. */
static void chill(void)
{
	if (set.pages >= 16384)
		world_chill();
}

static uint64_t frames_needed(void)
{
	uint64_t tables = 0;

	for (unsigned v = 0; v < set.vms; v++)
		tables += set.vm[v].pages / LARGE_PAGES + 32;
	return align_up(set.pages + tables + SPARE_FRAMES + set.vms * LARGE_PAGES, LARGE_PAGES);
}

static void make_space(unsigned v)
{
	struct space_config c = {
	    .domid = (domid_t)(v + 1),
	    .share_group = SHARE_GROUP,
	    .memory_pages = set.vm[v].pages,
	    .max_pages = set.vm[v].pages,
	};

	if (space_create(&spaces[v], &c) != MM_OK) {
		fputs("a space could not be made\n", stderr);
		exit(1);
	}
	for (uint64_t p = 0; options.large_leaves && p + LARGE_PAGES <= set.vm[v].pages;
	     p += LARGE_PAGES)
		if (mm_populate_large(&spaces[v], GFN(p)) != MM_OK)
			fputs("# no large frame\n", stderr);
}

static void fill(void)
{
	for (unsigned v = 0; v < set.vms; v++)
		make_space(v);
	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t p = 0; p < set.vm[v].pages; p++)
			writer_put(&spaces[v], GFN(p), 0, set.vm[v].t0 + p * PAGE_SIZE, PAGE_SIZE);
	tell("fill", "faults", writer_faults().n);
}

/*
 * Passes until everything that can be saved is; one that clears dirty bits and one that
 * reads at least, also where nothing can be saved.
 */
static void share_all(const char *phase, bool t1)
{
	uint64_t savable = set_savable(&set, t1);
	struct cost sum = {0};
	unsigned passes = 0;

	chill();
	do {
		struct cost c = pass();
		char name[32];

		snprintf(name, sizeof(name), "%s.pass%u", phase, ++passes);
		cost_tell(name, &c);
		cost_add(&sum, c);
	} while (passes < 2 || (mm_stats().pages_saved != savable && passes < MAX_PASSES));
	cost_tell(phase, &sum);
	tell(phase, "passes", passes);
	check(phase, t1, savable);
}

static void quiet(const char *phase)
{
	struct cost sum = {0};

	(void)pass(); /* what the last one left to be done */
	for (unsigned i = 0; i < QUIET_PASSES; i++) {
		chill();
		cost_add(&sum, pass());
	}
	tell(phase, "cpu_ns", sum.cpu_ns / QUIET_PASSES);
	tell(phase, "looked_at", sum.scanned / QUIET_PASSES);
	tell(phase, "bytes_read", sum.bytes_read);
	tell(phase, "flushes", sum.flushes);
}

static void apply(void)
{
	uint64_t begin;
	struct writer_faults faults;

	(void)writer_faults();
	chill();
	begin = measure_cpu_ns();
	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t i = 0; i < set.vm[v].nr_changed; i++) {
			uint64_t p = set.vm[v].changed[i];

			writer_put(&spaces[v], GFN(p), 0, set.vm[v].t1 + p * PAGE_SIZE, PAGE_SIZE);
		}
	faults = writer_faults();
	tell("apply", "cpu_ns", measure_cpu_ns() - begin);
	tell("apply", "pages", set.nr_changed);
	tell("apply", "faults", faults.n);
	tell("apply", "fault_ticks", faults.ticks);
}

static void touch_all(struct set_touch t)
{
	uint64_t page = 0;

	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t p = 0; p < set.vm[v].pages; p++, page++) {
			uint64_t value = set_touch_value(t.round, page);

			if (set_touches(t, page))
				writer_put(&spaces[v], GFN(p), set_touch_at(t.round, page), &value,
				           sizeof(value));
		}
}

/* A fraction of all pages is written before each of some passes; the last ones count. */
static void touch(double fraction)
{
	struct cost sum = {0};
	char name[32];

	for (unsigned r = 0; r < TOUCH_ROUNDS; r++) {
		struct set_touch t = {nr_touched, fraction, false};

		touched[nr_touched++] = t;
		touch_all(t);
		chill();
		if (r == 0)
			(void)pass();
		else
			cost_add(&sum, pass());
	}
	snprintf(name, sizeof(name), "touch.%g", fraction);
	tell(name, "cpu_ns", sum.cpu_ns / (TOUCH_ROUNDS - 1));
	tell(name, "looked_at", sum.scanned / (TOUCH_ROUNDS - 1));
	tell(name, "fingerprinted", sum.fingerprinted / (TOUCH_ROUNDS - 1));
}

static void touches(void)
{
	if (!options.fractions)
		return;
	for (char *f = strtok(options.fractions, ","); f; f = strtok(NULL, ","))
		if (nr_touched + TOUCH_ROUNDS <= MAX_TOUCHES)
			touch(atof(f));
	scan_settle();
	check("touch", set.has_t1, oracle_saved());
}

static void tick_rate(void)
{
	uint64_t begin = measure_wall_ns(), ticks = measure_tsc();

	while (measure_wall_ns() - begin < 20000000)
		;
	emit("tsc_per_ns", (double)(measure_tsc() - ticks) / (double)(measure_wall_ns() - begin));
}

/* ---- the program ---- */

static void usage(void)
{
	fputs("usage: bench-quire [--format ept|npt] [--large-leaves] [--large-mapping] [--slice "
	      "PAGES]\n"
	      "                   [--fractions F,F,...] T0[:T1] ...\n",
	      stderr);
	exit(1);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"format",        required_argument, NULL, 'f'},
            {"large-leaves",           no_argument, NULL, 'l'},
	    {"large-mapping",               no_argument, NULL, 'm'},
            {"slice",required_argument, NULL, 's'},
	    {"fractions",            required_argument, NULL, 't'},
            {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f')
			options.format = strcmp(optarg, "npt") ? &ept_format : &npt_format;
		else if (c == 'l')
			options.large_leaves = true;
		else if (c == 'm')
			options.large_mapping = true;
		else if (c == 's' && atoi(optarg) > 0)
			options.slice = (uint64_t)atoi(optarg);
		else if (c == 't')
			options.fractions = optarg;
		else
			usage();
	}
	if (optind == argc)
		usage();
	set_load(&set, argv + optind, (unsigned)(argc - optind));
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	world_start(&(struct world_config){.frames = frames_needed(),
	                                   .format = options.format,
	                                   .large_mapping = options.large_mapping});
	emit_count("pages", set.pages);
	emit_count("changed", set.nr_changed);
	fill();
	share_all("t0", false);
	quiet("quiet");
	if (set.has_t1) {
		apply();
		share_all("t1", true);
		quiet("quiet1");
	}
	touches();
	emit_count("max_flushes", max_flushes);
	emit("metadata_bytes_per_frame", (double)world_metadata_bytes() / (double)mm.nr_frames);
	tick_rate();
	world_stop();
	return wrong;
}
