/* SPDX-License-Identifier: MIT */
/* xen_version and console_io. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

static void features(void)
{
	struct xen_feature_info f = {.submap_idx = 0};
	uint32_t need = 1u << XENFEAT_auto_translated_physmap | 1u << XENFEAT_hvm_callback_vector |
	                1u << XENFEAT_hvm_safe_pvclock;

	tap_is(hypercall_version(XENVER_get_features, &f), 0, "get_features answers");
	tap_ok((f.submap & need) == need, "features that PVH needs are there: %x", f.submap);
	tap_ok(!(f.submap & 1u << XENFEAT_dom0), "this is not the control domain");
	f.submap_idx = 1000;
	f.submap = 0;
	hypercall_version(XENVER_get_features, &f);
	tap_is(f.submap, 0, "there are no features in submap 1000");
	tap_is(hypercall_version(XENVER_get_features, NOWHERE), -XEN_EFAULT, "a bad pointer");
}

void ops_version(void)
{
	char extra[XEN_EXTRAVERSION_LEN];
	unsigned n = 0;

	memset(extra, 'x', sizeof(extra));
	tap_is(hypercall_version(XENVER_version, 0), 4 << 16 | 17, "version is 4.17");
	tap_is(hypercall_direct(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0), 4 << 16 | 17,
	       "so says the bare instruction, without the page");
	tap_is(hypercall_version(XENVER_extraversion, extra), 0, "extraversion answers");
	while (n < sizeof(extra) && extra[n])
		n++;
	tap_ok(n < sizeof(extra), "with a string of less than 16 characters");
	tap_is(hypercall_version(XENVER_extraversion, NOWHERE), -XEN_EFAULT, "a bad pointer");
	features();
	tap_is(hypercall_version(9999, 0), -XEN_ENOSYS, "xen_version 9999");
}

void ops_console(void)
{
	static const char line[] = "# console: a line of 40 characters, no more\n";

	tap_is(hypercall_console(line, sizeof(line) - 1), 0, "console_io writes");
	tap_is(hypercall_console(line, 0), 0, "nothing to write");
	tap_is(hypercall_console(NOWHERE, 8), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall(__HYPERVISOR_console_io, 77, 8, (uint64_t)line, 0, 0), -XEN_ENOSYS,
	       "console_io 77");
}
