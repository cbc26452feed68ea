/* SPDX-License-Identifier: MIT */
/*
 * KSM's side of the comparison: a process that holds the memory of a set (tests/bench/sets.h),
 * one mapping a guest, of 4 KiB pages, and does what it is told on standard input.
 * ksmd works on it meanwhile, driven by tools/quire_tools/ksmd.py. Each command is
 * answered by its figures, one `NAME VALUE` a line, and a line `done`.
 *
 *	fill		write all pages: t0
 *	offer		madvise(MADV_MERGEABLE)
 *	apply		write the pages in which t1 differs: what KSM merged is copied
 *	touch ROUND F	write to a fraction F of all pages
 *	churn ROUND F	the same, to the same pages in every round
 *	saved		pages less the frames that they are on, by /proc/self/pagemap (root only):
 *			KSM's own counters notice a broken page only at the next scan of it
 *	verify		compare everything with the files
 *	quit
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/sets.h"

#define MAX_TOUCHES 256u

static struct set set;
static uint8_t *memory[SET_MAX_VMS];
static struct set_touch touched[MAX_TOUCHES];
static unsigned nr_touched;
static bool is_t1;

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void fill(void)
{
	for (unsigned v = 0; v < set.vms; v++) {
		uint64_t bytes = set.vm[v].pages * SET_PAGE;

		memory[v] =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(memory[v] != MAP_FAILED, "mmap");
		must(!madvise(memory[v], bytes, MADV_NOHUGEPAGE), "madvise: no huge pages");
		memcpy(memory[v], set.vm[v].t0, bytes);
	}
}

static void offer(void)
{
	for (unsigned v = 0; v < set.vms; v++)
		must(!madvise(memory[v], set.vm[v].pages * SET_PAGE, MADV_MERGEABLE),
		     "madvise: mergeable");
}

static void apply(void)
{
	uint64_t begin = measure_cpu_ns();

	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t i = 0; i < set.vm[v].nr_changed; i++) {
			uint64_t at = set.vm[v].changed[i] * SET_PAGE;

			memcpy(memory[v] + at, set.vm[v].t1 + at, SET_PAGE);
		}
	emit_count("cpu_ns", measure_cpu_ns() - begin);
	is_t1 = true;
}

static void touch(struct set_touch t)
{
	uint64_t page = 0, round = t.round;

	must(nr_touched < MAX_TOUCHES, "touch");
	touched[nr_touched++] = t;
	for (unsigned v = 0; v < set.vms; v++)
		for (uint64_t p = 0; p < set.vm[v].pages; p++, page++) {
			uint64_t value = set_touch_value(round, page);

			if (set_touches(t, page))
				memcpy(memory[v] + p * SET_PAGE + set_touch_at(round, page), &value,
				       sizeof(value));
		}
}

/* Frame numbers of pages that are there, from the kernel
 * (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_FRAME   ((UINT64_C(1) << 55) - 1)
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)

static void frames_of(const void *first, uint64_t pages, uint64_t *frames)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t bytes = pages * sizeof(*frames), done = 0;

	must(fd >= 0, "/proc/self/pagemap");
	while (done < bytes) {
		off_t at = (off_t)((uintptr_t)first / SET_PAGE * sizeof(*frames) + done);
		ssize_t n = pread(fd, (char *)frames + done, bytes - done, at);

		must(n > 0, "/proc/self/pagemap");
		done += (size_t)n;
	}
	close(fd);
	for (uint64_t p = 0; p < pages; p++) {
		must(frames[p] & PAGEMAP_PRESENT && frames[p] & PAGEMAP_FRAME,
		     "a page has no frame");
		frames[p] &= PAGEMAP_FRAME;
	}
}

/* The kernel's own page of zeroes: what a read of untouched memory finds. */
static uint64_t zero_frame(void)
{
	volatile uint8_t *page =
	    mmap(NULL, SET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t frame;

	must(page != MAP_FAILED && page[0] == 0, "mmap");
	frames_of((const void *)page, 1, &frame);
	munmap((void *)page, SET_PAGE);
	return frame;
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The zero frame is nobody's: each page on it is saved. */
static void saved(void)
{
	uint64_t *frames = malloc(set.pages * sizeof(*frames)), n = 0, count = 0,
	         zero = zero_frame();

	for (unsigned v = 0; v < set.vms; v++) {
		frames_of(memory[v], set.vm[v].pages, frames + n);
		n += set.vm[v].pages;
	}
	qsort(frames, n, sizeof(*frames), order);
	for (uint64_t i = 0; i < n; i++)
		count += frames[i] == zero || (i && frames[i] == frames[i - 1]);
	free(frames);
	emit_count("saved", count);
}

static void verify(void)
{
	uint64_t mismatches = 0, page = 0;

	for (unsigned v = 0; v < set.vms; v++) {
		const struct set_vm *vm = &set.vm[v];
		const uint8_t *image = is_t1 && vm->t1 ? vm->t1 : vm->t0;

		for (uint64_t p = 0; p < vm->pages; p++, page++)
			mismatches += !set_is(memory[v] + p * SET_PAGE, image + p * SET_PAGE, page,
			                      touched, nr_touched);
	}
	emit_count("mismatches", mismatches);
}

static void obey(const char *line)
{
	unsigned long long round;
	double fraction;

	if (!strcmp(line, "fill\n"))
		fill();
	else if (!strcmp(line, "offer\n"))
		offer();
	else if (!strcmp(line, "apply\n"))
		apply();
	else if (!strcmp(line, "saved\n"))
		saved();
	else if (!strcmp(line, "verify\n"))
		verify();
	else if (sscanf(line, "touch %llu %lf", &round, &fraction) == 2)
		touch((struct set_touch){round, fraction, false});
	else if (sscanf(line, "churn %llu %lf", &round, &fraction) == 2)
		touch((struct set_touch){round, fraction, SET_CHURN});
	else
		exit(strcmp(line, "quit\n") ? 1 : 0);
	puts("done");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[80];

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* gigabytes: not longer than who drives it */
	set_load(&set, argv + 1, (unsigned)(argc - 1));
	emit_count("pages", set.pages);
	emit_count("changed", set.nr_changed);
	puts("done");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
