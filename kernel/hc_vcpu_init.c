/* SPDX-License-Identifier: MIT */
/*
 * VCPUOP_initialise: the first state of a further vCPU (xen/hvm/hvm_vcpu.h).
 * Every field is checked here, and the whole once more by the back end against
 * the rules of VM entry: a state that no CPU could be in is -EINVAL, never an entry
 * that fails later.
 */
#include "arch/x86_64/guest/cr.h"
#include "kernel/exit.h"
#include "kernel/hypercall.h"
#include "kernel/sched.h"
#include "kernel/string.h"

#define RFLAGS_FIXED BIT(1)
#define RFLAGS_VM    BIT(17)
#define RFLAGS_OK    (BITS(21, 0) & ~(BIT(3) | BIT(5) | BIT(15) | RFLAGS_VM))

#define AR_UNUSED   0xf000u
#define AR_CODE64   (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_L | SEG_ATTR_G | 0xb)
#define AR_DATA     (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_DB | SEG_ATTR_G | 0x3)
#define AR_TSS_BUSY (SEG_ATTR_P | 0xb)
#define AR_LDT      (SEG_ATTR_P | 0x2)
#define LIMIT_FLAT  0xffffffffu
#define LIMIT_TSS   0x67u

static struct guest_segment segment(uint64_t base, uint32_t limit, uint16_t attributes)
{
	return (struct guest_segment){
	    .attributes = attributes, .limit = attributes ? limit : 0, .base = base};
}

/* A code or data segment as hvm_vcpu.h describes _ar; 0 is "not usable". */
static bool segment_ok(uint16_t ar, uint32_t limit, bool code)
{
	if (ar == 0)
		return !code;
	if ((ar & AR_UNUSED) || !(ar & SEG_ATTR_P) || !(ar & SEG_ATTR_S))
		return false;
	if (code != !!(ar & 0x8) || SEG_ATTR_DPL(ar) != 0 || !(ar & 0x1))
		return false;
	if (!code && (ar & SEG_ATTR_L))
		return false;
	/* Granularity and limit must agree (SDM vol. 3, 26.3.1.2). */
	if (ar & SEG_ATTR_G)
		return (limit & 0xfff) == 0xfff;
	return !(limit >> 20);
}

static void init_common(struct guest_state *s)
{
	s->dr7 = 0x400;
	s->gdtr.limit = s->idtr.limit = 0;
	s->ldtr = segment(0, 0, AR_LDT);
	s->fs = s->gs = s->ds;
	s->fs.base = s->gs.base = 0;
	s->efer = cr_efer_lma(s->efer & ~EFER_LMA, s->cr0);
}

static bool init_32(const struct vcpu_hvm_x86_32 *c, struct guest_regs *r, struct guest_state *s)
{
	const uint32_t gpr[8] = {c->eax, c->ecx, c->edx, c->ebx, c->esp, c->ebp, c->esi, c->edi};
	uint16_t pads = c->pad2[0] | c->pad2[1] | c->pad2[2];

	if (c->pad1 || pads || (c->tr_ar & AR_UNUSED))
		return false;
	if (!segment_ok(c->cs_ar, c->cs_limit, true) || !segment_ok(c->ds_ar, c->ds_limit, false) ||
	    !segment_ok(c->ss_ar, c->ss_limit, false) || !segment_ok(c->es_ar, c->es_limit, false))
		return false;
	if (c->cs_ar & SEG_ATTR_L || c->eip > c->cs_limit)
		return false;
	for (unsigned i = 0; i < 8; i++)
		r->gpr[i] = gpr[i];
	r->rip = c->eip;
	r->rflags = c->eflags;
	s->cr0 = c->cr0;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->efer = c->efer;
	s->cs = segment(c->cs_base, c->cs_limit, c->cs_ar);
	s->ds = segment(c->ds_base, c->ds_limit, c->ds_ar);
	s->ss = segment(c->ss_base, c->ss_limit, c->ss_ar);
	s->es = segment(c->es_base, c->es_limit, c->es_ar);
	/* Xen takes 0 for the state after INIT: a busy TSS. */
	s->tr = segment(c->tr_base, c->tr_ar ? c->tr_limit : LIMIT_TSS,
	                c->tr_ar ? c->tr_ar : AR_TSS_BUSY);
	return (s->tr.attributes & ~SEG_ATTR_G) == AR_TSS_BUSY;
}

