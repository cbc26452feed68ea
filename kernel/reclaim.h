/* SPDX-License-Identifier: MIT */
/*
 * Reclaim on the live machine: rounds that ask guests for memory and give it back. The policy is
 * mm/policy/reclaim.c, the estimate of what is in use mm/sample.c. CPU 0.
 */
#ifndef KERNEL_RECLAIM_H
#define KERNEL_RECLAIM_H

#include "kernel/domain.h"

struct reclaim_settings {
	bool on;
	struct reclaim_knobs knobs;
	uint32_t round_ms;     /* a round so often, 10 to 60000; at once if somebody waits */
	uint32_t period_ms;    /* a sampling period, 100 to 3600000 */
	uint32_t sample_pages; /* in each, 1 to SAMPLE_MOST */
};

/* ESX's figures, or what the command line says (reclaim.*). Once memory is there. */
void reclaim_init(void);

struct reclaim_settings reclaim_settings(void);
/* NULL, or why they make no sense; then nothing has changed. Turned off, all is given back. */
const char *reclaim_use(const struct reclaim_settings *s) must_check;

/* One of on, tau, levels, round, period, sample, by its name and value as typed. */
const char *reclaim_set_knob(struct reclaim_settings *s, const char *name,
                             const char *value) must_check;

/* A look, every few milliseconds: a round if it is time, a sampling period that ends. */
void reclaim_poll(void);

/* Somebody who can compress pages of a domain: returns how many it did, of `pages`. NULL: none. */
typedef uint64_t reclaim_compressor(struct domain *d, uint64_t pages);
void reclaim_set_compressor(reclaim_compressor *f);

/* ---- for whoever looks on ---- */

struct reclaim_machine_view {
	enum reclaim_state state;
	uint64_t frames, free, goal; /* pages, as the policy sees them */
	uint64_t rounds, asked; /* so far: rounds in which there was something to do, and wishes */
};
struct reclaim_machine_view reclaim_machine_view(void);

struct reclaim_view {
	uint64_t min, max; /* pages; max: what the operator wants it to have */
	uint64_t memory;   /* it has so much, */
	uint64_t wish;     /* was asked to have so much, */
	uint64_t charged;  /* it costs so many frames, or its min, */
	uint64_t target;   /* and should cost so many */
	uint64_t active;   /* of these it uses */
	uint64_t compress; /* to be compressed, as of the last round */
	uint32_t shares;
	const char *follows; /* "yes", or why it is skipped */
};
struct reclaim_view reclaim_view(struct domain *d);

#endif
