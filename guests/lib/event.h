/* SPDX-License-Identifier: MIT */
/*
 * Event channels: shared_info, the callback vector, and a handler for each
 * port. The upcall runs with interrupts off on the interrupted stack.
 */
#ifndef GUEST_EVENT_H
#define GUEST_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include "guests/lib/hypercall.h"

#define EVENT_VECTOR 0xf3
#define EVENT_PORTS  128

extern struct shared_info *event_shared;           /* NULL before event_init */
extern volatile uint32_t event_count[EVENT_PORTS]; /* upcalls of each port */

/* Upcalls that came while interrupts were off. */
extern uint32_t event_intrusions;

/* Map shared_info into a page of ours, and have the callback delivered. Once. */
void event_init(void);
/* On each further vCPU, after event_init on the first. */
void event_init_secondary(void);
/* Call f(port) at each event; without one the event is only counted. */
void event_handler(unsigned port, void (*f)(unsigned port));
/* Sleep (sched_op block) until *counter differs from `seen`. */
void event_wait(const volatile uint32_t *counter, uint32_t seen);
void event_unmask(unsigned port);

#endif
