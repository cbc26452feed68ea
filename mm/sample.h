/* SPDX-License-Identifier: MIT */
/*
 * How many pages a guest uses, estimated from a few of them: sample.c has the design. One struct
 * sampler a domain, all zeroes at the start, one caller at a time. Takes the p2m lock.
 */
#ifndef MM_SAMPLE_H
#define MM_SAMPLE_H

#include "mm/space.h"

#define SAMPLE_MOST 128u /* pages a period */

struct sample_page {
	uint32_t gfn, mfn; /* behind it when it was picked; MFN_NONE: it counts no more */
};

struct sampler {
	struct sample_page page[SAMPLE_MOST];
	bool used[SAMPLE_MOST];
	unsigned n;          /* picked in this period */
	uint64_t pages;      /* private ones of the domain, as it began */
	uint64_t slow, fast; /* averages of the periods so far, in 1/256 pages */
	uint64_t now;        /* the fast one, with what is seen of this period */
	uint64_t periods;    /* that ended with an estimate */
	uint64_t flushes;    /* made for it: at most one a period */
};

/* The period ends, with a last look, and the next one begins with n new pages. */
void sample_period(struct sampler *m, struct space *s, unsigned n);

/* A look in between: which of the pages were used by now? Changes nothing but *m. */
void sample_look(struct sampler *m, struct space *s);

/* So many private pages are in use; before the first period has ended, all that there are. */
uint64_t sample_active(const struct sampler *m, const struct space *s);

/* Only writes are seen: the page tables have no accessed flags. */
bool sample_sees_writes_only(void);

#endif
