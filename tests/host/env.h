/* SPDX-License-Identifier: MIT */
/*
 * The world around mm/ in native tests: frames in an arena, CPUs that are
 * threads or a number to set, faults on request, and guests that reach their
 * memory through a TLB which only a flush empties (tests/host/guest.c).
 */
#ifndef TESTS_HOST_ENV_H
#define TESTS_HOST_ENV_H

#include <setjmp.h>
#include "mm/core.h"

struct host_config {
	uint64_t frames; /* of the machine; frame 0 is not RAM */
	unsigned cpus;   /* for guests, 0 .. cpus - 1; the test's own code runs on one more */
	uint64_t reserve;
	const struct pte_format *format; /* NULL: toy_format */
	bool log;                        /* the dirty source is a modification log */
	struct mm_range hole; /* no RAM here: nobody may look at its bytes, nor, but in 2 MiB that
	                         are RAM in part, at its records */
};

/* Make the arena and call mm_init; host_stop frees it. */
void host_start(const struct host_config *c);
void host_start_small(void); /* 4096 frames, 2 CPUs, no reserve */
void host_stop(void);

uint64_t host_free_frames(void);

/* The CPU that this thread is. */
void host_set_cpu(unsigned cpu);

/* Called at each env_point; NULL for none. Not called again from inside itself. */
extern void (*host_on_point)(enum env_point p);

/* The k-th allocation from now on fails (1 is the next one), once; 0: none. */
void host_fail_alloc(uint64_t k);
void host_fail_alloc_from(uint64_t k); /* the k-th and all after it, until told otherwise */
uint64_t host_allocs(void);            /* allocations asked for since host_start */

/* What a kick does; the default makes that CPU leave guest mode at once (guest.c). */
extern void (*host_on_kick)(unsigned cpu);
uint64_t host_kicks(void);

/* What env_cycles() says; 0 at the start, and it stands still. */
extern uint64_t host_cycles;

/* Make a test's random numbers repeatable. */
void host_seed(uint64_t seed);

/* Nonzero if `statement` panics; then host_panic_text tells how. */
extern jmp_buf host_panic_jump;
extern bool host_panic_expected;
extern char host_panic_text[256];
#define HOST_PANICS(statement)                                                                     \
	({                                                                                         \
		volatile bool panicked_ = true;                                                    \
		host_panic_expected = true;                                                        \
		if (!setjmp(host_panic_jump)) {                                                    \
			statement;                                                                 \
			panicked_ = false;                                                         \
		}                                                                                  \
		host_panic_expected = false;                                                       \
		panicked_;                                                                         \
	})

#endif
