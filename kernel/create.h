/* SPDX-License-Identifier: MIT */
/*
 * A domain is made, step by step. Between two steps guests and the monitor run. CPU 0; one at
 * a time.
 */
#ifndef KERNEL_CREATE_H
#define KERNEL_CREATE_H

#include "kernel/domain.h"
#include "kernel/loader.h"

enum create_state {
	CREATE_MORE,   /* there is another step */
	CREATE_DONE,   /* the domain is made and started (unless paused) */
	CREATE_FAILED, /* it is not, and `why` holds a sentence */
};

/* A creation. To be kept by the caller until it is done, failed or cancelled. */
struct creation {
	struct domain_config config;
	struct domain *domain; /* in no list before it is whole; NULL: not begun, or failed */
	char why[CREATE_WHY];

	unsigned stage; /* create.c's own, from here on */
	uint64_t at;    /* how far this stage is */
	struct loader loader;
	unsigned steps;
	uint64_t longest_ns;
};

void create_begin(struct creation *c, const struct domain_config *config);

/*
 * One step: CREATE_PAGES pages at the most are filled, or one large one. After CREATE_FAILED
 * nothing is left behind but what domain_reap takes down.
 */
#define CREATE_PAGES 256u
enum create_state create_step(struct creation *c) must_check;

/* It is given up, between two steps: as if it had failed. */
void create_cancel(struct creation *c);

#endif
