/* SPDX-License-Identifier: MIT */
/* What the hypervisor sees of a machine on which more is promised than there is. CPU 0. */
#ifndef KERNEL_OVERCOMMIT_H
#define KERNEL_OVERCOMMIT_H

#include "kernel/domain.h"

enum overcommit_state {
	OVERCOMMIT_FLOWS, /* nobody waits for memory */
	OVERCOMMIT_WAITS, /* somebody does, and others run */
	OVERCOMMIT_STALLED, /* nobody above its min has run for a while, and nobody was served; or nothing was
	                     * free for new pages for longer */
};

void overcommit_init(void);

/* A look, every few milliseconds: sizes the reserve, notices a stall and its end. */
void overcommit_poll(void);
enum overcommit_state overcommit_state(void);

/*
 * A sentence about what this domain holds and how to have it back; false: it holds nothing
 * beyond what its min guarantees. text: 240 bytes will do.
 */
bool overcommit_advice(struct domain *d, char *text, size_t bytes);

/* How long its longest wait for memory was, or is; *waiting: how many of its vCPUs wait now. */
uint64_t overcommit_longest_ns(const struct domain *d, unsigned *waiting);

/*
 * Whether a domain of this description can be promised its min, beside all that is promised
 * already. If not, why says what is missing, where it is and what would help; what domains on
 * their way out still hold is for the caller to get first (repay_some).
 */
bool overcommit_fits(const struct space_config *c, uint64_t other_frames, char *why, size_t bytes);

#endif