static bool init_64(const struct vcpu_hvm_x86_64 *c, struct guest_regs *r, struct guest_state *s)
{
	const uint64_t gpr[8] = {c->rax, c->rcx, c->rdx, c->rbx, c->rsp, c->rbp, c->rsi, c->rdi};

	/* Directly in long mode, or not at all. */
	if (!(c->cr0 & CR0_PG) || !(c->cr0 & CR0_PE) || !(c->cr4 & CR4_PAE) ||
	    !(c->efer & EFER_LME))
		return false;
	if ((uint64_t)((int64_t)(c->rip << 16) >> 16) != c->rip || c->cr3 >> guest_phys_bits)
		return false;
	for (unsigned i = 0; i < 8; i++)
		r->gpr[i] = gpr[i];
	r->rip = c->rip;
	r->rflags = c->rflags;
	s->cr0 = c->cr0;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->efer = c->efer;
	s->cs = segment(0, LIMIT_FLAT, AR_CODE64);
	s->ds = s->es = s->ss = segment(0, LIMIT_FLAT, AR_DATA);
	s->tr = segment(0, LIMIT_TSS, AR_TSS_BUSY);
	return true;
}

static bool init_state(const struct vcpu_hvm_context *c, struct guest_regs *r,
                       struct guest_state *s)
{
	bool ok = false;

	memset(r, 0, sizeof(*r));
	memset(s, 0, sizeof(*s));
	if (c->pad)
		return false;
	if (c->mode == VCPU_HVM_MODE_32B)
		ok = init_32(&c->cpu_regs.x86_32, r, s);
	else if (c->mode == VCPU_HVM_MODE_64B)
		ok = init_64(&c->cpu_regs.x86_64, r, s);
	/* As for its own writes: nothing that CPUID hides, even if this CPU has it. */
	if (!ok || (r->rflags & ~RFLAGS_OK) || (s->cr4 & ~exit_limits()->cr4) ||
	    (s->efer & ~(exit_limits()->efer | EFER_LMA)) || !(s->cr0 & CR0_PE))
		return false;
	r->rflags |= RFLAGS_FIXED;
	s->cr0 |= CR0_ET;
	init_common(s);
	return cr_state_valid(s);
}

/*
 * Two vCPUs may ask this for the same third one at once, and it may be sent a
 * start-up IPI at the same time: only one that is down and on no CPU is taken, and it
 * comes onto none while it is held. One that has a state keeps it.
 */
static bool init_claim(struct vcpu *v)
{
	bool ok;

	sched_lock();
	ok = !v->initialised && !v->held && !v->running && v->state == VCPU_DOWN;
	if (ok)
		v->held = true;
	sched_unlock();
	return ok;
}

static void init_release(struct vcpu *v, bool ok)
{
	sched_lock();
	v->held = false;
	if (ok) {
		v->initialised = true;
		v->waits_sipi = v->halted = false;
	}
	sched_enqueue(v); /* if it was called meanwhile */
	sched_unlock();
}

int64_t hc_vcpu_initialise(struct hypercall *h, struct vcpu *v)
{
	struct vcpu_hvm_context c;
	struct guest_state s;
	struct guest_regs r;
	bool ok;
	int64_t rc = hc_in(h, &c, 2, sizeof(c));

	if (rc)
		return rc;
	if (!init_state(&c, &r, &s))
		return -XEN_EINVAL;
	if (!init_claim(v))
		return -XEN_EEXIST;
	/* A vCPU's state is set where it is loaded, and one vCPU is loaded at a time. */
	hvm->vcpu_unload(&h->v->hv);
	hvm->vcpu_load(&v->hv);
	v->hv.regs = r;
	ok = hvm->vcpu_set_state(&v->hv, &s);
	hvm->vcpu_unload(&v->hv);
	hvm->vcpu_load(&h->v->hv);
	init_release(v, ok);
	return ok ? 0 : -XEN_EINVAL;
}
