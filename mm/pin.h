/* SPDX-License-Identifier: MIT */
/* Pins as the rest of mm/ sees them. p2m lock held. */
#ifndef MM_PIN_H
#define MM_PIN_H

#include "mm/space.h"

/* Whether any guest frame of [first, first + pages) is pinned. */
bool pin_in_range(const struct space *s, gfn_t first, uint64_t pages);

/* Forget all pins of a dying space. */
void pin_drop_all(struct space *s);

#endif
