/* SPDX-License-Identifier: MIT */
/*
 * apic: is the local APIC of a vCPU what the manuals say?
 *
 * Specification: SDM vol. 3, the chapter of the APIC; each test's text is the
 * sentence that it checks. All of it is done twice, with the registers in memory
 * (xAPIC mode) and by MSR (x2APIC mode). vCPU 1 is not brought up by a hypercall but as
 * on a real machine, by INIT and start-up IPI, through a real-mode trampoline.
 *
 * The domain has two vCPUs.
 */
#include "guests/apic/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/event.h"
#include "guests/lib/guest.h"
#include "guests/lib/tap.h"

void guest_main(void)
{
	clock_init();
	seen_init();
	ap_prepare();
	test_modes();
	apic_enable(false);
	test_alone("xAPIC");
	test_pair("xAPIC");
	tap_ok(ap_tell(AP_X2APIC, 0), "vCPU 1 goes to x2APIC mode");
	apic_enable(true);
	test_alone("x2APIC");
	test_pair("x2APIC");
	test_upcall_vector();
}
