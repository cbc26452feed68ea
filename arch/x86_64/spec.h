/* SPDX-License-Identifier: MIT */
/* Applies the plan of spec_plan.c. */
#ifndef ARCH_SPEC_H
#define ARCH_SPEC_H

#include "arch/x86_64/spec_plan.h"

/* Non-zero: the back ends' entry.S fills the return stack buffer after each exit. */
extern uint8_t spec_fill_rsb;

/* Nonzero bits: DO_VERW, DO_L1D_FLUSH; what is to be done right before each entry. */
extern uint64_t spec_entry_actions;

/* On each CPU, from the back ends' cpu_on; the first call makes the plan. */
void spec_cpu_on(void);

const struct spec_plan *spec_current(void);

/* This CPU is QEMU's interpreter, which says so in its hypervisor leaf: "TCGTCGTCGTCG". */
bool spec_emulated(void);

/* A vCPU of this domain is being loaded on this CPU; another domain's may have been before. */
void spec_load_domain(unsigned cpu, domid_t domid);

/* VERW and L1D flush; called with interrupts off right before entry if spec_entry_actions. */
void spec_before_entry(void);

/* Whether SPEC_CTRL.IBRS must be written after each exit, and that write (legacy IBRS only). */
extern bool spec_ibrs_at_exit;
void spec_after_exit(void);

/* For hwinfo: a line for each leak. */
void spec_describe(void (*line)(const char *text));

#endif
