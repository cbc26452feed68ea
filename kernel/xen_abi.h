/* SPDX-License-Identifier: MIT */
/*
 * Xen's public headers (libxen-dev) as the kernel uses them, and the few
 * structures that a 32-bit caller lays out differently and that
 * xen/foreign/x86_32.h does not have. Their sizes are those that gcc -m32 gives.
 */
#ifndef KERNEL_XEN_ABI_H
#define KERNEL_XEN_ABI_H

#include "mm/leaf/types.h"

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/foreign/x86_32.h>

/* 32-bit layouts: 4-byte pointers and longs, 8-byte integers on 4-byte borders. */
struct memory_reservation_32 {
	uint32_t extent_start, nr_extents, extent_order, mem_flags;
	uint16_t domid, pad;
};
struct add_to_physmap_32 {
	uint16_t domid, size;
	uint32_t space, idx, gpfn;
};
struct memory_map_32 {
	uint32_t nr_entries, buffer;
};
struct sched_poll_32 {
	uint32_t ports, nr_ports;
	uint64_t timeout;
} __attribute__((packed, aligned(4)));
struct runstate_info_32 {
	uint32_t state;
	uint64_t state_entry_time, time[4];
} __attribute__((packed, aligned(4)));
/* An entry of XENMEM_memory_map, as INT 15h E820 gives it; the same for all callers. */
struct e820_entry {
	uint64_t base, bytes;
	uint32_t type;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct memory_reservation_32) == 20, "gcc -m32");
_Static_assert(sizeof(struct add_to_physmap_32) == 16, "gcc -m32");
_Static_assert(sizeof(struct memory_map_32) == 8, "gcc -m32");
_Static_assert(sizeof(struct sched_poll_32) == 16, "gcc -m32");
_Static_assert(sizeof(struct runstate_info_32) == 40 + 4, "gcc -m32");
_Static_assert(sizeof(struct e820_entry) == 20, "INT 15h");
_Static_assert(sizeof(struct xen_memory_reservation) == 32, "64-bit");
_Static_assert(sizeof(struct xen_add_to_physmap) == 24, "64-bit");
_Static_assert(sizeof(struct vcpu_runstate_info) == 48, "64-bit");

/* struct vcpu_info: 64 bytes, and .time at 32, for both kinds of caller. */
#define VCPU_INFO_BYTES        64u
#define VCPU_INFO_PENDING      0u /* evtchn_upcall_pending */
#define VCPU_INFO_MASK         1u
#define VCPU_INFO_SEL(wide)    ((wide) ? 8u : 4u)
#define VCPU_INFO_TIME         32u
#define SHARED_PENDING         2048u
#define SHARED_MASK(wide)      ((wide) ? 2048u + 512u : 2048u + 128u)
#define SHARED_WALLCLOCK(wide) ((wide) ? 2048u + 1024u : 2048u + 256u)

_Static_assert(sizeof(struct vcpu_info) == VCPU_INFO_BYTES, "64-bit");
_Static_assert(sizeof(struct vcpu_info_x86_32) == VCPU_INFO_BYTES, "gcc -m32");
_Static_assert(offsetof(struct vcpu_info, time) == VCPU_INFO_TIME, "64-bit");
_Static_assert(offsetof(struct vcpu_info_x86_32, time) == VCPU_INFO_TIME, "gcc -m32");
_Static_assert(offsetof(struct vcpu_info, evtchn_pending_sel) == VCPU_INFO_SEL(true), "64-bit");
_Static_assert(offsetof(struct vcpu_info_x86_32, evtchn_pending_sel) == VCPU_INFO_SEL(false), "32");
_Static_assert(offsetof(struct shared_info, evtchn_pending) == SHARED_PENDING, "64-bit");
_Static_assert(offsetof(struct shared_info_x86_32, evtchn_pending) == SHARED_PENDING, "32");
_Static_assert(offsetof(struct shared_info, evtchn_mask) == SHARED_MASK(true), "64-bit");
_Static_assert(offsetof(struct shared_info_x86_32, evtchn_mask) == SHARED_MASK(false), "32");
_Static_assert(offsetof(struct shared_info, wc_version) == SHARED_WALLCLOCK(true), "64-bit");
_Static_assert(offsetof(struct shared_info_x86_32, wc_version) == SHARED_WALLCLOCK(false), "32");

#endif
