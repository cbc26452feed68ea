/* SPDX-License-Identifier: MIT */
/* What the policies that go as KSM does have in common: batches with pauses, and marks of a pass.
 */
#ifndef MM_POLICY_BATCH_H
#define MM_POLICY_BATCH_H

#include "mm/policy/policy.h"

/* So many pages, then a sleep. Without a clock (scan_set_clock) there is no end to a batch. */
struct batch {
	uint64_t left;     /* pages */
	uint64_t slept_us; /* since when; 0: not yet */
};

static inline void batch_end(struct batch *b)
{
	b->left = 0;
	if (!scan_clock(&b->slept_us))
		b->slept_us = 0;
}

/* Whether there are pages left, or the sleep is over and a new batch of `pages` begins. */
static inline bool batch_begin(struct batch *b, uint64_t pages, uint64_t sleep_ms)
{
	uint64_t now;

	if (!scan_clock(&now)) {
		b->left = UINT64_MAX;
		return true;
	}
	if (b->left && b->left != UINT64_MAX)
		return true;
	if (b->slept_us && now - b->slept_us < sleep_ms * 1000)
		return false;
	b->left = pages;
	return true;
}

static inline void batch_page(struct batch *b)
{
	if (b->left != UINT64_MAX && --b->left == 0)
		batch_end(b);
}

/*
 * What is kept for each frame says of which page it is, as frames go from one to another:
 * eight bits of owner and number, never 0. Once in 256 it is mistaken, and nothing depends on it.
 */
static inline uint8_t page_tag(const struct frame *f)
{
	uint32_t h =
	    (frame_owner(f) * UINT32_C(0x9e3779b1)) ^ (frame_slot(f) * UINT32_C(0x85ebca6b));

	return (uint8_t)(h >> 24 | 1);
}

/* The pass in which a page was last read: a hint of an older one is as good as none. */
struct page_mark {
	uint8_t tag, pass;
};

static inline void page_mark(const struct scan_look *p, uint8_t pass)
{
	*(struct page_mark *)p->state = (struct page_mark){page_tag(p->frame), pass};
}

static inline bool page_marked(const struct frame *f, const void *state, uint8_t pass)
{
	const struct page_mark *m = state;

	return m->tag == page_tag(f) && m->pass == pass;
}

#endif
