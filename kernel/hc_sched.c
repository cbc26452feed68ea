/* SPDX-License-Identifier: MIT */
/* sched_op: yield, block, poll, shutdown. */
#include "kernel/hypercall.h"
#include "kernel/sched.h"
#include "kernel/string.h"

#define POLL_MAX 128u

static int64_t hc_shutdown(struct hypercall *h)
{
	struct sched_shutdown s;
	int64_t rc = hc_in(h, &s, 1, sizeof(s));

	if (rc)
		return rc;
	if (s.reason > SHUTDOWN_MAX)
		return -XEN_EINVAL;
	/* Soft reset and watchdog have no support here: an end is an end. */
	domain_shutdown(h->d,
	                s.reason > SHUTDOWN_crash ? SHUTDOWN_CRASH_ : (enum shutdown_code)s.reason);
	return 0;
}

static int64_t hc_poll_ports(struct hypercall *h, uint64_t list, uint32_t n, uint64_t *mask)
{
	uint32_t port[POLL_MAX];
	int64_t rc = guest_copy_in(&h->copy, port, list, n * sizeof(port[0]));

	for (uint32_t i = 0; !rc && i < n; i++) {
		if (port[i] == 0 || port[i] >= MAX_EVTCHNS)
			return -XEN_EINVAL;
		mask[port[i] / 64 & (MAX_EVTCHNS / 64 - 1)] |= BIT(port[i] % 64);
	}
	return rc;
}

static int64_t hc_poll(struct hypercall *h)
{
	struct sched_poll w = {0};
	struct sched_poll_32 n = {0};
	uint64_t mask[MAX_EVTCHNS / 64] = {0};
	uint64_t list;
	int64_t rc = h->wide ? hc_in(h, &w, 1, sizeof(w)) : hc_in(h, &n, 1, sizeof(n));

	if (rc)
		return rc;
	list = h->wide ? (uint64_t)(uintptr_t)w.ports.p : n.ports;
	if (!h->wide) {
		w.nr_ports = n.nr_ports;
		w.timeout = n.timeout;
	}
	if (w.nr_ports > POLL_MAX)
		return -XEN_EINVAL;
	rc = hc_poll_ports(h, list, w.nr_ports, mask);
	if (rc)
		return rc;
	memcpy(h->v->poll_ports, mask, sizeof(mask));
	h->v->polling = true;
	timer_set_poll(h->v, w.timeout ? w.timeout : UINT64_MAX);
	vcpu_block(h->v);
	return 0;
}

int64_t hc_sched_op(struct hypercall *h)
{
	switch (h->arg[0]) {
	case SCHEDOP_yield:
		sched_yield(h->v);
		return 0;
	case SCHEDOP_block:
		__atomic_store_n(h->v->info + VCPU_INFO_MASK, 0, __ATOMIC_RELAXED);
		vcpu_block(h->v);
		return 0;
	case SCHEDOP_shutdown:
		return hc_shutdown(h);
	case SCHEDOP_poll:
		return hc_poll(h);
	}
	return -XEN_ENOSYS;
}
