/* SPDX-License-Identifier: MIT */
/* What the operations of the model draw at random: all from one stream. */
#ifndef TESTS_MODEL_ANY_H
#define TESTS_MODEL_ANY_H

#include "tests/model/model.h"

static inline uint64_t rnd(uint64_t n)
{
	run.random = run.random * 6364136223846793005u + 1442695040888963407u;
	return (run.random >> 33) % n;
}

static inline struct twin *any(void)
{
	return &twins[rnd(SPACES)];
}

static inline uint64_t window_page(uint64_t n)
{
	return n < WINDOW / 2 ? n : LARGE_PAGES + n;
}

static inline uint64_t any_page(void)
{
	return window_page(rnd(WINDOW));
}

static inline uint64_t any_offset(void)
{
	static const uint64_t at[] = {0, 0, 0, 8, 4088};

	return at[rnd(ARRAY_SIZE(at))];
}

static inline unsigned any_cpu(void)
{
	return (unsigned)rnd(CPUS);
}

/* The first page of one of the two large regions, mostly of the second. */
static inline gfn_t any_region(void)
{
	return GFN(rnd(5) ? LARGE_PAGES : 0);
}

/* Few values, so that pages become equal, and zero often. */
static inline uint64_t any_value(void)
{
	return rnd(3) ? 0 : rnd(4);
}

static inline uint64_t *word(struct twin *t, uint64_t page, uint64_t at)
{
	return (uint64_t *)&t->bytes[page][at];
}

#endif
