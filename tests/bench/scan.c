/* SPDX-License-Identifier: MIT */
/*
 * What scanning costs, and how soon it shares, in counts: each run gives the same ones.
 *
 *	bench-scan OUTPUT.jsonl
 *
 * Two guests of 100 MiB with contents of their own, real EPT entries, the default policy, and a clock that
 * stands still, so that nothing rests: a pass is a pass. "Read" is a fingerprint; compares are told apart. Guests write as a CPU does
 * (writer.h), between two passes.
 *
 *	steady		every pass after that: a part of all pages was written since the last
 *	time		pages become equal to others at random moments; passes until they are shared
 *	instructions	of whole passes, and of merges, by single steps of a child process
 *	merge_zero	the same of pages of zeroes
 *	region		2 MiB of both guests become equal and are shared as a whole; then one of them is written to
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/x86_64/vmx/vmx.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/world.h"
#include "tests/bench/writer.h"

#define GUESTS   2u
#define PAGES    (UINT64_C(100) << 8) /* of each guest: 50 regions */
#define ALL      (GUESTS * PAGES)
#define REGIONS  (ALL / LARGE_PAGES)
#define SETTLING 4u
#define PASSES   16u
#define TWINS    200u
#define STEPPED  32u  /* merges whose instructions are counted */
#define ZEROES   128u /* the same of pages of zeroes */
#define SLICE    512u /* as the hypervisor's idle loop */

static struct space guest[GUESTS];
static FILE *out;
static uint64_t random_state;

static void tell(const char *name, const char *unit, double value)
{
	fprintf(out,
	        "{\"schema\":1,\"bench\":\"scan\",\"name\":\"%s\",\"unit\":\"%s\",\"value\":%.6g,"
	        "\"dirty\":\"%s\",\"policy\":\"%s\"}\n",
	        name, unit, value, dirty_name(mm_dirty_source()), scan_policy_name());
	printf("%-40s %12.6g %s\n", name, value, unit);
	fflush(stdout);
}

static uint64_t any(uint64_t n)
{
	random_state++;
	return measure_mix(random_state) % n;
}

/* Page `page` of all gets a content that depends on its number and on `word` only. */
static void put(uint64_t page, uint64_t word)
{
	uint64_t words[2] = {word, ~word};

	writer_put(&guest[page / PAGES], GFN(page % PAGES), 0, words, sizeof(words));
}

/* The page holds nothing but zeroes. */
static void put_zero(uint64_t page)
{
	static const uint64_t words[2];

	writer_put(&guest[page / PAGES], GFN(page % PAGES), 0, words, sizeof(words));
}

static uint64_t still(void)
{
	return 0;
}

static void start(const struct pte_format *format, enum dirty_source source, bool large)
{
	random_state = 1;
	world_clock = still;
	world_start(&(struct world_config){.frames = ALL + ALL / 8 + 8192, .format = format});
	mm_set_format(format, source);
	for (unsigned g = 0; g < GUESTS; g++) {
		struct space_config c = {.domid = (domid_t)(g + 1),
		                         .share_group = 1,
		                         .memory_pages = PAGES,
		                         .max_pages = PAGES};

		memset(&guest[g], 0, sizeof(guest[g]));
		if (space_create(&guest[g], &c) != MM_OK)
			exit(1);
		for (uint64_t p = 0; large && p < PAGES; p += LARGE_PAGES)
			if (mm_populate_large(&guest[g], GFN(p)) != MM_OK)
				exit(1);
	}
	for (uint64_t p = 0; p < ALL; p++)
		put(p, BIT(40) | p);
}

static void finish(void)
{
	for (unsigned g = 0; g < GUESTS; g++)
		while (!space_destroy_step(&guest[g], 4096))
			;
	world_stop();
}

static void pass(void)
{
	uint64_t seen = counter_read(&mm.count.full_scans);

	while (counter_read(&mm.count.full_scans) == seen)
		scan_slice(SLICE);
}

