/* SPDX-License-Identifier: MIT */
/*
 * Flushing inside mm/ (flush_enter and flush_leave, for the run loop, are in
 * mm/space.h). A change to the p2m that takes rights away or changes the
 * frame, the level or a table is followed by
 *
 *	gen = flush_begin(s);	the change is now newer than what CPUs have seen
 *	flush_wait(s, gen);	no CPU can use what was there before
 *
 * May be called with p2m locks held or without: a CPU leaves guest mode without
 * taking any lock. To flush several spaces, begin all, then wait for all.
 */
#ifndef MM_FLUSH_H
#define MM_FLUSH_H

#include "mm/space.h"

uint64_t flush_begin(struct space *s) must_check;
void flush_wait(struct space *s, uint64_t generation);

static inline void flush_space(struct space *s)
{
	flush_wait(s, flush_begin(s));
}

/*
 * A leaf leads to another frame of the same content: the flush may come later (a merge makes one for a whole
 * batch), but before anybody writes there, or one CPU would read the old frame after another has written to the new.
 * flush_owe says so; flush_settle, before a leaf becomes writable without a flush of its own, makes it come true.
 * The p2m lock is held.
 */
void flush_owe(struct space *s);
void flush_settle(struct space *s);

/*
 * Kick each CPU that has been in guest mode ever since the last call, whatever space it runs:
 * so that it empties its modification log. Does not wait. The scan lock is held.
 */
void flush_ask_out(void);

/* Make `s` look new to every CPU: the next entry flushes. For space_create. */
void flush_space_init(struct space *s);

#endif
