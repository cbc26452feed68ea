/* SPDX-License-Identifier: MIT */
/*
 * Funding: who may take a frame. Invariant 11:
 *
 *	free >= sum over spaces of max(0, min - held alone)
 *
 * The right side, and the credits of those who were woken (below), are the *debt*: frames
 * that are spoken for. The reserve is not a list of its own: it is the next `reserve` frames of
 * the free count above the debt, so freed frames refill it before anything else by themselves.
 * Only breaks may take them, as a break is our doing and not the guest's; and frame_alloc, which
 * cannot wait, of what it has just given back of a dying space.
 *
 * "Held alone" is kept per space as its private frames (space.held). A shared
 * frame with a count of one is held alone as well, but without a reverse map
 * nobody knows by whom, so it is left out: the running debt is never less than
 * the true one, and invariant 11 holds a fortiori. The audit computes both.
 *
 * Beside the debt are the *loans*: a guest that gives memory back may need some for it, a stack, the
 * page of a list. When everything is used up, that is the frame on which all hangs. So each space
 * may borrow up to `loan` frames while it is asked for memory, and they are kept for it, not for
 * whoever asks first: what it has borrowed it pays with the next frames that it gives back, and may
 * borrow again. With it the invariant reads
 *
 *	free >= debt + sum over spaces of (loan - what it has borrowed)
 *
 * All of it is O(1), under the free-list lock, taken inside.
 */
#ifndef MM_FUND_H
#define MM_FUND_H

#include "mm/frame.h"
#include "mm/space.h"

enum fund_use {
	FUND_POPULATE, /* a page that had no frame of its own; not from the reserve beyond min */
	FUND_BREAK,    /* a copy-on-write copy; may use the reserve */
	FUND_MOVE,     /* for pages that s holds already; pays no debt, leaves the reserve */
};

void fund_init(uint64_t reserve_pages);

/*
 * Take a frame for a page of s: kind PRIVATE, owner s, slot gfn, flag STALE
 * (never fingerprinted); s holds one more alone. *clean: it is all zeroes
 * already; else its contents are anything. MFN_NONE: not now (the vCPU waits).
 */
mfn_t fund_take(struct space *s, gfn_t gfn, enum fund_use use, bool *clean) must_check;

/* The same for LARGE_PAGES frames, aligned, for [gfn, gfn + LARGE_PAGES): FRAME_LARGE as well. */
mfn_t fund_take_large(struct space *s, gfn_t gfn, enum fund_use use) must_check;

/*
 * Give back what fund_take gave (2^order private frames of s): s holds fewer alone,
 * the frames are free, scrubbed. Not mapped any more, flushed, not in the index.
 */
void fund_give(struct space *s, mfn_t mfn, unsigned order);

/* Free a frame of no space (a shared frame with no count left); scrubs it. */
void fund_give_shared(mfn_t mfn);

/*
 * So many private frames of s are about to become shared and stay in use: s holds fewer
 * alone and no frame is freed. False, and nothing changed, if invariant 11
 * would break. (The *other* frames of the merge are neutral: they leave held-alone
 * in the moment in which deferred_finish frees them.) Undo with fund_hold.
 */
bool fund_unhold(struct space *s, uint64_t pages) must_check;

/* s holds more alone (a take-over, or undo of fund_unhold): never fails. */
void fund_hold(struct space *s, uint64_t pages);

/* How many private frames s holds above its min. */
uint64_t fund_above_min(struct space *s);

/*
 * n private frames of s, which are not mapped and not in the index, are the store's from now on
 * (kind STORE): s holds fewer alone and no frame is freed. False, and nothing changed: s would
 * hold less than its min.
 */
bool fund_store(struct space *s, const mfn_t *frames, unsigned n) must_check;

/*
 * The guarantee of s changes; MM_NOMEM and no change if it cannot be backed.
 * With min 0 (a dying space) it cannot fail.
 */
enum mm_status fund_set_min(struct space *s, uint64_t min_pages) must_check;

/* A new space: its guarantee, and so many frames to borrow. MM_NOMEM as above. */
enum mm_status fund_open(struct space *s, uint64_t min_pages, uint64_t loan_pages) must_check;
/* A dying one: no guarantee, no loan, and no turns. What it holds it gives back as usual. */
void fund_close(struct space *s);

/* How many frames are kept for breaks; mm/policy/reserve.c says how many are wise. */
void fund_set_reserve(uint64_t pages);

/* Whether s may borrow from now on, in its turn or out of it: it was asked to give memory back. */
void fund_lend(struct space *s, bool may);
/* It may, and has not borrowed all. */
bool fund_can_borrow(const struct space *s);

/* Whether what this CPU was refused last, whoever for, was a copy of a shared page and not a new one. */
bool fund_refused_break(void);

/* ---- who waits (the line itself is the kernel's) ----
 * While somebody stands in line, nobody above its min takes a frame without a credit: the
 * memory that comes back goes to who is first, and not to who is fast.
 */
void fund_set_line(bool somebody_waits);

/*
 * A waiter of s is about to be woken: set a frame aside for it, from the reserve too if
 * from_reserve. False: there is none, and it must wait on. Within its min a space has one always.
 */
bool fund_grant(struct space *s, bool from_reserve) must_check;
/* It has what it wanted, or wants no more: what was set aside for it and not used is free. */
void fund_ungrant(struct space *s);
/* Whether of all frames that are granted to s now none has been taken. */
bool fund_grants_left(const struct space *s);

/* For audit, statistics and tests; a consistent pair. */
struct fund_view {
	uint64_t free;    /* all free frames, the reserve included */
	uint64_t debt;    /* how many of them are spoken for */
	uint64_t reserve; /* how many of the others only breaks may use: at most the level */
	uint64_t reserve_level;
	uint64_t loans; /* how many are kept for guests that give memory back */
};
struct fund_view fund_look(void);

#endif
