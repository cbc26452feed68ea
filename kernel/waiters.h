/* SPDX-License-Identifier: MIT */
/*
 * The line of vCPUs that wait for memory: who waits, in which order, who is woken. waiters.c
 * has the rule. All but waiters_view with the scheduler's lock held.
 */
#ifndef KERNEL_WAITERS_H
#define KERNEL_WAITERS_H

#include "kernel/domain.h"

/* v, whose state is VCPU_MEMORY now, stands in line, where it stood if it has a ticket. */
void waiters_add(struct vcpu *v, uint64_t now);

/* v leaves the line, wherever it is, without having got anything. */
void waiters_remove(struct vcpu *v);

/* v has what it waited for, or wants it no more: its ticket, its turn and its time are over. */
void waiters_done(struct vcpu *v, uint64_t now);

/* Call `ready` for each whose turn it is; it is no longer in line then. */
void waiters_serve(uint64_t now, void (*ready)(struct vcpu *v));

/* Whether anybody is in line, and whether anybody who could run; needs no lock, and may be late by a moment. */
bool waiters_any(void);
bool waiters_press(void);

/* For whoever looks on; takes the scheduler's lock. */
struct waiters_view {
	unsigned
	    waiting; /* in line now, and could run: not of a paused domain. All below are of these. */
	unsigned within_min; /* of them, how many of a domain within its min: always 0 */
	unsigned for_new;    /* of them, how many want a new page */
	uint64_t served;     /* turns given, since the start */
	uint64_t
	    served_ns; /* when the last one was given, or when the line began if that is later */
	uint64_t beyond_ns;  /* when the last frame was given from beyond the reserve */
	uint64_t longest_ns; /* the longest wait, one that goes on included */
	uint64_t oldest_ns;  /* of those that go on, how long the longest does */
};
struct waiters_view waiters_view(void);

#endif