/* ---- steady passes ---- */

enum where { NOWHERE, ANYWHERE, LOWER_HALVES, FEW_REGIONS, SAME_REGIONS };

/*
 * One page in a hundred: anywhere; in the lower half of each guest; in two regions of the hundred, others
 * each time; or in two regions, always the same.
 */
static void write_some(enum where where)
{
	static uint64_t first;
	uint64_t few = REGIONS / 50 * LARGE_PAGES;

	first = where == FEW_REGIONS ? (first + few) % ALL : 0;
	for (uint64_t i = 0; where != NOWHERE && i < ALL / 100; i++) {
		uint64_t p = any(ALL);

		if (where == LOWER_HALVES)
			p -= p % PAGES / (PAGES / 2) * (PAGES / 2);
		else if (where != ANYWHERE)
			p = first + any(few);
		put(p, any(UINT64_MAX));
	}
}

struct steady {
	double read, compared, looked, written;
};

static struct steady steady(enum where where)
{
	struct mm_stats a = {0}, b;

	for (unsigned i = 0; i < SETTLING + PASSES; i++) {
		if (i == SETTLING)
			a = mm_stats();
		write_some(where);
		pass();
	}
	b = mm_stats();
	return (struct steady){
	    .read = (double)(b.pages_fingerprinted - a.pages_fingerprinted) / PASSES,
	    .compared = (double)(b.pages_compared - a.pages_compared) / PASSES,
	    .looked = (double)(b.pages_scanned - a.pages_scanned) / PASSES,
	    .written = where == NOWHERE ? 0 : (double)ALL / 100,
	};
}

static void tell_steady(const char *what, enum where where)
{
	struct steady s = steady(where);
	char name[80];

	snprintf(name, sizeof(name), "steady_read_fraction_%s", what);
	tell(name, "of memory", s.read / (double)ALL);
	snprintf(name, sizeof(name), "steady_compared_pages_%s", what);
	tell(name, "pages", s.compared);
	snprintf(name, sizeof(name), "steady_looked_pages_%s", what);
	tell(name, "leaves", s.looked);
	if (s.written != 0) {
		snprintf(name, sizeof(name), "steady_amplification_%s", what);
		tell(name, "read/written", s.read / s.written);
	}
}

static void tell_quiet(const char *name)
{
	tell(name, "pages", steady(NOWHERE).read);
}

/* ---- the shape of the map ---- */

static uint64_t large_leaves_now(void)
{
	return space_stats(&guest[0]).large_leaves + space_stats(&guest[1]).large_leaves;
}

/* Passes until there are as many large leaves, while guests write there; 1000: never. */
static double passes_until(uint64_t leaves, enum where where)
{
	unsigned n = 0;

	for (; n < 1000 && large_leaves_now() != leaves; n++) {
		write_some(where);
		pass();
	}
	return n;
}

/* Scattered writes: large leaves are never quiet, so they are split, and all is read once. */
static void tell_split(void)
{
	uint64_t read = mm_stats().pages_fingerprinted;

	tell("large_scattered_split_after", "passes", passes_until(0, ANYWHERE));
	for (unsigned i = 0; i < SETTLING; i++) {
		write_some(ANYWHERE);
		pass();
	}
	tell("large_scattered_split_read", "of memory",
	     (double)(mm_stats().pages_fingerprinted - read) / (double)ALL);
}

/* And when the writes end they are whole again. */
static void tell_whole(void)
{
	uint64_t read = mm_stats().pages_fingerprinted, copies = 0;

	tell("large_whole_again_after", "passes", passes_until(REGIONS, NOWHERE));
	for (unsigned g = 0; g < GUESTS; g++)
		copies += space_stats(&guest[g]).coalesce_copies;
	tell("large_whole_again_copied", "regions", (double)copies);
	tell("large_whole_again_read", "pages", (double)(mm_stats().pages_fingerprinted - read));
}

