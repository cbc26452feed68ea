/* SPDX-License-Identifier: MIT */
/* Event channels: IPIs to oneself are enough to see each step of the 2-level protocol. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

static long send(unsigned port)
{
	struct evtchn_send s = {.port = port};

	return hypercall_evtchn(EVTCHNOP_send, &s);
}

static long status_of(unsigned port, struct evtchn_status *s)
{
	*s = (struct evtchn_status){.dom = DOMID_SELF, .port = port};
	return hypercall_evtchn(EVTCHNOP_status, s);
}

static long close_port(unsigned port)
{
	struct evtchn_close c = {.port = port};

	return hypercall_evtchn(EVTCHNOP_close, &c);
}

static void mask(unsigned port)
{
	__atomic_fetch_or(&event_shared->evtchn_mask[port / 64], UINT64_C(1) << port % 64,
	                  __ATOMIC_SEQ_CST);
}

static bool pending(unsigned port)
{
	return event_shared->evtchn_pending[port / 64] >> port % 64 & 1;
}

static void delivery(unsigned port)
{
	uint32_t seen = event_count[port];
	uint64_t upcalls = this_cpu()->upcalls;

	tap_is(send(port), 0, "send to a port of ours");
	tap_is(event_count[port], seen + 1, "the upcall has come when send returns");
	irq_off();
	send(port);
	tap_is(event_count[port], seen + 1, "none comes while interrupts are off");
	tap_ok(pending(port), "the port is pending");
	irq_on();
	__asm__ volatile("nop; nop" : : : "memory");
	tap_is(event_count[port], seen + 2, "it comes once they are on");
	/* An upcall that finds nothing pending is allowed, but it is not the rule. */
	upcalls = this_cpu()->upcalls - upcalls;
	tap_ok(upcalls == 2 || upcalls == 3, "there were two upcalls: %lu", upcalls);
}

static void masking(unsigned port)
{
	uint32_t seen = event_count[port];

	mask(port);
	send(port);
	tap_is(event_count[port], seen, "a masked port makes no upcall");
	tap_ok(pending(port), "but it is pending");
	event_unmask(port);
	tap_is(event_count[port], seen + 1, "unmask delivers what was pending");
	event_unmask(port);
	tap_is(event_count[port], seen + 1, "unmask of an open, idle port does nothing");
}

static void halting(unsigned port)
{
	uint32_t seen = event_count[port];

	irq_off();
	send(port);
	/* STI delays the interrupt by one instruction: HLT is entered with it pending. */
	__asm__ volatile("sti; hlt" : : : "memory");
	tap_is(event_count[port], seen + 1, "HLT does not sleep over a pending event");
}

/* Long enough that the machine's timers come meanwhile: what they end must not repeat the upcall.
 */
static void linger(unsigned port)
{
	uint64_t end = clock_ns() + 15 * CLOCK_MS;

	(void)port;
	while (clock_ns() < end)
		;
}

static void uninterrupted(unsigned port)
{
	uint32_t seen = event_count[port];

	event_handler(port, linger);
	for (unsigned i = 0; i < 4; i++)
		send(port);
	event_handler(port, NULL);
	tap_is(event_count[port], seen + 4, "a handler that takes its time is called each time");
	tap_is(event_intrusions, 0, "no upcall has come while interrupts were off");
}

