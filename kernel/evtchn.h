/* SPDX-License-Identifier: MIT */
/*
 * Event channels as hypercalls see them; what the rest of kernel/ needs is in
 * domain.h. All take the domain's event_lock inside; the caller holds no lock.
 */
#ifndef KERNEL_EVTCHN_H
#define KERNEL_EVTCHN_H

#include "kernel/domain.h"

/* The new port, or -XEN_E*. virq: also the enum special_page of an EVTCHN_SERVICE. */
int64_t evtchn_bind(struct domain *d, enum evtchn_state state, unsigned vcpu,
                    unsigned virq) must_check;
/* 0 or -XEN_E*. */
int64_t evtchn_close(struct domain *d, uint32_t port) must_check;
/* 0; or 1 + the enum special_page whose other end, ours, is to look now; or -XEN_E*. */
int64_t evtchn_send(struct domain *d, uint32_t port) must_check;
int64_t evtchn_unmask(struct domain *d, uint32_t port) must_check;
int64_t evtchn_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu) must_check;
int64_t evtchn_look(struct domain *d, uint32_t port, struct evtchn *copy) must_check;

/*
 * Channels between two domains (evtchn_pair.c). DOMID_SELF or a domain's id; both may be the
 * caller. The new port, or -XEN_E*.
 */
int64_t evtchn_alloc_unbound(struct domain *d, domid_t remote) must_check;
int64_t evtchn_bind_interdomain(struct domain *d, domid_t remote, uint32_t remote_port) must_check;

/* ---- between evtchn.c and evtchn_pair.c ---- */

/* event_lock held: a free port becomes e, with nothing pending; or -XEN_ENOSPC. */
int64_t evtchn_take(struct domain *d, const struct evtchn *e) must_check;
/* event_lock held: the port, clamped; NULL if it is free or none. */
struct evtchn *evtchn_of(struct domain *d, uint32_t port);
/* event_lock held: it is free from now on. */
void evtchn_release(struct domain *d, uint32_t port);
/* event_lock held: mark it pending and tell its vCPU. */
void evtchn_raise(struct domain *d, unsigned port);
/* No lock held: tell the other end, if the port has one in another domain. */
int64_t evtchn_send_pair(struct domain *d, uint32_t port) must_check;
int64_t evtchn_close_pair(struct domain *d, uint32_t port) must_check;

/* Upcalls of v go through its local APIC from now on. */
void evtchn_set_upcall_vector(struct vcpu *v, uint8_t vector);
/* Make the vCPU look at this port's word. */
void evtchn_upcall(struct vcpu *v, unsigned port);

#endif
