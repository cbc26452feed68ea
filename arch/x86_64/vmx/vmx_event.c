/* SPDX-License-Identifier: MIT */
/*
 * Events for the guest: one at most is ready for the next entry (SDM vol. 3,
 * 26.6), be it new or one whose delivery an exit interrupted. An interrupt
 * that cannot be taken yet is not queued: the interrupt window tells when, and
 * common code, where event channels stay pending, offers again. An NMI waits
 * here, behind the NMI window.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm_event.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"

#define DR7_GD BIT(13)

void vmx_window(struct vmx_vcpu *k, uint32_t bit, bool on)
{
	uint32_t proc = on ? k->proc | bit : k->proc & ~bit;

	if (proc == k->proc)
		return;
	k->proc = proc;
	vmwrite(PROC_CONTROLS, proc);
}

static struct hvm_event as_event(const struct vmx_vcpu *k)
{
	unsigned type = INTR_TYPE(k->event_info);
	struct hvm_event e = {.vector = INTR_VECTOR(k->event_info)};

	if (type == INTR_TYPE_EXTERNAL || type == INTR_TYPE_SOFT_INT)
		e.type = EVENT_INTERRUPT;
	else if (type == INTR_TYPE_NMI)
		e.type = EVENT_NMI;
	else
		e.type = EVENT_EXCEPTION;
	e.has_error = k->event_info & INTR_ERROR_CODE;
	e.error = k->event_error;
	return e;
}

static void queue(struct vmx_vcpu *k, unsigned type, uint8_t vector, bool has_error, uint32_t error)
{
	k->event_info =
	    (uint32_t)(INTR_VALID | (has_error ? INTR_ERROR_CODE : 0) | type << 8 | vector);
	k->event_error = has_error ? error : 0;
	k->event_length = 0;
}

/* In real mode no exception has an error code (26.2.1.3). */
static void queue_exception(struct hvm_vcpu *v, const struct hvm_event *e)
{
	bool has_error = e->has_error && (vmx_cr0() & CR0_PE);

	queue(v->vmx, INTR_TYPE_EXCEPTION, e->vector, has_error, e->error);
	if (e->vector != 1)
		return;
	/* #DB: common code has merged DR6; the CPU clears GD on a delivery (17.2.4). */
	if (vmx_is_live(v))
		write_dr6(v->guest_dr6);
	vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DR7_GD);
}

static void inject_exception(struct hvm_vcpu *v, const struct hvm_event *e)
{
	struct vmx_vcpu *k = v->vmx;
	bool busy = k->event_info & INTR_VALID;
	struct hvm_event first = as_event(k), result;

	if (hvm_event_merge(busy ? &first : NULL, e, &result) == EVENT_TRIPLE_FAULT) {
		k->attention |= ATTENTION_TRIPLE;
		return;
	}
	/* A displaced NMI waits here, an interrupt goes back to kernel/. */
	if (busy && first.type == EVENT_NMI)
		k->attention |= ATTENTION_NMI;
	if (busy && INTR_TYPE(k->event_info) == INTR_TYPE_EXTERNAL)
		v->displaced = (uint16_t)(first.vector + 1);
	queue_exception(v, &result);
}

void vmx_vcpu_inject(struct hvm_vcpu *v, const struct hvm_event *e)
{
	bool borrowed = vmx_borrow(v);

	switch (e->type) {
	case EVENT_EXCEPTION:
		inject_exception(v, e);
		break;
	case EVENT_NMI:
		v->vmx->attention |= ATTENTION_NMI;
		break;
	case EVENT_INTERRUPT:
		if (!(v->vmx->event_info & INTR_VALID))
			queue(v->vmx, INTR_TYPE_EXTERNAL, e->vector, false, 0);
		break;
	}
	vmx_return(v, borrowed);
}

