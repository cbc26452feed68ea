/* SPDX-License-Identifier: MIT */
/*
 * hypercalls: does each operation that Quire offers do what Xen's headers say?
 *
 * Specification: one file a family; each test's text is the sentence that it
 * checks. Good calls have their effect; bad ones return Xen's error and have
 * none. What Quire does not have answers -ENOSYS.
 *
 * Options: vcpus=2 (tests what needs a second vCPU)  precise=US: how late a
 *	one-shot timer may fire on an otherwise idle machine (20000)
 */
#include "guests/hypercalls/ops.h"
#include "guests/lib/guest.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

static void ops_unknown(void)
{
	tap_is(hypercall(60, 0, 0, 0, 0, 0), -XEN_ENOSYS, "hypercall 60 is nobody's");
	tap_is(hypercall_direct(4000, 0, 0, 0, 0, 0), -XEN_ENOSYS, "nor is 4000");
	tap_is(hypercall_direct(UINT64_MAX, 0, 0, 0, 0, 0), -XEN_ENOSYS, "nor is ~0");
	tap_is(hypercall(__HYPERVISOR_platform_op, 0, 0, 0, 0, 0), -XEN_ENOSYS,
	       "platform_op is not for guests");
}

void guest_main(void)
{
	ops_version();
	ops_console();
	ops_unknown();
	ops_memory();
	ops_hvm();
	ops_evtchn();
	ops_sched();
	ops_time();
	ops_own();
	ops_more();
	if (option_u64("vcpus", 1) == 2)
		ops_vcpu();
	ops_vcpu_info();
}
