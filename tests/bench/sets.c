/* SPDX-License-Identifier: MIT */
/* Sets of guest memory: see sets.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/sets.h"

static uint8_t *set_map(const char *name, uint64_t *pages)
{
	struct stat st;
	int fd = open(name, O_RDONLY);
	void *p;

	if (fd < 0 || fstat(fd, &st) || st.st_size < SET_PAGE) {
		perror(name);
		exit(1);
	}
	*pages = (uint64_t)st.st_size / SET_PAGE;
	p = mmap(NULL, *pages * SET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		perror(name);
		exit(1);
	}
	close(fd);
	return p;
}

static void set_find_changed(struct set_vm *vm)
{
	vm->changed = malloc(vm->pages * sizeof(*vm->changed));
	for (uint64_t p = 0; p < vm->pages; p++)
		if (memcmp(vm->t0 + p * SET_PAGE, vm->t1 + p * SET_PAGE, SET_PAGE))
			vm->changed[vm->nr_changed++] = p;
}

static void set_load_vm(struct set_vm *vm, char *files)
{
	char *second = strchr(files, ':');
	uint64_t pages;

	if (second)
		*second++ = '\0';
	vm->t0 = set_map(files, &vm->pages);
	if (!second)
		return;
	vm->t1 = set_map(second, &pages);
	if (pages != vm->pages) {
		fprintf(stderr, "%s: another size than %s\n", second, files);
		exit(1);
	}
	set_find_changed(vm);
}

#define SET_RUN 8u /* pages that stay or change together, when changes are cut down */

/* Take changes back, in our own view of t1, until about the fraction `keep` of them is left. */
static void set_cut(struct set_vm *vm, uint64_t number, double keep)
{
	uint64_t left = 0;

	for (uint64_t i = 0; i < vm->nr_changed; i++) {
		uint64_t p = vm->changed[i];
		struct set_touch t = {number, keep, false};

		if (set_touches(t, p / SET_RUN))
			vm->changed[left++] = p;
		else
			memcpy(vm->t1 + p * SET_PAGE, vm->t0 + p * SET_PAGE, SET_PAGE);
	}
	vm->nr_changed = left;
}

/* Change more: one word of each page of about the fraction `more` of all runs. */
static void set_grow(struct set_vm *vm, uint64_t number, double more)
{
	for (uint64_t p = 0; p < vm->pages; p++) {
		uint64_t value = set_touch_value(number, p);

		if (set_touches((struct set_touch){number, more, false}, p / SET_RUN))
			memcpy(vm->t1 + p * SET_PAGE + set_touch_at(number, p), &value,
			       sizeof(value));
	}
	vm->nr_changed = 0;
	set_find_changed(vm);
}

static void set_bring_to(struct set *set, double changed)
{
	double is = (double)set->nr_changed / (double)set->pages;
	/* Among the runs that are written there are some that have changed already. */
	double more = (changed - is) / (1 - is);

	set->nr_changed = 0;
	for (unsigned v = 0; v < set->vms; v++) {
		if (set->vm[v].t1 && is > changed)
			set_cut(&set->vm[v], v, changed / is);
		else if (set->vm[v].t1)
			set_grow(&set->vm[v], v, more);
		set->nr_changed += set->vm[v].nr_changed;
	}
}

void set_load(struct set *set, char **files, unsigned n)
{
	double changed = 0;

	memset(set, 0, sizeof(*set));
	if (n && sscanf(files[0], "changed=%lf", &changed) == 1) {
		files++;
		n--;
	}
	if (n == 0 || n > SET_MAX_VMS) {
		fprintf(stderr, "a set is 1 to %u files\n", SET_MAX_VMS);
		exit(1);
	}
	for (unsigned i = 0; i < n; i++) {
		set_load_vm(&set->vm[i], files[i]);
		set->pages += set->vm[i].pages;
		set->nr_changed += set->vm[i].nr_changed;
		set->has_t1 |= set->vm[i].t1 != NULL;
	}
	set->vms = n;
	if (changed > 0 && set->has_t1)
		set_bring_to(set, changed);
}

/* ---- what sharing can save ---- */

static int set_order(const void *a, const void *b)
{
	return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, SET_PAGE);
}

static bool set_constant(const uint8_t *page)
{
	return (page[0] == 0x00 || page[0] == 0xff) && !memcmp(page, page + 1, SET_PAGE - 1);
}

uint64_t set_savable(const struct set *set, bool t1)
{
	const uint8_t **page = malloc(set->pages * sizeof(*page));
	uint64_t n = 0, saved = 0;

	for (unsigned v = 0; v < set->vms; v++) {
		const struct set_vm *vm = &set->vm[v];
		const uint8_t *from = t1 && vm->t1 ? vm->t1 : vm->t0;

		for (uint64_t p = 0; p < vm->pages; p++)
			page[n++] = from + p * SET_PAGE;
	}
	qsort(page, n, sizeof(*page), set_order);
	for (uint64_t i = 0; i < n; i++)
		saved += set_constant(page[i]) || (i && !set_order(&page[i - 1], &page[i]));
	free(page);
	return saved;
}

/* ---- touching ---- */

bool set_touches(struct set_touch t, uint64_t page)
{
	uint64_t h = measure_mix(measure_mix(t.churn ? 0x6368 : t.round + 1) + page);

	return (double)(h >> 11) < t.fraction * 9007199254740992.0; /* 2^53 */
}

unsigned set_touch_at(uint64_t round, uint64_t page)
{
	return (unsigned)(measure_mix(round * 7919 + page) % (SET_PAGE / 8)) * 8;
}

uint64_t set_touch_value(uint64_t round, uint64_t page)
{
	return measure_mix(page << 16 | round) | 1;
}

bool set_is(const uint8_t *have, const uint8_t *image, uint64_t page, const struct set_touch *t,
            unsigned n)
{
	uint8_t want[SET_PAGE];

	memcpy(want, image, SET_PAGE);
	for (unsigned i = 0; i < n; i++)
		if (set_touches(t[i], page)) {
			uint64_t value = set_touch_value(t[i].round, page);

			memcpy(want + set_touch_at(t[i].round, page), &value, sizeof(value));
		}
	return !memcmp(have, want, SET_PAGE);
}
