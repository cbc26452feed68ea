/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's local APIC between the exits and the rest: what the guest does to its
 * registers, and what follows from that. v is loaded on this CPU.
 */
#ifndef KERNEL_APIC_H
#define KERNEL_APIC_H

#include "kernel/domain.h"

/* MSRs VLAPIC_MSR_FIRST .. VLAPIC_MSR_LAST and IA32_APIC_BASE. False: #GP(0). */
static inline bool apic_is_msr(uint32_t msr)
{
	return msr >= VLAPIC_MSR_FIRST && msr <= VLAPIC_MSR_LAST;
}
bool apic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value) must_check;
bool apic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value) must_check;
bool apic_write_base(struct vcpu *v, uint64_t value) must_check;

/* MOV to CR8, which the back end has been told. */
void apic_write_cr8(struct vcpu *v, uint64_t value);

/* Registers in xAPIC mode; offset below PAGE_SIZE. */
uint32_t apic_read(struct vcpu *v, uint32_t offset);
void apic_write(struct vcpu *v, uint32_t offset, uint32_t value);

/* Tell CPU and timer what the APIC's state has become: after a reset of it. */
void apic_follow(struct vcpu *v, const struct vlapic_todo *t);

/* vcpu_init.c: INIT and start-up IPIs among the events collected. False: not to be entered. */
bool vcpu_init_events(struct vcpu *v, uint32_t events) must_check;

#endif
