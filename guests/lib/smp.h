/* SPDX-License-Identifier: MIT */
/* A second vCPU, by VCPUOP_initialise and VCPUOP_up. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdbool.h>

/* Start vCPU `id` in f(arg), interrupts off, exceptions caught. When f returns the vCPU
 * takes itself down. Returns 0 or the hypervisor's negative error. */
long smp_start(unsigned id, void (*f)(void *arg), void *arg);
/* Is it up, by the hypervisor's word? */
bool smp_is_up(unsigned id);
/* Wait until it has gone down again. */
void smp_join(unsigned id);

#endif
