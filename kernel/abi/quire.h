/* SPDX-License-Identifier: MIT */
/*
 * The part of the guest interface that is Quire's own; everything else is
 * Xen's (libxen-dev). Self-contained: guests include it too. Version 1.
 *
 * A guest finds it by CPUID: leaf 0x40000100 answers
 *	eax = highest leaf of the block, ebx ecx edx = "QuireQuire  "
 * and leaf 0x40000101: eax = QUIRE_ABI_VERSION.
 *
 * Hypercall 50: (op, pointer to the op's structure), as Xen's calls are made.
 */
#ifndef QUIRE_ABI_H
#define QUIRE_ABI_H

#include <stdint.h>

#define QUIRE_HYPERCALL   50 /* __HYPERVISOR_arch_2 */
#define QUIRE_ABI_VERSION 1
#define QUIRE_CPUID_BASE  0x40000100u

/* op 0: what the operator wants of this domain. */
#define QUIRE_OP_GET_CONTROL 0
struct quire_control {
	uint64_t target_pages;     /* OUT: how much memory the guest should keep */
	uint64_t current_pages;    /* OUT: how much it has */
	uint32_t shutdown_request; /* OUT: QUIRE_SHUTDOWN_* */
	uint32_t reserved;         /* OUT: 0 */
};
#define QUIRE_SHUTDOWN_NONE     0
#define QUIRE_SHUTDOWN_POWEROFF 1
#define QUIRE_SHUTDOWN_REBOOT   2

/* op 1: an event channel port that is sent to when the answer of op 0 changes.
 * Bound to the calling vCPU; -EEXIST the second time. */
#define QUIRE_OP_BIND_CONTROL 1
struct quire_bind_control {
	uint32_t port;     /* OUT */
	uint32_t reserved; /* IN: 0 */
};

/* op 2: how many VM exits this vCPU has taken so far, this one included. For tests and
 * measurements of a guest's own cost; says nothing of other domains. */
#define QUIRE_OP_EXITS 2
struct quire_exits {
	uint64_t exits;        /* OUT: all of this vCPU */
	uint64_t memory_exits; /* OUT: EPT violations or nested page faults among them */
};

#endif
