/* SPDX-License-Identifier: MIT */
/*
 * idle: does a guest that sleeps cost nothing, and does it hear the operator?
 *
 * Specification: the guest blocks with no timer set until a shutdown is asked
 * by hypercall 50's event, and then powers off. While it sleeps it takes at
 * most a handful of exits: 16 are allowed from the first block to the end.
 *
 * Option: exits=N allowed instead.
 */
#include "guests/lib/control.h"
#include "guests/lib/guest.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

void guest_main(void)
{
	uint64_t allowed = option_u64("exits", 16), before, after;

	tap_plan(2);
	control_wait(0); /* binds the event */
	tap_ok(!control_shutdown_asked(), "asleep until somebody asks");
	before = control_exits().exits;
	while (!control_shutdown_asked())
		control_wait(0);
	after = control_exits().exits;
	tap_diag("idle exits=%lu", after - before);
	tap_ok(after - before <= allowed, "few exits while asleep");
}
