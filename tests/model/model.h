/* SPDX-License-Identifier: MIT */
/*
 * The parts of the model test:
 *
 *	any.h	what they draw at random
 *	ops.c	random operations, made on a space and on a flat array of bytes
 *	strike.c	what guests do between the steps of an operation
 *	shape.c	what a region of small leaves can become
 *	log.c	what each step answered; the same stream on another format is compared with it
 *	model.c	worlds, seeds, and which formats must be alike
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include "tests/unit/mm_test.h"

#define SPACES 4u
#define PAGES  1100u /* of each space: two large pages and a bit */
#define CPUS   3u
#define WINDOW 48u /* pages that are used most: half of them at 0, half from 2 MiB on */

/* A space, and what it should be. */
struct twin {
	struct space s;
	bool alive, hole[PAGES];
	unsigned pins[PAGES];
	mfn_t service;
	bool service_mapped;
	_Alignas(8) uint8_t bytes[PAGES][PAGE_SIZE];
};

extern struct twin twins[SPACES];

/* One run: a seed, a format of page tables, and a kind of world. */
struct world {
	uint64_t seed;
	const struct pte_format *format;
	bool log;           /* what is dirty is told by a log */
	uint32_t hash_mask; /* bits of a fingerprint that count */
	bool roomy;         /* memory never ends, nobody strikes: every format answers alike */
	const char *policy; /* of the scanner; NULL: the default */
};

/* The run that is under way. */
struct run {
	struct world world;
	uint64_t random, step;
	const char *doing;
};

extern struct run run;

/* What happened in all runs since it was last cleared: a run in which nothing did is worth nothing.
 */
struct worth {
	uint64_t merges, given_up, breaks, take_overs, waits, strikes, joined, moved, splits,
	    larges, passed, compressed, expansions, worth_it, busy, whole, alike, of_two;
	uint64_t audits,
	    saved_changed; /* of the audits: found another number of saved pages than the one before */
};

extern struct worth worth;

void model_failed(const char *what) __attribute__((noreturn));

#define MUST(cond) ((cond) ? (void)0 : model_failed(#cond))

/* ---- ops.c ---- */

void twins_start(void);
void twin_step(void);            /* one random operation */
void twins_finish(void);         /* check every byte, then destroy all */
void twin_write(struct twin *t); /* a random write by a guest */
/* A guest was answered so when it wrote v there: the answer must be right, and the array follows. */
void twin_wrote(struct twin *t, uint64_t page, uint64_t at, uint64_t v, enum mm_verdict r);

/* ---- strike.c ---- */

void twins_strike(enum env_point point); /* for host_on_point */
void twins_kick(unsigned cpu);           /* for host_on_kick */

/* ---- shape.c ---- */

/* Whether 512 free frames lie side by side, aligned: even in a roomy world there may be none left,
 * when a page of each large frame is in use.
 */
bool twins_large_frame_free(void);

/* What mm_coalesce must answer; not whether there is memory for it. */
enum mm_status twin_can_coalesce(struct twin *t, gfn_t g);

/* ---- log.c ---- */

enum log_role {
	LOG_KEEP,    /* the first of several runs */
	LOG_COMPARE, /* another one: every step must be as that of the first */
	LOG_OFF,
};

void log_start(enum log_role role);
void log_answer(uint64_t value); /* something that a guest or a caller was told in this step */
void log_step(void);             /* the step is over: counters and maps as well */

#endif
