/* SPDX-License-Identifier: MIT */
/* vCPU 1: started by INIT and start-up IPI through a real-mode trampoline, does as vCPU 0 says. */
#include "guests/apic/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"

#define TRAMPOLINE 0x9000u

extern const uint8_t ap_begin[], ap_end[], ap_jump[];
void ap_main(uint32_t cs, uint32_t signature);

struct ap ap;

/* Below 1 MiB nothing lies but what the loader put above it (guest.ld). */
void ap_prepare(void)
{
	uint8_t *to = (uint8_t *)(uint64_t)TRAMPOLINE;

	/* The compiler must not reason about an array at so low an address. */
	__asm__("" : "+r"(to));
	memcpy(to, ap_begin, (size_t)(ap_end - ap_begin));
	*(uint32_t *)(void *)(to + (ap_jump - ap_begin)) += TRAMPOLINE;
}

void ap_kick_off(void)
{
	apic_icr(2, ICR_INIT);
	apic_icr(2, ICR_DEASSERT);
	apic_icr(2, ICR_STARTUP | TRAMPOLINE >> 12);
	apic_icr(2, ICR_STARTUP | TRAMPOLINE >> 12); /* the second finds it running */
}

static void obey(enum ap_order o)
{
	switch (o) {
	case AP_HALT:
		ap.done++;
		__asm__ volatile("sti; hlt; cli" : : : "memory");
		break;
	case AP_DEAF: /* an NMI only ends it */
		ap.done++;
		__asm__ volatile("cli; hlt" : : : "memory");
		break;
	case AP_SEND:
		apic_icr(0, ICR_FIXED | ap.argument);
		ap.done++;
		break;
	case AP_TPR:
		apic_write(REG_TPR, ap.argument);
		ap.done++;
		break;
	case AP_X2APIC:
	case AP_XAPIC:
		apic_enable(o == AP_X2APIC);
		if (o == AP_XAPIC)
			apic_write(REG_LDR, 2u << 24);
		ap.done++;
		break;
	default:
		ap.done++;
		break;
	}
}

/* RDI: CS as the trampoline found it; RSI: EDX. */
void ap_main(uint32_t cs, uint32_t signature)
{
	cpu_init(1);
	event_init_secondary();
	ap.cs = cs;
	ap.signature = signature;
	ap.x2 = apic_x2();
	ap.id = apic_id();
	ap.svr = apic_read(REG_SVR);
	ap.order = AP_IDLE;
	apic_enable(apic_x2());
	if (!apic_x2())
		apic_write(REG_LDR, 2u << 24);
	ap.starts++;
	for (;;) {
		uint32_t o = ap.order;

		ap.beats++;
		if (o != AP_IDLE && o != AP_SPIN)
			ap.order = AP_IDLE;
		if (o != AP_IDLE)
			obey(o);
		/* QEMU 7.2 with -icount lets one CPU run until its next timer, and then the first one
		 * again: who spins on that for ever spins alone. */
		for (unsigned n = 1; o == AP_SPIN && ap.order == AP_SPIN; n++) {
			window();
			if (n % 100000 == 0)
				nap();
		}
		window();
		nap();
	}
}

/* Returns once it has understood. */
bool ap_tell(enum ap_order o, uint32_t argument)
{
	uint32_t done = ap.done;

	ap.argument = argument;
	ap.order = o;
	return reaches(&ap.done, done + 1);
}