bool vmx_vcpu_offer(struct hvm_vcpu *v, int vector)
{
	struct vmx_vcpu *k = v->vmx;
	uint64_t blocked;

	if (vector < 0) {
		vmx_window(k, PROC_INTERRUPT_WINDOW, false);
		return false;
	}
	blocked = vmread(GUEST_INTERRUPTIBILITY);
	if ((k->event_info & INTR_VALID) || vmx_nmi_first(k->attention & ATTENTION_NMI, blocked) ||
	    !(v->regs.rflags & RFLAGS_IF) || (blocked & (BLOCKING_STI | BLOCKING_MOV_SS))) {
		vmx_window(k, PROC_INTERRUPT_WINDOW, true);
		return false;
	}
	vmx_window(k, PROC_INTERRUPT_WINDOW, false);
	queue(k, INTR_TYPE_EXTERNAL, (uint8_t)vector, false, 0);
	return true;
}

void vmx_vcpu_drop_events(struct hvm_vcpu *v)
{
	struct vmx_vcpu *k = v->vmx;
	bool borrowed = vmx_borrow(v);

	vmx_window(k, PROC_INTERRUPT_WINDOW, false);
	vmx_window(k, PROC_NMI_WINDOW, false);
	k->event_info = 0;
	k->attention &= ~(uint32_t)(ATTENTION_NMI | ATTENTION_TRIPLE);
	v->displaced = 0;
	vmx_return(v, borrowed);
}

/* A waiting NMI goes before nothing else that is queued, and not into a shadow. */
static void try_nmi(struct vmx_vcpu *k)
{
	uint64_t blocked = BLOCKING_NMI | BLOCKING_STI | BLOCKING_MOV_SS;

	if ((k->event_info & INTR_VALID) || (vmread(GUEST_INTERRUPTIBILITY) & blocked)) {
		vmx_window(k, PROC_NMI_WINDOW, true);
		return;
	}
	k->attention &= ~(uint32_t)ATTENTION_NMI;
	queue(k, INTR_TYPE_NMI, 2, false, 0);
}

/*
 * Just before an entry. The delivery of an event ends a shadow (26.6.1), and an
 * entry with both TF in a shadow and no pending single-step is refused, so the
 * shadow is ended here.
 */
void vmx_event_entry(struct hvm_vcpu *v)
{
	struct vmx_vcpu *k = v->vmx;
	uint64_t shadow;

	if (k->attention & ATTENTION_NMI)
		try_nmi(k);
	if (!(k->event_info & INTR_VALID))
		return;
	shadow = vmread(GUEST_INTERRUPTIBILITY);
	if (shadow & (BLOCKING_STI | BLOCKING_MOV_SS))
		vmwrite(GUEST_INTERRUPTIBILITY, shadow & ~(BLOCKING_STI | BLOCKING_MOV_SS));
	vmwrite(ENTRY_INTR_INFO, k->event_info);
	if (k->event_info & INTR_ERROR_CODE)
		vmwrite(ENTRY_INTR_ERROR, k->event_error);
	if (k->event_length)
		vmwrite(ENTRY_INSTR_LENGTH, k->event_length);
	k->event_info = 0; /* the CPU clears its copy at the exit (24.8.3) */
}

void vmx_event_exit(struct hvm_vcpu *v, const struct vmx_aftermath *a)
{
	struct vmx_vcpu *k = v->vmx;
	uint64_t shadow;

	if (a->again_info) {
		k->event_info = a->again_info;
		k->event_error = a->again_error;
		k->event_length = a->again_length;
	}
	if (a->nmi_unblocked) {
		shadow = vmread(GUEST_INTERRUPTIBILITY);
		vmwrite(GUEST_INTERRUPTIBILITY, shadow | BLOCKING_NMI);
	} else if (a->again_info && INTR_TYPE(a->again_info) == INTR_TYPE_NMI) {
		shadow = vmread(GUEST_INTERRUPTIBILITY);
		vmwrite(GUEST_INTERRUPTIBILITY, shadow & ~BLOCKING_NMI); /* 26.3.1.5 */
	}
}
