/* SPDX-License-Identifier: MIT */
/*
 * Into guest mode and back. The hot path: RIP, RSP and RFLAGS are written only
 * if common code has changed them, an event only if there is one, and after the
 * exit only those fields are read that its reason calls for.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"
#include "kernel/log.h"
#include "mm/space.h"

#define unlikely(condition) __builtin_expect(!!(condition), 0)

static inline void write_registers(struct hvm_vcpu *v)
{
	struct vmx_vcpu *k = v->vmx;

	if (v->regs.rip != k->rip)
		vmwrite(GUEST_RIP, v->regs.rip);
	if (v->regs.gpr[RSP] != k->rsp)
		vmwrite(GUEST_RSP, v->regs.gpr[RSP]);
	if (v->regs.rflags != k->rflags)
		vmwrite(GUEST_RFLAGS, v->regs.rflags);
}

static inline void read_registers(struct hvm_vcpu *v)
{
	struct vmx_vcpu *k = v->vmx;

	v->regs.rip = k->rip = vmread(GUEST_RIP);
	v->regs.gpr[RSP] = k->rsp = vmread(GUEST_RSP);
	v->regs.rflags = k->rflags = vmread(GUEST_RFLAGS);
}

/*
 * While the guest's interrupts are off the preemption timer runs beside the
 * APIC's. A CPU does not need it: with external-interrupt exiting an interrupt
 * exits whatever RFLAGS.IF is (SDM vol. 3, 24.6.1). Bochs 2.7 forgets that at a
 * VM entry with IF clear, and lets the guest run on for as long as it likes.
 */
static __attribute__((noinline)) void switch_timer(struct vmx_vcpu *k, bool on)
{
	k->timer = on;
	if (!vmx_controls.preemption_timer)
		return;
	vmwrite(PIN_CONTROLS, vmx_controls.pin | (on ? PIN_PREEMPTION_TIMER : 0));
}

static void read_exit(struct vmx_raw_exit *raw, uint32_t reason)
{
	unsigned needs = vmx_exit_needs(reason);

	raw->reason = reason;
	if (needs & NEED_LENGTH)
		raw->length = (uint32_t)vmread(EXIT_INSTR_LENGTH);
	if (!(needs & ~NEED_LENGTH))
		return;
	if (needs & NEED_QUALIFICATION)
		raw->qualification = vmread(EXIT_QUALIFICATION);
	if (needs & NEED_GPA)
		raw->gpa = vmread(GUEST_PHYSICAL);
	if (needs & NEED_IDT) {
		raw->idt_info = (uint32_t)vmread(IDT_INFO);
		if (raw->idt_info & INTR_VALID) {
			raw->idt_error = (uint32_t)vmread(IDT_ERROR);
			raw->length = (uint32_t)vmread(EXIT_INSTR_LENGTH);
		}
	}
	if (needs & NEED_INTR) {
		raw->intr_info = (uint32_t)vmread(EXIT_INTR_INFO);
		raw->intr_error = (uint32_t)vmread(EXIT_INTR_ERROR);
	}
	if (needs & NEED_CR)
		raw->cr0 = vmx_cr0();
}

/* The entry did not happen: let our own checker say why. */
static void bad_entry(struct vmexit *x, uint64_t reason, uint64_t error)
{
	const struct vmx_rule *r;

	/* The machine's memory is broken, not the guest (26.9). */
	if (REASON_BASIC(reason) == REASON_MACHINE_CHECK)
		env_panic("machine check during a VM entry");
	r = vmx_check_current();
	x->kind = EXIT_BAD_STATE;
	x->hw_reason = reason;
	x->length = 0;
	x->text = r ? r->name : "";
	log_error("VM entry refused, exit reason %llx, instruction error %llu: %s%s",
	          (unsigned long long)reason, (unsigned long long)error,
	          r ? "SDM vol. 3, " : "no rule of ours is broken", r ? r->section : "");
	if (r)
		log_error("VM entry refused: %s", r->name);
}

/* The first entry of each vCPU is checked: an emulator may let through what a CPU will not. */
static void check_first_entry(void)
{
	const struct vmx_rule *r = vmx_check_current();

	if (r)
		log_error("a first VM entry breaks SDM vol. 3, %s: %s", r->section, r->name);
}

static void after_exit(struct hvm_vcpu *v, struct vmexit *x, const struct vmx_raw_exit *raw,
                       const struct vmx_aftermath *a)
{
	if (x->kind == EXIT_BAD_STATE) {
		bad_entry(x, raw->reason, 0);
		return;
	}
	vmx_event_exit(v, a);
	if (a->host_nmi)
		asm volatile("int $2" ::: "memory"); /* its IRET lets NMIs in again */
	if (a->host_mce)
		asm volatile("int $18" ::: "memory");
	if (x->kind == EXIT_WINDOW) {
		vmx_window(v->vmx, PROC_INTERRUPT_WINDOW, false);
		vmx_window(v->vmx, PROC_NMI_WINDOW, false);
	}
	if (x->kind == EXIT_EXCEPTION && x->exception.vector == 1)
		v->guest_dr6 = read_dr6();
	v->regs.rip += a->step;
	if (a->reads_cr8) {
		v->regs.gpr[a->gpr] = v->vmx->cr8;
		vmx_vcpu_skip(v, x);
	}
}

