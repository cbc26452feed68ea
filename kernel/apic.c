/* SPDX-License-Identifier: MIT */
/* See apic.h. The registers are arch/x86_64/guest/vlapic_regs.c's; here is what a write brings
 * about. */
#include "kernel/apic.h"
#include "arch/x86_64/guest/cr.h"
#include "kernel/exit.h"

#define CR8 8u

/* To all that it reaches, the sender included. */
static void apic_send(struct vcpu *v, const struct vlapic_ipi *ipi)
{
	struct domain *d = v->domain;

	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *to = d->vcpus[i];

		if (!vlapic_ipi_reaches(&v->apic, ipi, &to->apic))
			continue;
		vlapic_ipi_post(&to->apic, ipi);
		if (to == v)
			continue; /* looks before its next entry */
		if (ipi->mode == DELIVER_FIXED)
			vcpu_notify(to);
		else
			vcpu_signal(to);
	}
}

void apic_follow(struct vcpu *v, const struct vlapic_todo *t)
{
	if (t->what & VLAPIC_DO_TPR)
		hvm->vcpu_write_cr(&v->hv, CR8, vlapic_cr8(&v->apic));
	if (t->what & VLAPIC_DO_TIMER)
		timer_set_apic(v, vlapic_timer_due(&v->apic));
	if (t->what & VLAPIC_DO_LOOK)
		v->look = true;
	if (t->what & VLAPIC_DO_IPI)
		apic_send(v, &t->ipi);
}

bool apic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	/* IRR shows what others have sent. */
	v->look = true;
	return vlapic_msr_read(&v->apic, msr, machine_ns(), value);
}

bool apic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct vlapic_todo t;

	if (!vlapic_msr_write(&v->apic, msr, value, machine_ns(), &t))
		return false;
	apic_follow(v, &t);
	return true;
}

bool apic_write_base(struct vcpu *v, uint64_t value)
{
	struct vlapic_todo t;

	if (!vlapic_base_write(&v->apic, value, exit_limits()->phys_bits, &t))
		return false;
	apic_follow(v, &t);
	return true;
}

void apic_write_cr8(struct vcpu *v, uint64_t value)
{
	vlapic_set_tpr(&v->apic, (uint32_t)(value & 15) << 4);
	v->look = true;
}

uint32_t apic_read(struct vcpu *v, uint32_t offset)
{
	uint32_t value = vlapic_mmio_read(&v->apic, offset, machine_ns());

	v->look = true; /* an error of the access may interrupt */
	return value;
}

void apic_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
	struct vlapic_todo t;

	vlapic_mmio_write(&v->apic, offset, value, machine_ns(), &t);
	apic_follow(v, &t);
}
