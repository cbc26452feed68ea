/* SPDX-License-Identifier: MIT */
/* IA32_APIC_BASE and what each mode refuses; the vCPU's own upcall vector. */
#include "guests/apic/apic.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/tap.h"
#include "guests/lib/trap.h"

struct access {
	uint32_t msr;
	uint64_t value;
};

static void write_one(void *arg)
{
	const struct access *a = arg;

	wrmsr(a->msr, a->value);
}

static void read_one(void *arg)
{
	struct access *a = arg;

	a->value = rdmsr(a->msr);
}

static void refuses(uint32_t msr, uint64_t value, const char *what)
{
	struct access a = {msr, value};

	tap_is(trap_vector(write_one, &a), TRAP_GP, "#GP: %s", what);
}

static void refuses_read(uint32_t msr, const char *what)
{
	struct access a = {msr, 0};

	tap_is(trap_vector(read_one, &a), TRAP_GP, "#GP: %s", what);
}

void test_modes(void)
{
	uint64_t xapic = BASE_ADDRESS | BASE_BSP | BASE_ENABLE, x2apic = xapic | BASE_X2APIC;
	uint64_t off = BASE_ADDRESS | BASE_BSP;
	uint32_t r[4];

	irq_off();
	tap_is((long)rdmsr(MSR_APIC_BASE), (long)xapic, "it begins in xAPIC mode, as after reset");
	refuses_read(0x802, "a register's MSR in xAPIC mode");
	refuses(MSR_APIC_BASE, off | BASE_X2APIC, "x2APIC without enable");
	refuses(MSR_APIC_BASE, xapic + 0x1000, "another address");
	refuses(MSR_APIC_BASE, xapic | 1, "a reserved bit");
	wrmsr(MSR_APIC_BASE, off);
	cpuid(1, 0, r);
	tap_is(r[3] >> 9 & 1, 0, "disabled, CPUID tells so");
	refuses(MSR_APIC_BASE, x2apic, "from disabled to x2APIC");
	wrmsr(MSR_APIC_BASE, xapic);
	apic_write(REG_SVR, 0x1fd);
	wrmsr(MSR_APIC_BASE, x2apic);
	tap_is((long)rdmsr(0x80f), 0x1fd, "from xAPIC to x2APIC mode registers stay");
	refuses(MSR_APIC_BASE, xapic, "from x2APIC to xAPIC");
	refuses(0x802, 0, "ID is read-only");
	refuses(0x80b, 1, "EOI takes zero only");
	refuses(0x830, 1u << 13, "a reserved bit of ICR");
	refuses(0x808, 0x100, "a reserved bit of TPR");
	refuses_read(0x80e, "there is no DFR");
	refuses_read(0x80b, "EOI is write-only");
	wrmsr(MSR_APIC_BASE, off);
	refuses_read(0x802, "a register's MSR while disabled");
	wrmsr(MSR_APIC_BASE, xapic);
	tap_is((long)apic_read(REG_SVR), 0xff, "and through disabled it is reset");
	irq_on();
}

/* ---- HVMOP_set_evtchn_upcall_vector ---- */

#define UPCALL 0x81u

static void take_events(void)
{
	struct vcpu_info *i = this_cpu()->info;
	uint64_t words;

	__atomic_store_n(&i->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
	words = __atomic_exchange_n(&i->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
	for (unsigned w = 0; w < 64; w++)
		if (words & UINT64_C(1) << w)
			__atomic_store_n(&event_shared->evtchn_pending[w], 0, __ATOMIC_SEQ_CST);
}

void test_upcall_vector(void)
{
	struct xen_hvm_evtchn_upcall_vector u = {.vcpu = 0, .vector = 7};
	struct evtchn_bind_ipi b = {.vcpu = 0};
	struct evtchn_send s;

	irq_off();
	tap_is(hypercall_hvm(HVMOP_set_evtchn_upcall_vector, &u), -XEN_EINVAL,
	       "no vector below 16");
	u.vector = UPCALL;
	u.vcpu = 77;
	tap_is(hypercall_hvm(HVMOP_set_evtchn_upcall_vector, &u), -XEN_ENOENT, "no vCPU 77");
	take_events();
	u.vcpu = 0;
	seen_clear(0);
	tap_is(hypercall_hvm(HVMOP_set_evtchn_upcall_vector, &u), 0, "a vector for upcalls");
	tap_is(hypercall_evtchn(EVTCHNOP_bind_ipi, &b), 0, "an event channel");
	s.port = b.port;
	event_unmask(b.port);
	seen[0].no_eoi = true;
	hypercall_evtchn(EVTCHNOP_send, &s);
	window();
	tap_is((long)seen[0].count[UPCALL], 1, "the upcall comes through the local APIC");
	tap_ok(apic_in_service(UPCALL), "and waits for EOI");
	take_events();
	hypercall_evtchn(EVTCHNOP_send, &s);
	window();
	tap_is((long)seen[0].count[UPCALL], 1, "the next is held back until then");
	seen[0].no_eoi = false;
	apic_write(REG_EOI, 0);
	window();
	tap_is((long)seen[0].count[UPCALL], 2, "and comes after");
	take_events();
}