/* ---- from equal to shared ---- */

/*
 * Between two passes some pages of both guests get equal contents, while other pages are written as
 * before. Told in intervals, each from the end of a pass to the end of the next: 1 would be the pass right
 * behind the write, which only clears the dirty bit.
 */
static int order_unsigned(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static void tell_time(const char *what)
{
	static unsigned when[TWINS];
	static uint64_t born[TWINS];
	unsigned made = 0, shared = 0, now = 0;
	char name[80];

	memset(when, 0, sizeof(when));
	for (now = 0; shared < TWINS && now < 4 * TWINS; now++) {
		write_some(LOWER_HALVES);
		/* Guest 1's page n becomes guest 0's page n, in the upper half, where nobody else
		 * writes. */
		for (unsigned k = 0; k < 4 && made < TWINS; k++, made++) {
			uint64_t p = PAGES / 2 + made;

			put(p, BIT(41) | made);
			put(PAGES + p, BIT(41) | made);
			born[made] = now;
		}
		pass();
		for (unsigned i = 0; i < made; i++) {
			if (when[i] || p2m_lookup(&guest[1], GFN(PAGES / 2 + i)).type != P2M_SHARED)
				continue;
			when[i] = (unsigned)(now - born[i]) + 1;
			shared++;
		}
	}
	for (unsigned i = 0; i < TWINS; i++)
		if (!when[i])
			when[i] = 1000; /* never */
	qsort(when, TWINS, sizeof(when[0]), order_unsigned);
	snprintf(name, sizeof(name), "equal_to_shared_median_%s", what);
	tell(name, "quiet intervals", when[TWINS / 2]);
	snprintf(name, sizeof(name), "equal_to_shared_p99_%s", what);
	tell(name, "quiet intervals", when[TWINS * 99 / 100]);
}

/* ---- instructions ---- */

/* Of f, by single steps of a child that is a copy of this world. */
static uint64_t count_steps(void (*f)(void))
{
	uint64_t steps = 0;
	int status;
	pid_t child = fork();

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		f();
		_exit(0);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL))
			break;
		steps++;
	}
	return steps;
}

static void nothing(void)
{
}

static void two_passes(void)
{
	pass();
	pass();
}

/* Of what is to be merged now, n pages freed; `besides`: what the passes cost without it. */
static void tell_merges(const char *name, unsigned n, uint64_t besides)
{
	uint64_t saved = mm_stats().pages_saved;

	tell(name, "instructions/page freed", (double)(count_steps(two_passes) - besides) / n);
	two_passes(); /* the same in this process, to see how many it was */
	if (mm_stats().pages_saved - saved != n) {
		fprintf(stderr, "bench-scan: %s: not all were merged\n", name);
		exit(1);
	}
}

static void tell_instructions(void)
{
	uint64_t none = count_steps(nothing), quiet;

	for (unsigned i = 0; i < SETTLING; i++)
		pass();
	quiet = count_steps(pass) - none;
	tell("steady_instructions_0pct", "instructions/page", (double)quiet / (double)ALL);
	for (uint64_t i = 0; i < STEPPED; i++) {
		put(i, BIT(42) | i);
		put(PAGES + i, BIT(42) | i);
	}
	tell_merges("merge_instructions", STEPPED, none + 2 * quiet);
	for (uint64_t i = 0; i < ZEROES; i++)
		put_zero(LARGE_PAGES + i);
	tell_merges("merge_zero_instructions", ZEROES, none + 2 * quiet);
}

/* ---- 2 MiB, shared as a whole ---- */

static void four_passes(void)
{
	for (unsigned i = 0; i < 4; i++)
		pass();
}

/* The second guest's first write to a page of the region; and to another one. */
static void first_write(void)
{
	if (mm_fault(&guest[1], GFN(5), FAULT_WRITE) != VERDICT_RESUME)
		exit(1);
}

