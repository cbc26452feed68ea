/* SPDX-License-Identifier: MIT */
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

static unsigned port;
static volatile uint32_t woken;

bool control_get(struct quire_control *c)
{
	return hypercall_quire() && hypercall_own(QUIRE_OP_GET_CONTROL, c) == 0;
}

bool control_shutdown_asked(void)
{
	struct quire_control c;

	return !control_get(&c) || c.shutdown_request != QUIRE_SHUTDOWN_NONE;
}

static void wake(unsigned p)
{
	(void)p;
	woken++;
}

static void bind(void)
{
	struct quire_bind_control b = {0};

	clock_init();
	if (hypercall_own(QUIRE_OP_BIND_CONTROL, &b)) {
		tap_ok(false, "the control event could not be bound");
		tap_done();
	}
	port = b.port;
	event_handler(port, wake);
	event_handler(clock_port(), wake);
	event_unmask(port);
}

void control_wait(uint64_t deadline_ns)
{
	static uint32_t seen;

	if (!port) {
		bind();
		return; /* what changed before the binding sent no event: look again */
	}
	if (deadline_ns)
		clock_timer(deadline_ns);
	/* `seen` is as old as the last return, so a change since then is not slept over. */
	event_wait(&woken, seen);
	seen = woken;
}

struct quire_exits control_exits(void)
{
	struct quire_exits e = {0};

	if (hypercall_quire())
		hypercall_own(QUIRE_OP_EXITS, &e);
	return e;
}
