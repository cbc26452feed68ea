/* SPDX-License-Identifier: MIT */
/* Hypercall 50: what the operator wants of this guest (kernel/abi/quire.h). */
#ifndef GUEST_CONTROL_H
#define GUEST_CONTROL_H

#include <stdbool.h>
#include "guests/lib/hypercall.h"

/* False where there is no such hypercall. */
bool control_get(struct quire_control *c);
bool control_shutdown_asked(void);
/*
 * Sleep until the control may have changed; at most until deadline_ns of
 * clock_ns (0: for ever). Call it in a loop around control_get().
 */
void control_wait(uint64_t deadline_ns);
/* Exits of this vCPU so far. */
struct quire_exits control_exits(void);

#endif
