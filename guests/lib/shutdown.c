/* SPDX-License-Identifier: MIT */
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/shutdown.h"

/* Without a hypervisor: QEMU's debug exit port, then its soft power-off. */
static void plain_off(enum guest_end how)
{
	outb(0xf4, (uint8_t)how);
	outw(0x604, 0x2000);
	outw(0xb004, 0x2000);
}

void guest_shutdown(enum guest_end how)
{
	struct sched_shutdown s = {.reason = how};

	if (hypercall_present())
		hypercall_sched(SCHEDOP_shutdown, &s);
	plain_off(how);
	for (;;)
		__asm__ volatile("cli; hlt");
}
