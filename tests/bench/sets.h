/* SPDX-License-Identifier: MIT */
/*
 * A set: the memory of several guests at one or two instants, from files, and writes that
 * two programs make alike. Both sides of the comparison load it from here.
 */
#ifndef TESTS_BENCH_SETS_H
#define TESTS_BENCH_SETS_H

#include <stdbool.h>
#include <stdint.h>

#define SET_MAX_VMS 64u
#define SET_PAGE    4096u

struct set_vm {
	uint64_t pages;
	const uint8_t *t0;
	uint8_t *t1;       /* NULL if there is one instant only */
	uint64_t *changed; /* pages in which t1 differs from t0, ascending */
	uint64_t nr_changed;
};

struct set {
	unsigned vms;
	uint64_t pages;      /* of all */
	uint64_t nr_changed; /* of all */
	bool has_t1;
	struct set_vm vm[SET_MAX_VMS];
};

/*
 * Each argument is T0 or T0:T1, file names. Ends the program if one cannot be read. If the
 * first is changed=F, about the fraction F of all pages is to differ in t1: where more do, runs of
 * neighbouring pages keep what they had at t0; where fewer do, a word is written to each page of
 * more runs.
 */
void set_load(struct set *set, char **files, unsigned n);

/*
 * pages - distinct contents, and one more for each constant content (all 0x00, all 0xff)
 * present; by comparing the pages themselves.
 */
uint64_t set_savable(const struct set *set, bool t1);

/*
 * Touching: a write of eight bytes, unlike any other page's, to about `fraction` of all
 * pages. Whether round `round` writes to page `page` of the set, and what where:
 */
struct set_touch {
	uint64_t round;
	double fraction;
	bool churn; /* the same pages in every round */
};

#define SET_CHURN true

bool set_touches(struct set_touch t, uint64_t page);
unsigned set_touch_at(uint64_t round, uint64_t page); /* offset in the page */
uint64_t set_touch_value(uint64_t round, uint64_t page);

/* Whether `have` is the content of the image page after n rounds of touching. */
bool set_is(const uint8_t *have, const uint8_t *image, uint64_t page, const struct set_touch *t,
            unsigned n);

#endif