static void errors(unsigned port)
{
	struct evtchn_bind_ipi ipi = {.vcpu = 99};
	struct evtchn_bind_virq virq = {.virq = 99, .vcpu = 0};
	struct evtchn_status s;

	tap_is(hypercall_evtchn(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT, "no IPI of vCPU 99");
	tap_is(hypercall_evtchn(EVTCHNOP_bind_virq, &virq), -XEN_EINVAL, "no VIRQ 99");
	virq = (struct evtchn_bind_virq){.virq = VIRQ_TIMER, .vcpu = 99};
	tap_is(hypercall_evtchn(EVTCHNOP_bind_virq, &virq), -XEN_ENOENT, "no VIRQ of vCPU 99");
	tap_is(close_port(port), 0, "a port can be closed");
	tap_is(send(port), -XEN_EINVAL, "no send to a closed port");
	tap_is(close_port(port), -XEN_EINVAL, "it cannot be closed twice");
	tap_is(status_of(port, &s), 0, "its status can be asked");
	tap_is(s.status, EVTCHNSTAT_closed, "it is closed");
	tap_is(send(0), -XEN_EINVAL, "no send to port 0");
	tap_is(send(4095), -XEN_EINVAL, "no send to the last port");
	tap_is(send(UINT32_MAX), -XEN_EINVAL, "no send to port ~0");
	tap_is(close_port(UINT32_MAX), -XEN_EINVAL, "no close of port ~0");
	tap_ok(status_of(UINT32_MAX, &s) < 0, "no status of port ~0");
	tap_is(hypercall_evtchn(EVTCHNOP_send, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_evtchn(99, 0), -XEN_ENOSYS, "event_channel_op 99");
}

static void timer_port(void)
{
	struct evtchn_bind_virq b = {.virq = VIRQ_TIMER, .vcpu = 0}, again = b;
	struct evtchn_status s;

	tap_is(hypercall_evtchn(EVTCHNOP_bind_virq, &b), 0, "VIRQ_TIMER is bound");
	tap_is(hypercall_evtchn(EVTCHNOP_bind_virq, &again), -XEN_EEXIST, "only once");
	tap_is(status_of(b.port, &s), 0, "status of a VIRQ");
	tap_ok(s.status == EVTCHNSTAT_virq && s.u.virq == VIRQ_TIMER && s.vcpu == 0,
	       "says VIRQ, timer, vCPU 0");
	tap_is(close_port(b.port), 0, "a VIRQ can be closed");
	tap_is(hypercall_evtchn(EVTCHNOP_bind_virq, &again), 0, "and bound again");
	close_port(again.port);
}

/* A pair within one domain: what one end sends is pending at the other. */
static void pairs(void)
{
	struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
	struct evtchn_bind_interdomain b = {.remote_dom = DOMID_SELF};
	struct evtchn_status s;
	uint32_t seen;

	tap_is(hypercall_evtchn(EVTCHNOP_alloc_unbound, &a), 0, "a port is offered to ourselves");
	b.remote_port = a.port;
	tap_is(hypercall_evtchn(EVTCHNOP_bind_interdomain, &b), 0, "the offer is bound");
	tap_ok(status_of(a.port, &s) == 0 && s.status == EVTCHNSTAT_interdomain &&
	           s.u.interdomain.port == b.local_port,
	       "each end knows the other");
	event_unmask(b.local_port);
	event_unmask(a.port);
	seen = event_count[b.local_port];
	send(a.port);
	tap_is(event_count[b.local_port], seen + 1, "what one end sends comes at the other");
	seen = event_count[a.port];
	send(b.local_port);
	tap_is(event_count[a.port], seen + 1, "and the other way round");
	tap_is(close_port(a.port), 0, "one end is closed");
	tap_ok(status_of(b.local_port, &s) == 0 && s.status == EVTCHNSTAT_unbound,
	       "the other is an offer again");
	b.remote_dom = 0x7f00;
	tap_ok(hypercall_evtchn(EVTCHNOP_bind_interdomain, &b) < 0,
	       "nothing of a domain that is not");
	a.dom = 0;
	tap_is(hypercall_evtchn(EVTCHNOP_alloc_unbound, &a), -XEN_EPERM, "no offer for another");
}

void ops_evtchn(void)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};
	struct evtchn_status s;

	event_init();
	if (!tap_is(hypercall_evtchn(EVTCHNOP_bind_ipi, &b), 0, "an IPI port is bound"))
		return;
	tap_ok(b.port > 0 && b.port < 4096, "port %u", b.port);
	event_unmask(b.port);
	tap_is(status_of(b.port, &s), 0, "status of an IPI");
	tap_ok(s.status == EVTCHNSTAT_ipi && s.vcpu == 0, "says IPI, vCPU 0");
	delivery(b.port);
	masking(b.port);
	halting(b.port);
	uninterrupted(b.port);
	errors(b.port);
	timer_port();
	pairs();
}
