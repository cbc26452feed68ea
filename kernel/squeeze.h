/* SPDX-License-Identifier: MIT */
/* When cold pages are compressed (mm/compress.c): while vCPUs wait for memory, when
 * reclaim says so, or on request. CPU 0. */
#ifndef KERNEL_SQUEEZE_H
#define KERNEL_SQUEEZE_H

#include "kernel/domain.h"

/* compress=off on the command line: only on request. */
void squeeze_init(void);

/* A look, every few milliseconds; a bounded slice of work if there is any. */
void squeeze_poll(void);

/*
 * Reclaim (reclaim.h) wants so many pages of this domain compressed: a bounded slice of it.
 * Returns how many frames are free now that were not.
 */
uint64_t squeeze_ask(struct domain *d, uint64_t pages);

/* Nothing is compressed while that is on: somebody looks at pages one after the other, and their frames must stay. */
void squeeze_hold(bool on);

/*
 * How long to leave it be, when that was `pause` before and of late `went` pages were compressed
 * and `came` pages came back, while so many vCPUs wait. Nanoseconds.
 */
uint64_t squeeze_pause(uint64_t pause, uint64_t went, uint64_t came, unsigned waiting);

#endif
