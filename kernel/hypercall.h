/* SPDX-License-Identifier: MIT */
/* One hypercall under way: what hypercall.c gives to the hc_*.c files. */
#ifndef KERNEL_HYPERCALL_H
#define KERNEL_HYPERCALL_H

#include "kernel/guest_copy.h"
#include "kernel/xen_abi.h"

/*
 * A hypercall function checks everything, reserves its output, then acts, and
 * returns Xen's result, or HC_AGAIN: nothing is written to RAX and the
 * instruction runs again. A long call that has done part of its work puts the
 * rest into its argument registers first (hc_continue), where an interrupted
 * guest keeps it: any number of vCPUs and nested calls are no matter.
 */
#define HC_ARGS 3u

struct hypercall {
	struct vcpu *v;
	struct domain *d;
	bool wide;             /* 64-bit caller */
	uint64_t arg[HC_ARGS]; /* cut to 32 bits for a 32-bit caller */
	struct guest_copy copy;
};

typedef int64_t hypercall_fn(struct hypercall *h);

hypercall_fn hc_memory_op, hc_xen_version, hc_console_io, hc_sched_op, hc_event_channel_op,
    hc_vcpu_op, hc_hvm_op, hc_vm_assist, hc_set_timer_op, hc_grant_table_op, hc_quire;

/* Copies of arguments, through h->copy. */
int64_t hc_in(struct hypercall *h, void *dst, unsigned arg, uint64_t bytes) must_check;
int64_t hc_reserve(struct hypercall *h, struct guest_buffer *b, unsigned arg, uint64_t offset,
                   uint64_t bytes) must_check;
/* Put a new value into an argument register for the next try; returns HC_AGAIN. */
int64_t hc_continue(struct hypercall *h, unsigned arg, uint64_t value);
void hc_set_arg(struct hypercall *h, unsigned arg, uint64_t value);
/* What a status of mm/ is to a guest; MM_NOMEM makes the vCPU wait. */
int64_t hc_error(struct hypercall *h, enum mm_status st) must_check;

/* VCPUOP_initialise, in hc_vcpu_init.c. */
int64_t hc_vcpu_initialise(struct hypercall *h, struct vcpu *v) must_check;

/* Write the hypercall page at gpa (MSR 0x40000000). 0, -XEN_EFAULT or HC_AGAIN. */
int64_t hypercall_page_write(struct vcpu *v, uint64_t gpa) must_check;

#endif
