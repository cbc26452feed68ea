/* SPDX-License-Identifier: MIT */
/*
 * hello: does a guest start as PVH says, and does it find the hypervisor?
 *
 * Specification: the image is entered with a start_info that has Xen's magic;
 * the memory map has RAM up to where the image lies and more; CPUID shows Xen's
 * and Quire's leaves; the hypercall page works; xen_version answers 4.17; the
 * console prints; power-off ends the domain without a crash.
 */
#include "guests/lib/console.h"
#include "guests/lib/guest.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

void guest_main(void)
{
	const struct memory_range *r;
	unsigned n = memory_ranges(&r);
	long version;

	print("hello from a guest of %lu MiB\n", memory_ram_pages() / 256);
	tap_ok(n > 0, "the memory map has entries");
	for (unsigned i = 0; i < n; i++)
		tap_diag("memory %lx-%lx type %u", r[i].base, r[i].base + r[i].bytes, r[i].type);
	tap_ok(memory_free_pages() > 0, "there is free RAM above the image");
	if (!hypercall_present()) {
		tap_skip("hypercalls", "no Xen CPUID leaves: a plain machine");
		return;
	}
	version = hypercall_version(XENVER_version, 0);
	tap_is(version, 4 << 16 | 17, "xen_version answers 4.17");
	tap_ok(hypercall_quire(), "CPUID shows Quire's own block");
	tap_ok(hypercall_domid() > 0, "CPUID tells the domain's number: %d", hypercall_domid());
}
