/* SPDX-License-Identifier: MIT */
/*
 * Why could a guest not even deliver a fault? After a triple fault the log says what its page
 * tables hold now on the way to the instruction, and in which frames they lie.
 */
#ifndef KERNEL_CRASH_WALK_H
#define KERNEL_CRASH_WALK_H

#include "kernel/domain.h"

/* A line for each step of the walk; 4-level tables only, as every 64-bit guest has them. */
void crash_walk(struct vcpu *v);

#endif
