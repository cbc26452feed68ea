/* SPDX-License-Identifier: MIT */
/*
 * Repayment: memory that can be had back at once, without asking anybody. Whoever is short
 * of a frame takes it before the reserve is touched and before anybody waits.
 *
 * What is in the line, first in, first out: the spaces that are being destroyed. (Their pages
 * go in slices anyway, when CPU 0 gets round to it; who needs one now does not wait
 * for that.) A space is in it once, so the line is as long as there are spaces at most.
 *
 * The bound. Whoever is short is in the middle of an exit, with interrupts off, and what it gives
 * back need not help it: while others wait for memory it is their turn, however much is free; and
 * what is asked for may be a piece of more than one frame. So one call gives back REPAY_TURNS times
 * at most, a thousand small pages. Then a vCPU stands in line, which is served at once with what has
 * come free (kernel/waiters.c); a hypercall that counts is continued (balloon_in_part); who
 * makes a domain tries again in the next step (kernel/create.c); and a copy by grant is told to
 * come again. A frame for the hypervisor itself, which cannot wait, needs few turns: it may come from the
 * reserve, where what was given back goes first (frame_alloc).
 */
#ifndef MM_REPAY_H
#define MM_REPAY_H

#include "mm/space.h"

void repay_init(void);

/* All pages of s, which is dying and not run by any vCPU, may be given back by anyone. */
void repay_offer(struct space *s);

/* s is about to go: on return nobody works on it any more, nor will. */
void repay_forget(struct space *s);

/* Whether something is there to be given back. Any lock may be held. */
bool repay_pending(void);

/*
 * Give back a few pages, from the first in line. False: there was nothing. Repeated, it comes
 * to an end: each call takes pages, or a space, out of the line. No lock of mm/ may be held.
 */
bool repay_some(void) must_check;

/*
 * The same, for a call that was refused a frame and tries again: *turns, 0 at first, counts. False
 * also if it has had REPAY_TURNS.
 */
#define REPAY_TURNS 16u
bool repay_for(unsigned *turns) must_check;

/* Drop up to `budget` pages of a dying space; true when none is left (space.c). */
bool space_give_back(struct space *s, uint64_t budget);

#endif
