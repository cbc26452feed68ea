/* SPDX-License-Identifier: MIT */
/*
 * An access to the local APIC's page in xAPIC mode, by one of the few instructions
 * that guest/mmio_mov.c knows.
 *
 * The instruction is fetched once, through the guest's tables. Another vCPU may
 * have changed it, or the tables, since the CPU executed it; so what was decoded
 * must lead to the very address that the CPU told. If not, or if it is another
 * instruction, the guest is stopped.
 */
#include "arch/x86_64/guest/gva.h"
#include "arch/x86_64/guest/mmio_mov.h"
#include "kernel/apic.h"
#include "kernel/exit.h"
#include "kernel/guest_copy.h"
#include "kernel/xen_abi.h"

struct mmio {
	struct guest_copy copy;
	struct mmio_mov mov;
	unsigned mode; /* 16, 32, 64 */
};

static unsigned mmio_mode(const struct guest_copy *c)
{
	if (c->wide)
		return 64;
	return c->state.cs.attributes & SEG_ATTR_DB ? 32 : 16;
}

/* To the end of the page first: the next one need not be there. 0, an error, or HC_AGAIN. */
static int64_t mmio_fetch(struct mmio *m, const struct guest_regs *r)
{
	uint64_t at = r->rip + (m->copy.wide ? 0 : m->copy.state.cs.base);
	uint64_t n = min_u64(MMIO_MOV_MAX, PAGE_SIZE - (at & ~PAGE_MASK));
	uint8_t bytes[MMIO_MOV_MAX];
	enum mmio_mov_status st;
	int64_t rc = guest_copy_fetch(&m->copy, bytes, at, n);

	if (rc)
		return rc;
	st = mmio_mov_decode(bytes, (unsigned)n, m->mode, &m->mov);
	if (st == MMIO_MOV_SHORT) {
		rc = guest_copy_fetch(&m->copy, bytes + n, at + n, MMIO_MOV_MAX - n);
		if (rc)
			return rc;
		st = mmio_mov_decode(bytes, MMIO_MOV_MAX, m->mode, &m->mov);
	}
	return st == MMIO_MOV_OK ? 0 : -XEN_EINVAL;
}

/* Does what was decoded do what the CPU told? */
static int64_t mmio_same(struct mmio *m, struct vcpu *v, const struct vmexit *x)
{
	bool write = x->memory.access & FAULT_WRITE;
	uint64_t linear = mmio_mov_linear(&m->mov, &v->hv.regs, &m->copy.state, m->mode), gpa;
	int64_t rc = guest_copy_translate(&m->copy, linear, write ? GVA_WRITE : 0, &gpa);

	if (rc)
		return rc;
	return gpa == x->memory.gpa && write == m->mov.write ? 0 : -XEN_EINVAL;
}

static void mmio_perform(const struct mmio_mov *m, struct vcpu *v, uint32_t offset)
{
	uint64_t *gpr = &v->hv.regs.gpr[m->gpr & (GPRS - 1)];

	if (m->write)
		apic_write(v, offset, m->constant ? m->value : (uint32_t)*gpr);
	else
		*gpr = apic_read(v, offset);
}

bool exit_mmio(struct vcpu *v, const struct vmexit *x)
{
	struct vmexit skip = *x;
	struct mmio m;
	int64_t rc;

	if ((x->memory.gpa & PAGE_MASK) != VLAPIC_BASE || !vlapic_xapic(&v->apic) ||
	    (x->memory.access & (FAULT_EXEC | FAULT_GUEST_WALK)))
		return false;
	guest_copy_begin(&m.copy, v, hvm->vcpu_mode(&v->hv) & VCPU_MODE_64);
	guest_copy_state(&m.copy);
	m.mode = mmio_mode(&m.copy);
	rc = m.mode == 16 ? -XEN_EINVAL : mmio_fetch(&m, &v->hv.regs);
	if (!rc)
		rc = mmio_same(&m, v, x);
	guest_copy_end(&m.copy);
	if (rc == HC_AGAIN)
		return true; /* it waits for memory; the instruction runs again */
	if (rc) {
		domain_crash(v, "it used an instruction other than a 32-bit MOV, or changed it "
		                "meanwhile, on its local APIC's registers");
		return true;
	}
	mmio_perform(&m.mov, v, (uint32_t)(x->memory.gpa & ~PAGE_MASK));
	skip.length = m.mov.length;
	hvm->vcpu_skip(&v->hv, &skip);
	return true;
}
