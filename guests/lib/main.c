/* SPDX-License-Identifier: MIT */
/* From start.S to the guest's own main, a reason a line. */
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/guest.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

void guest_start(uint32_t start_info);

void guest_start(uint32_t start_info)
{
	const struct hvm_start_info *si = (const void *)(uint64_t)start_info;

	cpu_init(0);      /* exceptions are caught from here on */
	hypercall_init(); /* print() works from here on */
	memory_init(si);  /* copies the map: start_info may lie in free memory */
	options_init(si->cmdline_paddr ? (const char *)si->cmdline_paddr : "");
	guest_main();
	tap_done();
}
