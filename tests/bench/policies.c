/* SPDX-License-Identifier: MIT */
/*
 * A policy over the memory of a set (tests/bench/sets.h), pass by pass, told what to do on
 * standard input as tests/bench/ksm.c is: so one driver (tools/validate-ksm) leads both
 * through the same life. Each command is answered by its figures, one `NAME VALUE` a line, and a
 * line `done`. No clock: the policy goes as fast as it is asked.
 *
 *	policy NAME	go by this policy
 *	set KNOB VALUE
 *	fill		the guests write all their pages: t0
 *	apply		they write the pages in which t1 differs
 *	churn ROUND F	they write to the same fraction F of all pages in each round, something new
 *	pass		one whole pass: its counters
 *	saved		pages saved
 *	verify		compare everything with the files; audit
 *	quit
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/vmx/vmx.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/sets.h"
#include "tests/bench/world.h"
#include "tests/bench/writer.h"

#define MAX_TOUCHES  256u
#define SHARE_GROUP  1u
#define SPARE_FRAMES 4096u
#define SLICE        512u

static struct set set;
static struct space spaces[SET_MAX_VMS];
static struct set_touch touched[MAX_TOUCHES];
static unsigned nr_touched;
static bool is_t1;

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench-policies: %s\n", what);
		exit(1);
	}
}

/* Data, page tables, and what a policy keeps for each frame. */
static uint64_t frames_needed(void)
{
	uint64_t tables = 0, frames;

	for (unsigned v = 0; v < set.vms; v++)
		tables += set.vm[v].pages / LARGE_PAGES + 32;
	frames = set.pages + tables + SPARE_FRAMES + set.vms * LARGE_PAGES;
	return align_up(frames + frames / 64, LARGE_PAGES);
}

static void fill(void)
{
	for (unsigned v = 0; v < set.vms; v++) {
		struct space_config c = {.domid = (domid_t)(v + 1),
		                         .share_group = SHARE_GROUP,
		                         .memory_pages = set.vm[v].pages,
		                         .max_pages = set.vm[v].pages};

		must(space_create(&spaces[v], &c) == MM_OK, "a space could not be made");
		for (uint64_t p = 0; p < set.vm[v].pages; p++)
			writer_put(&spaces[v], GFN(p), 0, set.vm[v].t0 + p * PAGE_SIZE, PAGE_SIZE);
	}
}

static void apply(void)
{
	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t i = 0; i < set.vm[v].nr_changed; i++) {
			uint64_t p = set.vm[v].changed[i];

			writer_put(&spaces[v], GFN(p), 0, set.vm[v].t1 + p * PAGE_SIZE, PAGE_SIZE);
		}
	is_t1 = true;
}

static void churn(uint64_t round, double fraction)
{
	struct set_touch t = {round, fraction, SET_CHURN};
	uint64_t page = 0;

	must(nr_touched < MAX_TOUCHES, "too many rounds of churn");
	touched[nr_touched++] = t;
	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t p = 0; p < set.vm[v].pages; p++, page++) {
			uint64_t value = set_touch_value(round, page);

			if (set_touches(t, page))
				writer_put(&spaces[v], GFN(p), set_touch_at(round, page), &value,
				           sizeof(value));
		}
}

static void pass(void)
{
	const struct scan_policy *p = scan_policy();
	struct scan_counts a = scan_counts(p), b;

	do {
		scan_slice(SLICE);
		b = scan_counts(p);
	} while (b.passes == a.passes);
	emit_count("scanned", b.scanned - a.scanned);
	emit_count("skipped", b.skipped - a.skipped);
	emit_count("read", b.read - a.read);
	emit_count("gated", b.gated - a.gated);
	emit_count("sought", b.sought - a.sought);
	emit_count("compared", b.compared - a.compared);
	emit_count("merged", b.merged - a.merged);
	emit_count("modelled", b.modelled - a.modelled);
}

static void verify(void)
{
	struct audit_report audit = mm_audit();
	uint64_t mismatches = 0, page = 0;

	for (unsigned v = 0; v < set.vms; v++) {
		const struct set_vm *vm = &set.vm[v];
		const uint8_t *image = is_t1 && vm->t1 ? vm->t1 : vm->t0;

		for (uint64_t p = 0; p < vm->pages; p++, page++) {
			struct p2m_view view = p2m_lookup(&spaces[v], GFN(p));

			mismatches += !mfn_valid(view.mfn) ||
			              !set_is(env_frame(view.mfn), image + p * PAGE_SIZE, page,
			                      touched, nr_touched);
		}
	}
	must(!audit.failures, audit.first);
	emit_count("mismatches", mismatches);
}

static void set_knob(const char *name, uint64_t value)
{
	const struct scan_knob *k = scan_find_knob(scan_policy(), name);

	must(k, "the policy has no such knob");
	must(scan_set_knob(k, value), "out of the knob's range");
}

static void obey(const char *line)
{
	unsigned long long n;
	double fraction;
	char name[40];

	if (sscanf(line, "policy %39s", name) == 1)
		must(scan_set_policy(name), "no such policy, or no memory for it");
	else if (sscanf(line, "set %39s %llu", name, &n) == 2)
		set_knob(name, n);
	else if (sscanf(line, "churn %llu %lf", &n, &fraction) == 2)
		churn(n, fraction);
	else if (!strcmp(line, "fill\n"))
		fill();
	else if (!strcmp(line, "apply\n"))
		apply();
	else if (!strcmp(line, "pass\n"))
		pass();
	else if (!strcmp(line, "saved\n"))
		emit_count("saved", mm_stats().pages_saved);
	else if (!strcmp(line, "verify\n"))
		verify();
	else
		exit(strcmp(line, "quit\n") ? 1 : 0);
	puts("done");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[80];

	set_load(&set, argv + 1, (unsigned)(argc - 1));
	world_start(&(struct world_config){.frames = frames_needed(), .format = &ept_format});
	emit_count("pages", set.pages);
	emit_count("changed", set.nr_changed);
	puts("done");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	world_stop();
	return 0;
}
