/* SPDX-License-Identifier: MIT */
/* Shared by the files of the guest balloon: the pages that go out and come back. */
#ifndef GUEST_BALLOON_H
#define GUEST_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

/* The pages that this guest plays with: page i holds content key(i), unless it is out. */
extern uint8_t *balloon_area;
extern uint64_t balloon_pages;

void balloon_prepare(uint64_t reserve_pages);
uint64_t balloon_gfn(uint64_t i);
uint64_t balloon_key(uint64_t i);
/* Every page in [first, end) with (i % step) != rest holds its content (step 0: all). */
bool balloon_others_right(uint64_t step, uint64_t rest, const char *when);

void balloon_test_rounds(void);  /* rounds.c */
void balloon_test_refused(void); /* refused.c */
void balloon_follow(void);       /* follow.c */
void balloon_breathe(void);
void balloon_test_extents(void); /* extents.c */

#endif
