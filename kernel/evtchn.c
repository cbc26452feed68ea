/* SPDX-License-Identifier: MIT */
/*
 * Event channels, Xen's two-level form.
 *
 * To send: set the port's bit in shared_info.evtchn_pending; if it was clear
 * and the port is not masked, set the bit of its word in the target vCPU's
 * evtchn_pending_sel, and if that was clear, evtchn_upcall_pending; then wake
 * or kick the vCPU. The upcall is level-like: as long as evtchn_upcall_pending
 * is set, the callback's vector is offered at each entry, and the guest's handler
 * clears the flag first of all.
 *
 * All of these bits lie in guest memory: the guest may write what it likes
 * there and harms itself only. We read nothing back that we act on, except
 * "is it pending", and the table of ports is ours.
 */
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"

ASSERT_STATIC(MAX_EVTCHNS <= 1024); /* the 32-bit layout's limit */

static _Atomic uint32_t *evtchn_word(uint8_t *base, unsigned bit)
{
	return (_Atomic uint32_t *)(void *)(base + bit / 32 * 4);
}

static bool evtchn_test_and_set(uint8_t *base, unsigned bit)
{
	return atomic_fetch_or(evtchn_word(base, bit), 1u << bit % 32) & 1u << bit % 32;
}

static void evtchn_clear(uint8_t *base, unsigned bit)
{
	atomic_fetch_and(evtchn_word(base, bit), ~(1u << bit % 32));
}

static bool evtchn_test(uint8_t *base, unsigned bit)
{
	return *evtchn_word(base, bit) & 1u << bit % 32;
}

static uint8_t *evtchn_pending_bits(struct domain *d)
{
	return d->shared_info + SHARED_PENDING;
}

static uint8_t *evtchn_mask_bits(struct domain *d)
{
	return d->shared_info + SHARED_MASK(d->wide_info);
}

/* ---- upcalls ---- */

bool evtchn_pending(struct vcpu *v)
{
	return __atomic_load_n(v->info + VCPU_INFO_PENDING, __ATOMIC_SEQ_CST);
}

bool evtchn_poll_ready(struct vcpu *v)
{
	if (evtchn_pending(v))
		return true;
	for (unsigned port = 1; port < MAX_EVTCHNS; port++)
		if ((v->poll_ports[port / 64] & BIT(port % 64)) &&
		    evtchn_test(evtchn_pending_bits(v->domain), port))
			return true;
	return false;
}

void evtchn_upcall(struct vcpu *v, unsigned port)
{
	unsigned sel = port / (v->domain->wide_info ? 64 : 32);

	evtchn_test_and_set(v->info + VCPU_INFO_SEL(v->domain->wide_info), sel);
	/* A vector of its own comes through the local APIC, once for each rise of the flag. */
	if (!__atomic_exchange_n(v->info + VCPU_INFO_PENDING, 1, __ATOMIC_SEQ_CST) &&
	    v->upcall_vector)
		vlapic_post(&v->apic, v->upcall_vector);
	vcpu_notify(v);
}

/* What is pending already is told by the new way, too. */
void evtchn_set_upcall_vector(struct vcpu *v, uint8_t vector)
{
	spin_lock(&v->domain->event_lock);
	v->upcall_vector = vector;
	if (evtchn_pending(v))
		vlapic_post(&v->apic, vector);
	spin_unlock(&v->domain->event_lock);
	vcpu_notify(v);
}

/* ---- sending; event_lock held ---- */

static void evtchn_wake_pollers(struct domain *d, unsigned port)
{
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpus[i];

		if (v && v->polling && (v->poll_ports[port / 64] & BIT(port % 64)))
			vcpu_wake(v);
	}
}

void evtchn_raise(struct domain *d, unsigned port)
{
	struct vcpu *v = d->vcpus[d->evtchn[port].vcpu];

	if (evtchn_test_and_set(evtchn_pending_bits(d), port))
		return;
	if (!evtchn_test(evtchn_mask_bits(d), port))
		evtchn_upcall(v, port);
	evtchn_wake_pollers(d, port);
}

void evtchn_send_port(struct domain *d, unsigned port)
{
	if (port == 0 || port >= MAX_EVTCHNS || d->dying)
		return;
	spin_lock(&d->event_lock);
	if (d->evtchn[port].state != EVTCHN_FREE)
		evtchn_raise(d, port);
	spin_unlock(&d->event_lock);
}

void evtchn_send_virq(struct vcpu *v, unsigned virq)
{
	struct domain *d = v->domain;

	ASSERT(virq < ARRAY_SIZE(v->virq_port));
	if (d->dying)
		return;
	spin_lock(&d->event_lock);
	if (v->virq_port[virq])
		evtchn_raise(d, v->virq_port[virq]);
	spin_unlock(&d->event_lock);
}

/* ---- the table of ports ---- */

void evtchn_domain_init(struct domain *d)
{
	memset(d->evtchn, 0, sizeof(d->evtchn));
	d->event_lock = (struct spinlock){0, 0};
	/* Xen's domain builder masks nothing: a guest masks what it does not want. */
}

