/* SPDX-License-Identifier: MIT */
/*
 * Xen's hypercalls, through the hypercall page that CPUID names, so that one
 * image runs on Intel and AMD. Constants and structures are Xen's own headers.
 */
#ifndef GUEST_HYPERCALL_H
#define GUEST_HYPERCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define __XEN_INTERFACE_VERSION__ 0x00040e00 /* without it the headers give Xen 3.0's numbers */
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include "kernel/abi/quire.h"

#define XEN_EPERM  1
#define XEN_ENOENT 2
#define XEN_EFAULT 14
#define XEN_EBUSY  16
#define XEN_EEXIST 17
#define XEN_EINVAL 22
#define XEN_ENOSYS 38

extern uint8_t hypercall_page[4096];

void hypercall_init(void);    /* find the hypervisor and install the page */
bool hypercall_present(void); /* false on a plain machine */
bool hypercall_amd(void);     /* the instruction of this CPU is VMMCALL */
bool hypercall_quire(void);   /* the CPUID block of kernel/abi/quire.h is there */
int hypercall_domid(void);    /* from CPUID; -1 if it is not told */

/* Number 0..127 with any arguments. */
static inline long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                             uint64_t e)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("call *%[entry]"
	                 : "=a"(ret), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
	                 : [entry] "r"(hypercall_page + nr * 32)
	                 : "memory", "rcx", "r9", "r11");
	return ret;
}

/* Any number, by the instruction itself. */
static inline long hypercall_direct(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                    uint64_t e)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;

	if (hypercall_amd())
		__asm__ volatile("vmmcall"
		                 : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
		                 :
		                 : "memory", "rcx", "r9", "r11");
	else
		__asm__ volatile("vmcall"
		                 : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
		                 :
		                 : "memory", "rcx", "r9", "r11");
	return (long)nr;
}

/* From a 32-bit code segment (narrow_call.S): what the upper halves hold counts for nothing. */
long hypercall_narrow(uint64_t nr, uint64_t a, uint64_t b, uint64_t c);

static inline long hypercall_memory(unsigned op, void *arg)
{
	return hypercall(__HYPERVISOR_memory_op, op, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall_version(unsigned op, void *arg)
{
	return hypercall(__HYPERVISOR_xen_version, op, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall_sched(unsigned op, void *arg)
{
	return hypercall(__HYPERVISOR_sched_op, op, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall_evtchn(unsigned op, void *arg)
{
	return hypercall(__HYPERVISOR_event_channel_op, op, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall_vcpu(unsigned op, unsigned vcpu, void *arg)
{
	return hypercall(__HYPERVISOR_vcpu_op, op, vcpu, (uint64_t)arg, 0, 0);
}

static inline long hypercall_hvm(unsigned op, void *arg)
{
	return hypercall(__HYPERVISOR_hvm_op, op, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall_console(const char *text, unsigned bytes)
{
	return hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, bytes, (uint64_t)text, 0, 0);
}

static inline long hypercall_own(unsigned op, void *arg)
{
	return hypercall(QUIRE_HYPERCALL, op, (uint64_t)arg, 0, 0, 0);
}

#endif
