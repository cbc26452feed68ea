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
/* Make the vCPU look at this port's word. */
void evtchn_upcall(struct vcpu *v, unsigned port);

#endif
