/* SPDX-License-Identifier: MIT */
/* What sched.c shows to vcpu.c, timer.c, exit.c and the tests, and to nobody else. */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/domain.h"

#define SCHED_SLICE_NS UINT64_C(10000000) /* longest time between two looks at the queue */

/* One lock for the state of all vCPUs and the run queue; innermost but for none. */
void sched_lock(void);
void sched_unlock(void);

/* With the lock held: */
void sched_enqueue(struct vcpu *v); /* if it may run and does not yet; may kick a CPU */
void sched_dequeue(struct vcpu *v); /* if it is queued */
struct vcpu *sched_pick(unsigned cpu, uint64_t now);
void sched_put(struct vcpu *v, uint64_t now);

/* Leave the inner loop of this CPU soon / of that CPU soon. */
void sched_resched(void);
void sched_resched_cpu(unsigned cpu);
/* An interrupt was taken: look at timers and at the end of the slice. */
void sched_interrupted(void);
/* v, which runs here, goes to the end of the line, if there is one. */
void sched_yield(struct vcpu *v);
/* This CPU must be woken at `ns` at the latest. */
void sched_arm(uint64_t ns);
/* If someone stops the world: stand still until it goes on. For loops that wait for a CPU. */
void sched_park_if_asked(void);
/* One turn of the loop of this CPU; sched_run does nothing else. */
void sched_turn(void);

#endif