/* The port of a hypercall, checked; clamped so that no CPU speculates past the table. */
struct evtchn *evtchn_of(struct domain *d, uint32_t port)
{
	if (port == 0 || port >= MAX_EVTCHNS)
		return NULL;
	port &= MAX_EVTCHNS - 1;
	return d->evtchn[port].state == EVTCHN_FREE ? NULL : &d->evtchn[port];
}

int64_t evtchn_take(struct domain *d, const struct evtchn *e)
{
	for (unsigned port = 1; port < MAX_EVTCHNS; port++) {
		if (d->evtchn[port].state != EVTCHN_FREE)
			continue;
		d->evtchn[port] = *e;
		evtchn_clear(evtchn_pending_bits(d), port);
		return port;
	}
	return -XEN_ENOSPC;
}

int64_t evtchn_bind(struct domain *d, enum evtchn_state state, unsigned vcpu, unsigned virq)
{
	struct vcpu *v = vcpu < d->nr_vcpus ? d->vcpus[vcpu & (MAX_VCPUS - 1)] : NULL;
	const struct evtchn e = {.state = state, .vcpu = (uint8_t)vcpu, .virq = (uint8_t)virq};
	int64_t rc = -XEN_EEXIST;

	if (!v)
		return -XEN_ENOENT;
	spin_lock(&d->event_lock);
	if (state != EVTCHN_VIRQ || !v->virq_port[virq])
		rc = evtchn_take(d, &e);
	if (rc > 0 && state == EVTCHN_VIRQ)
		v->virq_port[virq] = (uint16_t)rc;
	if (rc > 0 && state == EVTCHN_SERVICE)
		d->special[virq].port = (uint16_t)rc;
	spin_unlock(&d->event_lock);
	return rc;
}

void evtchn_release(struct domain *d, uint32_t port)
{
	struct evtchn *e = evtchn_of(d, port);

	if (e->state == EVTCHN_VIRQ)
		d->vcpus[e->vcpu]->virq_port[e->virq] = 0;
	if (e->state == EVTCHN_SERVICE)
		d->special[e->virq].port = 0;
	if (d->control_port == port)
		d->control_port = 0;
	*e = (struct evtchn){.state = EVTCHN_FREE};
	evtchn_clear(evtchn_pending_bits(d), port);
}

int64_t evtchn_close(struct domain *d, uint32_t port)
{
	bool pair = false;
	struct evtchn *e;
	int64_t rc = -XEN_EINVAL;

	spin_lock(&d->event_lock);
	e = evtchn_of(d, port);
	if (e && e->state == EVTCHN_INTERDOMAIN) {
		pair = true;
	} else if (e) {
		evtchn_release(d, port);
		rc = 0;
	}
	spin_unlock(&d->event_lock);
	return pair ? evtchn_close_pair(d, port) : rc;
}

int64_t evtchn_send(struct domain *d, uint32_t port)
{
	bool pair = false;
	struct evtchn *e;
	int64_t rc = -XEN_EINVAL;

	spin_lock(&d->event_lock);
	e = evtchn_of(d, port);
	if (e && e->state == EVTCHN_IPI) {
		evtchn_raise(d, port);
		rc = 0;
	} else if (e && e->state == EVTCHN_UNBOUND) {
		rc = 0; /* nobody at the other end: dropped */
	} else if (e && e->state == EVTCHN_SERVICE) {
		rc = 1 + e->virq;
	} else if (e && e->state == EVTCHN_INTERDOMAIN) {
		pair = true;
	}
	spin_unlock(&d->event_lock);
	return pair ? evtchn_send_pair(d, port) : rc;
}

int64_t evtchn_unmask(struct domain *d, uint32_t port)
{
	struct evtchn *e;
	int64_t rc = -XEN_EINVAL;

	spin_lock(&d->event_lock);
	e = evtchn_of(d, port);
	if (e) {
		evtchn_clear(evtchn_mask_bits(d), port);
		if (evtchn_test(evtchn_pending_bits(d), port))
			evtchn_upcall(d->vcpus[e->vcpu], port);
		rc = 0;
	}
	spin_unlock(&d->event_lock);
	return rc;
}

int64_t evtchn_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
	struct evtchn *e;
	int64_t rc = -XEN_EINVAL;

	if (vcpu >= d->nr_vcpus || !d->vcpus[vcpu & (MAX_VCPUS - 1)])
		return -XEN_ENOENT;
	spin_lock(&d->event_lock);
	e = evtchn_of(d, port);
	/* A timer's or an IPI's channel belongs to its vCPU, as in Xen. */
	if (e && e->state != EVTCHN_VIRQ && e->state != EVTCHN_IPI) {
		e->vcpu = (uint8_t)vcpu;
		rc = 0;
	}
	spin_unlock(&d->event_lock);
	return rc;
}

int64_t evtchn_look(struct domain *d, uint32_t port, struct evtchn *copy)
{
	if (port >= MAX_EVTCHNS)
		return -XEN_EINVAL;
	spin_lock(&d->event_lock);
	*copy = d->evtchn[port & (MAX_EVTCHNS - 1)];
	spin_unlock(&d->event_lock);
	return 0;
}