static void next_write(void)
{
	if (mm_fault(&guest[1], GFN(6), FAULT_WRITE) != VERDICT_RESUME)
		exit(1);
}

static void region_must(bool holds)
{
	if (!holds) {
		fprintf(stderr, "bench-scan: a region of 2 MiB was not shared as a whole\n");
		exit(1);
	}
}

static void tell_region(void)
{
	uint64_t none = count_steps(nothing), quiet, leaves = large_leaves_now();
	struct mm_stats a, b;

	for (unsigned i = 0; i < SETTLING; i++)
		pass();
	quiet = count_steps(pass) - none;
	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		put(i, BIT(43) | i);
		put(PAGES + i, BIT(43) | i);
	}
	a = mm_stats();
	tell("region_merge_instructions", "instructions/page freed",
	     (double)(count_steps(four_passes) - none - 4 * quiet) / LARGE_PAGES);
	four_passes();
	b = mm_stats();
	region_must(b.pages_saved - a.pages_saved == LARGE_PAGES && large_leaves_now() == leaves);
	tell("region_merge_read", "pages", (double)(b.pages_fingerprinted - a.pages_fingerprinted));
	tell("region_merge_compared", "pages", (double)(b.pages_compared - a.pages_compared));
	tell_quiet("steady_read_pages_0pct_region");
	tell("region_first_break_instructions", "instructions",
	     (double)(count_steps(first_write) - none));
	first_write();
	region_must(large_leaves_now() == leaves - 1 &&
	            mm_stats().pages_saved == b.pages_saved - 1);
	tell("region_next_break_instructions", "instructions",
	     (double)(count_steps(next_write) - none));
}

/* ---- all of it ---- */

static void small_leaves(void)
{
	start(&ept_format, DIRTY_FLAGS, false);
	tell_quiet("steady_read_pages_0pct");
	tell_steady("1pct", ANYWHERE);
	finish();
	start(&ept_format, DIRTY_FLAGS, false);
	tell_time("flags");
	finish();
	start(&ept_format, DIRTY_FLAGS, false);
	tell_instructions();
	finish();
}

static void protection(void)
{
	start(&ept_format_no_ad, DIRTY_PROTECT, false);
	tell_quiet("steady_read_pages_0pct_wp");
	tell_steady("1pct_wp", ANYWHERE);
	finish();
}

/* A modification log, read as soon as it is written. */
static void by_a_log(void)
{
	start(&ept_format, DIRTY_LOG, false);
	tell_quiet("steady_read_pages_0pct_pml");
	tell_steady("1pct_pml", ANYWHERE);
	finish();
	start(&ept_format, DIRTY_LOG, false);
	tell_time("pml");
	finish();
}

static void large_leaves(void)
{
	start(&ept_format, DIRTY_FLAGS, true);
	tell_quiet("steady_read_pages_0pct_large");
	tell_steady("1pct_large_clustered", FEW_REGIONS);
	tell_steady("1pct_large_same_regions", SAME_REGIONS);
	finish();
	start(&ept_format, DIRTY_FLAGS, true);
	tell_split();
	tell_steady("1pct_large_scattered", ANYWHERE);
	tell_whole();
	finish();
	start(&ept_format, DIRTY_FLAGS, true);
	tell_time("large");
	finish();
	start(&ept_format, DIRTY_FLAGS, true);
	tell_region();
	finish();
}

int main(int argc, char **argv)
{
	out = argc == 2 ? fopen(argv[1], "w") : NULL;
	if (!out) {
		fprintf(stderr,
		        argc == 2 ? "bench-scan: %s cannot be written\n"
		                  : "usage: bench-scan OUTPUT.jsonl\n",
		        argc == 2 ? argv[1] : "");
		return 1;
	}
	small_leaves();
	protection();
	by_a_log();
	large_leaves();
	return fclose(out) ? 1 : 0;
}
