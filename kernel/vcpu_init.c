/* SPDX-License-Identifier: MIT */
/*
 * INIT and start-up IPIs (SDM vol. 3, "MP Initialization Protocol Algorithm for
 * MP Systems", "Processor State After Reset", "VM-entry ... wait-for-SIPI").
 *
 * Both are carried out where the vCPU is loaded, never by the sender: it posts
 * them to the local APIC and brings the vCPU onto some CPU (vcpu_signal), and here it
 * finds out what it is to be.
 *
 *	INIT		all registers as after a reset, then DOWN: waits_sipi
 *	start-up IPI	if waits_sipi: real mode at page << 12; nothing otherwise
 *
 * A vCPU other than 0 waits for a start-up IPI from its making on. The boot CPU
 * after an INIT would begin at the firmware's reset vector; a PVH guest has no firmware,
 * so it waits as the others do, as in Xen.
 */
#include "arch/x86_64/guest/cpuid.h"
#include "arch/x86_64/guest/cr.h"
#include "kernel/apic.h"
#include "kernel/exit.h"
#include "kernel/sched.h"

#define RFLAGS_FIXED BIT(1)
#define DR6_RESET    0xffff0ff0u
#define DR7_RESET    0x400u
#define AR_CODE      (SEG_ATTR_P | SEG_ATTR_S | 0xb)
#define AR_DATA      (SEG_ATTR_P | SEG_ATTR_S | 0x3)
#define AR_LDT       (SEG_ATTR_P | 0x2)
#define AR_TSS_BUSY  (SEG_ATTR_P | 0xb)
#define REAL_LIMIT   0xffffu

/* Table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT", but for CS:
 * there it is what the start-up IPI makes of it. CR0.CD and NW are off, as in Xen. */
static struct guest_state init_state(uint8_t page)
{
	const struct guest_segment data = {.attributes = AR_DATA, .limit = REAL_LIMIT};

	return (struct guest_state){
	    .cr0 = CR0_ET,
	    .dr7 = DR7_RESET,
	    .cs = {.selector = (uint16_t)(page << 8),
	           .attributes = AR_CODE,
	           .limit = REAL_LIMIT,
	           .base = (uint64_t)page << 12},
	    .ds = data,
	    .es = data,
	    .fs = data,
	    .gs = data,
	    .ss = data,
	    .tr = {.attributes = AR_TSS_BUSY,               .limit = REAL_LIMIT},
	    .ldtr = {.attributes = AR_LDT,                                 .limit = REAL_LIMIT},
	    .gdtr = {.limit = REAL_LIMIT},
	    .idtr = {.limit = REAL_LIMIT             },
	};
}

/* MSRs, XCR0 and the x87 and vector registers keep what they have. v is loaded here. */
static void vcpu_reset(struct vcpu *v, uint8_t page)
{
	const struct guest_state s = init_state(page);
	bool ok;

	hvm->vcpu_drop_events(&v->hv);
	/* Debug registers are in the CPU while it is loaded. */
	hvm->vcpu_unload(&v->hv);
	for (unsigned i = 0; i < 4; i++)
		v->hv.guest_dr[i] = 0;
	v->hv.guest_dr6 = DR6_RESET;
	hvm->vcpu_load(&v->hv);
	v->hv.regs = (struct guest_regs){.rflags = RFLAGS_FIXED};
	v->hv.regs.gpr[RDX] = exit_cpu_signature();
	ok = hvm->vcpu_set_state(&v->hv, &s);
	ASSERT(ok); /* nothing in it is the guest's */
	hvm->vcpu_write_cr(&v->hv, 8, 0);
	v->halted = v->offered = false;
}

static void vcpu_take_init(struct vcpu *v)
{
	const struct vlapic_todo t = {.what = VLAPIC_DO_TPR | VLAPIC_DO_TIMER};

	vlapic_init(&v->apic);
	vcpu_reset(v, 0);
	apic_follow(v, &t);
	v->initialised = false;
	v->waits_sipi = true;
	if (v->wait_ticket) /* the access that waited for memory will not be made */
		vcpu_wait_over(v);
}

bool vcpu_init_events(struct vcpu *v, uint32_t events)
{
	if (__builtin_expect(!(events & (VLAPIC_INIT | VLAPIC_STARTUP)) && !v->waits_sipi, 1))
		return true;
	if (events & VLAPIC_INIT)
		vcpu_take_init(v);
	if ((events & VLAPIC_STARTUP) && v->waits_sipi) {
		vcpu_reset(v, VLAPIC_PAGE(events));
		v->waits_sipi = false;
		v->initialised = true;
	}
	if (v->waits_sipi)
		vcpu_stop_unless(v, VLAPIC_INIT | VLAPIC_STARTUP);
	return !v->waits_sipi;
}
