/* SPDX-License-Identifier: MIT */
/*
 * How much memory each domain should have when there is not enough: a policy, pure. The formula
 * and what it is made of stand in reclaim.c. All amounts are pages.
 */
#ifndef MM_POLICY_RECLAIM_H
#define MM_POLICY_RECLAIM_H

#include "mm/leaf/types.h"

/* From plenty to none. The order matters: a greater state is a worse one. */
enum reclaim_state {
	RECLAIM_HIGH, /* enough is free: nothing is taken from anybody */
	RECLAIM_SOFT, /* the balloon takes it; compression only where a balloon does not follow */
	RECLAIM_HARD, /* compression takes it as well */
	RECLAIM_LOW,  /* the same, and next to nothing is free: guests wait for memory by now */
	RECLAIM_STATES,
};

const char *reclaim_state_name(enum reclaim_state state);

#define RECLAIM_TAU_MOST   99u /* per cent: at 100 an idle page would cost infinitely much */
#define RECLAIM_LEVEL_MOST 50u /* per cent of the machine */

struct reclaim_knobs {
	unsigned tau;                   /* the tax on idle pages, per cent: 0 to RECLAIM_TAU_MOST */
	unsigned level[RECLAIM_STATES]; /* per cent of the machine: high > soft > hard > low > 0 */
};

/* ESX's: tau 75, levels 6, 4, 2 and 1. */
extern const struct reclaim_knobs reclaim_defaults;

/* NULL, or what is wrong with them, as a sentence. */
const char *reclaim_knobs_trouble(const struct reclaim_knobs *k);

/* What is kept from round to round; all zeroes at the start. */
struct reclaim {
	enum reclaim_state state;
};

/* What one round knows of the machine. */
struct reclaim_machine {
	uint64_t frames; /* that guests can ever have, all together */
	uint64_t free;   /* of them, how many anybody could have now */
};

#define RECLAIM_SHARES_MOST 1000000000u
#define RECLAIM_PAGES_MOST  (UINT64_C(1) << 40)

struct reclaim_domain {
	/* what is so */
	uint64_t min;     /* guaranteed */
	uint64_t want;    /* what it would have if there were enough, at least `charged` */
	uint64_t charged; /* what it has: its own frames, or its min if that is more */
	uint64_t active;  /* of them, how many it uses */
	uint32_t shares;  /* 1 to RECLAIM_SHARES_MOST */
	bool limited;     /* it has less memory than it was promised, by our doing */
	bool skipped;     /* it cannot be asked, or was and does not follow */

	/* what should be */
	uint64_t target;   /* by the formula, among those that follow */
	uint64_t next;     /* on the way there, after this round: charged, or a step from it */
	uint64_t compress; /* so many pages of it are to be compressed now */
};

/*
 * One round: r->state follows `free`, and each domain's target, next and compress are filled in.
 * Returns false if nothing needs to be done (state high, and nobody was ever limited): then
 * target and next are what is charged, compress is 0.
 */
bool reclaim_round(struct reclaim *r, const struct reclaim_knobs *k,
                   const struct reclaim_machine *m, struct reclaim_domain *d, unsigned n);

/* The state alone, from the one before. */
enum reclaim_state reclaim_state_after(enum reclaim_state before, const struct reclaim_knobs *k,
                                       const struct reclaim_machine *m);

/* How many frames it tries to keep free while anybody is limited. */
uint64_t reclaim_goal(const struct reclaim_knobs *k, uint64_t frames);

#endif
