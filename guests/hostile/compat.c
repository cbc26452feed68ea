/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls from a 32-bit code segment: the high halves of the registers are
 * left over from 64-bit mode and must count for nothing.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/tap.h"

#define DIRTY UINT64_C(0xdeadbeef00000000)

static struct xen_feature_info features;

static int32_t call(uint32_t nr, uint32_t a, uint32_t b, uint64_t dirt)
{
	return (int32_t)hypercall_narrow(nr | dirt, a | dirt, b | dirt, dirt);
}

void attack_compat(void)
{
	uint32_t pointer = (uint32_t)(uint64_t)&features;

	tap_is(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17,
	       "compat: a 32-bit hypercall");
	tap_is(call(__HYPERVISOR_xen_version, XENVER_version, 0, DIRTY), 4 << 16 | 17,
	       "compat: with dirty high halves");
	tap_is(call(__HYPERVISOR_xen_version, XENVER_get_features, pointer, DIRTY), 0,
	       "compat: and a pointer");
	tap_ok(features.submap != 0, "compat: whose answer arrived below 4 GiB");
	tap_is(call(60, 0, 0, DIRTY), -XEN_ENOSYS, "compat: an unknown call");
	tap_is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, UINT32_MAX - 3, DIRTY),
	       -XEN_EFAULT, "compat: a structure over the end of 4 GiB");
}
