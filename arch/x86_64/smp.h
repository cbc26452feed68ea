/* SPDX-License-Identifier: MIT */
/* Bringing CPUs up: their data (cpu.c) and their start (smp.c). */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include "arch/x86_64/percpu.h"

struct madt;

/* The boot CPU's data, before there is memory; its stacks once there is. */
void percpu_boot(void);
void percpu_stacks(struct percpu *p);
struct percpu *percpu_create(unsigned cpu, uint32_t apic_id);
/* GDT, TSS, IDT and GS of this CPU. */
void percpu_load(struct percpu *p);

/* Start every CPU that the MADT names, up to `limit` in all; they wait for machine_release_cpus. */
void smp_start(const struct madt *m, unsigned limit, bool smt);

/* Where ap_start.S ends. */
void ap_main(struct percpu *p) noreturn_fn;

#endif
