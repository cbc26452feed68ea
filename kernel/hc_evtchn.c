/* SPDX-License-Identifier: MIT */
/* event_channel_op. All its structures are made of 32-bit fields: one layout for all callers. */
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"
#include "kernel/xenstore.h"
#include "kernel/string.h"

/* Bind, and tell the port; the place for the answer is reserved first. */
static int64_t hc_bind(struct hypercall *h, enum evtchn_state state, uint32_t vcpu, uint32_t virq,
                       uint64_t port_offset)
{
	struct guest_buffer out;
	int64_t rc = hc_reserve(h, &out, 1, port_offset, sizeof(uint32_t));
	uint32_t port;

	if (rc)
		return rc;
	rc = evtchn_bind(h->d, state, vcpu, virq);
	if (rc < 0)
		return rc;
	port = (uint32_t)rc;
	guest_copy_out(&out, &port, sizeof(port));
	return 0;
}

static int64_t hc_bind_virq(struct hypercall *h)
{
	struct evtchn_bind_virq b;
	int64_t rc = hc_in(h, &b, 1, offsetof(struct evtchn_bind_virq, port));

	if (rc)
		return rc;
	if (b.virq != VIRQ_TIMER && b.virq != VIRQ_DEBUG)
		return -XEN_EINVAL;
	return hc_bind(h, EVTCHN_VIRQ, b.vcpu, b.virq, offsetof(struct evtchn_bind_virq, port));
}

static int64_t hc_bind_ipi(struct hypercall *h)
{
	struct evtchn_bind_ipi b;
	int64_t rc = hc_in(h, &b, 1, offsetof(struct evtchn_bind_ipi, port));

	if (rc)
		return rc;
	return hc_bind(h, EVTCHN_IPI, b.vcpu, 0, offsetof(struct evtchn_bind_ipi, port));
}

static int64_t hc_alloc_unbound(struct hypercall *h)
{
	const uint64_t at = offsetof(struct evtchn_alloc_unbound, port);
	struct evtchn_alloc_unbound a;
	struct guest_buffer out;
	int64_t rc = hc_in(h, &a, 1, at);
	uint32_t port;

	if (!rc && a.dom != DOMID_SELF && a.dom != h->d->id)
		rc = -XEN_EPERM;
	if (!rc)
		rc = hc_reserve(h, &out, 1, at, sizeof(port));
	if (!rc)
		rc = evtchn_alloc_unbound(h->d, a.remote_dom);
	if (rc < 0)
		return rc;
	port = (uint32_t)rc;
	guest_copy_out(&out, &port, sizeof(port));
	return 0;
}

static int64_t hc_bind_interdomain(struct hypercall *h)
{
	const uint64_t at = offsetof(struct evtchn_bind_interdomain, local_port);
	struct evtchn_bind_interdomain b;
	struct guest_buffer out;
	int64_t rc = hc_in(h, &b, 1, at);
	uint32_t port;

	if (!rc)
		rc = hc_reserve(h, &out, 1, at, sizeof(port));
	if (!rc)
		rc = evtchn_bind_interdomain(h->d, b.remote_dom, b.remote_port);
	if (rc < 0)
		return rc;
	port = (uint32_t)rc;
	guest_copy_out(&out, &port, sizeof(port));
	return 0;
}

/* All of the union is written: nothing of our stack goes out. */
static void hc_status_fill(struct evtchn_status *s, const struct evtchn *e)
{
	memset(&s->u, 0, sizeof(s->u));
	s->vcpu = e->vcpu;
	switch (e->state) {
	case EVTCHN_FREE:
		s->status = EVTCHNSTAT_closed;
		break;
	case EVTCHN_UNBOUND:
		s->status = EVTCHNSTAT_unbound;
		s->u.unbound.dom = e->remote_domain;
		break;
	case EVTCHN_INTERDOMAIN:
		s->u.interdomain.port = e->remote_port;
		s->u.interdomain.dom = e->remote_domain;
		__attribute__((fallthrough));
	case EVTCHN_SERVICE: /* with domain 0, as in Xen */
		s->status = EVTCHNSTAT_interdomain;
		break;
	case EVTCHN_VIRQ:
		s->status = EVTCHNSTAT_virq;
		s->u.virq = e->virq;
		break;
	case EVTCHN_IPI:
		s->status = EVTCHNSTAT_ipi;
		break;
	}
}

static int64_t hc_status(struct hypercall *h)
{
	struct evtchn_status s;
	struct guest_buffer out;
	struct evtchn e;
	const uint64_t first = offsetof(struct evtchn_status, status);
	int64_t rc = hc_in(h, &s, 1, first);

	if (rc)
		return rc;
	if (s.dom != DOMID_SELF && s.dom != h->d->id)
		return -XEN_EPERM;
	rc = evtchn_look(h->d, s.port, &e);
	if (!rc)
		rc = hc_reserve(h, &out, 1, first, sizeof(s) - first);
	if (rc)
		return rc;
	hc_status_fill(&s, &e);
	guest_copy_out(&out, &s.status, sizeof(s) - first);
	return 0;
}

/* The guest rang at a door of ours. What is long goes on in the same call, made again. */
static int64_t hc_send(struct hypercall *h, uint32_t port)
{
	int64_t rc = evtchn_send(h->d, port);

	switch (rc) {
	case 1 + SPECIAL_CONSOLE:
		return console_must_wait(h->v) || console_ring_drain(h->d) ? HC_AGAIN : 0;
	case 1 + SPECIAL_STORE:
		return xenstore_event(h->d) ? HC_AGAIN : 0;
	default:
		return rc;
	}
}

/* Operations whose structure is one port. */
static int64_t hc_port(struct hypercall *h)
{
	uint32_t port;
	int64_t rc = hc_in(h, &port, 1, sizeof(port));

	if (rc)
		return rc;
	switch (h->arg[0]) {
	case EVTCHNOP_close:
		return evtchn_close(h->d, port);
	case EVTCHNOP_send:
		return hc_send(h, port);
	default:
		return evtchn_unmask(h->d, port);
	}
}

static int64_t hc_bind_vcpu(struct hypercall *h)
{
	struct evtchn_bind_vcpu b;
	int64_t rc = hc_in(h, &b, 1, sizeof(b));

	return rc ? rc : evtchn_bind_vcpu(h->d, b.port, b.vcpu);
}

int64_t hc_event_channel_op(struct hypercall *h)
{
	switch (h->arg[0]) {
	case EVTCHNOP_bind_virq:
		return hc_bind_virq(h);
	case EVTCHNOP_bind_ipi:
		return hc_bind_ipi(h);
	case EVTCHNOP_alloc_unbound:
		return hc_alloc_unbound(h);
	case EVTCHNOP_bind_interdomain:
		return hc_bind_interdomain(h);
	case EVTCHNOP_bind_vcpu:
		return hc_bind_vcpu(h);
	case EVTCHNOP_close:
	case EVTCHNOP_send:
	case EVTCHNOP_unmask:
		return hc_port(h);
	case EVTCHNOP_status:
		return hc_status(h);
	}
	return -XEN_ENOSYS;
}