static __attribute__((noinline)) void flush_space(const struct vmx_vcpu *k)
{
	if (vmx_controls.invept_single)
		invept(INV_SINGLE, k->eptp);
	else
		invept(INV_ALL, 0);
}

/*
 * What is not there at most entries. False: the guest is not to be entered, *x says why. A flush that
 * was asked for is made all the same: the space counts as flushed on this CPU, for its other vCPUs
 * too.
 */
static __attribute__((noinline)) bool before_entry(struct hvm_vcpu *v, bool flush, struct vmexit *x)
{
	struct vmx_vcpu *k = v->vmx;

	if (k->attention & ATTENTION_TRIPLE) {
		if (flush)
			flush_space(k);
		flush_leave(k->host_cpu);
		*x = (struct vmexit){.kind = EXIT_SHUTDOWN, .hw_reason = REASON_TRIPLE_FAULT};
		return false;
	}
	vmx_event_entry(v);
	if (k->attention & ATTENTION_FIRST) {
		k->attention &= ~(uint32_t)ATTENTION_FIRST;
		write_registers(v);
		check_first_entry();
	}
	if (k->attention & ATTENTION_SPEC)
		spec_before_entry();
	return true;
}

/* An exit of which there is more to know than the instruction's length. */
static __attribute__((noinline)) void decode(struct hvm_vcpu *v, uint32_t reason, struct vmexit *x)
{
	struct vmx_aftermath after;
	struct vmx_raw_exit raw;

	read_exit(&raw, reason);
	if (!(reason & REASON_ENTRY_FAILED))
		v->vmx->launched = true;
	vmx_exit_decode(&raw, &v->regs, x, &after);
	if (after.any)
		after_exit(v, x, &raw, &after);
}

/*
 * Tell what the CPU has logged, and make the log empty again. Before flush_leave: mm/dirty_log.c
 * says what depends on it. The low 12 bits of an entry are zero (28.2.6); on Bochs 2.7 they are
 * not.
 */
static inline void empty_log(struct hvm_vcpu *v)
{
	const uint64_t *log = v->vmx->log;
	uint64_t index = vmread(GUEST_PML_INDEX);

	if (index == PML_ENTRIES - 1)
		return;
	for (unsigned i = vmx_log_first(index); i < PML_ENTRIES; i++)
		dirty_logged(v->space, gfn_of_addr(log[i]));
	vmwrite(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

void vmx_vcpu_run(struct hvm_vcpu *v, bool flush, struct vmexit *x)
{
	struct vmx_vcpu *k = v->vmx;
	uint64_t reason;

	if (unlikely(k->event_info | k->attention) && !before_entry(v, flush, x))
		return;
	if (unlikely(k->timer == !!(v->regs.rflags & RFLAGS_IF)))
		switch_timer(k, !k->timer);
	write_registers(v);
	if (unlikely(flush))
		flush_space(k);
	if (unlikely(vmx_enter(&v->regs, k->launched, &k->host_rsp))) {
		flush_leave(k->host_cpu);
		bad_entry(x, 0, vmread(INSTRUCTION_ERROR));
		return;
	}
	if (k->log)
		empty_log(v);
	flush_leave(k->host_cpu);
	read_registers(v);
	reason = vmread(EXIT_REASON);
	if (vmx_exit_is_plain(reason)) {
		k->launched = true;
		x->kind = (enum exit_kind)vmx_reasons[reason].kind;
		x->length = (uint8_t)vmread(EXIT_INSTR_LENGTH);
		x->hw_reason = reason;
		return;
	}
	decode(v, (uint32_t)reason, x);
}

/* A shadow, a single step, or 4 GiB crossed: seldom. */
static __attribute__((noinline)) void skip_specially(struct hvm_vcpu *v, uint64_t shadow)
{
	if (v->regs.rip >> 32 && !(vmx_vcpu_mode(v) & VCPU_MODE_64))
		v->regs.rip = (uint32_t)v->regs.rip;
	if (shadow & (BLOCKING_STI | BLOCKING_MOV_SS))
		vmwrite(GUEST_INTERRUPTIBILITY, shadow & ~(BLOCKING_STI | BLOCKING_MOV_SS));
	if (v->regs.rflags & RFLAGS_TF)
		vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | BIT(14));
}

/* SDM vol. 3, 24.4.2: the shadow ends with the instruction; 6.9.1: TF traps after it. */
void vmx_vcpu_skip(struct hvm_vcpu *v, const struct vmexit *x)
{
	uint64_t shadow = vmread(GUEST_INTERRUPTIBILITY), old = v->regs.rip;

	v->regs.rip = old + x->length;
	if (unlikely(shadow & (BLOCKING_STI | BLOCKING_MOV_SS)) ||
	    unlikely(v->regs.rflags & RFLAGS_TF) || unlikely((v->regs.rip ^ old) >> 32))
		skip_specially(v, shadow);
}
