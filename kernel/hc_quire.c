/* SPDX-License-Identifier: MIT */
/* Hypercall 50: Quire's own (kernel/abi/quire.h). One layout for all callers. */
#include "kernel/abi/quire.h"
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"

static int64_t hc_put(struct hypercall *h, const void *src, uint64_t bytes)
{
	struct guest_buffer out;
	int64_t rc = hc_reserve(h, &out, 1, 0, bytes);

	if (!rc)
		guest_copy_out(&out, src, bytes);
	return rc;
}

static int64_t hc_get_control(struct hypercall *h)
{
	const struct quire_control c = {
	    .target_pages = h->d->target_pages,
	    .current_pages = h->d->space.memory_pages,
	    .shutdown_request = h->d->shutdown_request,
	};

	return hc_put(h, &c, sizeof(c));
}

static int64_t hc_bind_control(struct hypercall *h)
{
	struct quire_bind_control b;
	struct guest_buffer out;
	uint16_t none = 0;
	int64_t rc = hc_in(h, &b, 1, sizeof(b));

	if (rc)
		return rc;
	if (b.reserved)
		return -XEN_EINVAL;
	if (h->d->control_port)
		return -XEN_EEXIST;
	rc = hc_reserve(h, &out, 1, offsetof(struct quire_bind_control, port), sizeof(b.port));
	if (rc)
		return rc;
	rc = evtchn_bind(h->d, EVTCHN_UNBOUND, h->v->id, 0);
	if (rc < 0)
		return rc;
	b.port = (uint32_t)rc;
	if (!__atomic_compare_exchange_n(&h->d->control_port, &none, (uint16_t)rc, false,
	                                 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return evtchn_close(h->d, b.port) ? -XEN_EINVAL : -XEN_EEXIST;
	guest_copy_out(&out, &b.port, sizeof(b.port));
	return 0;
}

static int64_t hc_exits(struct hypercall *h)
{
	const struct quire_exits e = {
	    .exits = h->v->exits_total,
	    .memory_exits = h->v->exits[EXIT_MEMORY],
	};

	return hc_put(h, &e, sizeof(e));
}

int64_t hc_quire(struct hypercall *h)
{
	switch (h->arg[0]) {
	case QUIRE_OP_GET_CONTROL:
		return hc_get_control(h);
	case QUIRE_OP_BIND_CONTROL:
		return hc_bind_control(h);
	case QUIRE_OP_EXITS:
		return hc_exits(h);
	}
	return -XEN_ENOSYS;
}
