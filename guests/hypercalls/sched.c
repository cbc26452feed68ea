/* SPDX-License-Identifier: MIT */
/* sched_op: yield, block, poll. Shutdown is how every guest ends. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

static long poll(evtchn_port_t *ports, unsigned n, uint64_t timeout_ns)
{
	struct sched_poll p = {.nr_ports = n, .timeout = timeout_ns};

	set_xen_guest_handle(p.ports, ports);
	return hypercall_sched(SCHEDOP_poll, &p);
}

static void block(void)
{
	uint64_t begin = clock_ns();
	uint32_t seen = event_count[clock_port()];

	clock_timer(begin + 5 * CLOCK_MS);
	event_wait(&event_count[clock_port()], seen);
	tap_ok(clock_ns() - begin >= 5 * CLOCK_MS, "block sleeps until an event comes");
}

static void poll_times_out(void)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};
	struct evtchn_send s;
	struct evtchn_close c;
	evtchn_port_t port;
	uint64_t begin;

	hypercall_evtchn(EVTCHNOP_bind_ipi, &b);
	port = s.port = c.port = b.port;
	/* The port stays masked: poll looks at the pending bit itself. */
	begin = clock_ns();
	tap_is(poll(&port, 1, begin + 5 * CLOCK_MS), 0, "poll returns");
	tap_ok(clock_ns() - begin >= 5 * CLOCK_MS, "when its time is over");
	irq_off();
	hypercall_evtchn(EVTCHNOP_send, &s);
	begin = clock_ns();
	tap_is(poll(&port, 1, begin + 2 * CLOCK_S), 0, "poll of a pending port returns");
	tap_ok(clock_ns() - begin < CLOCK_S, "at once");
	irq_on();
	__atomic_fetch_and(&event_shared->evtchn_pending[port / 64], ~(UINT64_C(1) << port % 64),
	                   __ATOMIC_SEQ_CST);
	hypercall_evtchn(EVTCHNOP_close, &c);
}

static void errors(void)
{
	evtchn_port_t port = UINT32_MAX;

	tap_is(poll(&port, 1, clock_ns() + CLOCK_S), -XEN_EINVAL, "no poll of port ~0");
	tap_is(poll(NOWHERE, 1, clock_ns() + CLOCK_S), -XEN_EFAULT, "a bad list of ports");
	tap_is(poll(&port, 100000, 1), -XEN_EINVAL, "no poll of 100000 ports");
	tap_is(hypercall_sched(SCHEDOP_poll, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_sched(SCHEDOP_shutdown, NOWHERE), -XEN_EFAULT,
	       "no shutdown by a bad pointer");
	tap_is(hypercall_sched(99, 0), -XEN_ENOSYS, "sched_op 99");
}

void ops_sched(void)
{
	clock_init();
	tap_is(hypercall_sched(SCHEDOP_yield, 0), 0, "yield returns");
	block();
	poll_times_out();
	errors();
}
