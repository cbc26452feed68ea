/* SPDX-License-Identifier: MIT */
/* Interrupts between CPUs: what ICR says and whom it reaches (section "Issuing Interprocessor
 * Interrupts"). */
#include "arch/x86_64/guest/vlapic.h"

#define XAPIC_ALL  0xffu
#define X2APIC_ALL 0xffffffffu
#define DFR_FLAT   0xfu /* bits 31..28; 0 is the cluster model */

/* Table "Valid Combinations for the ICR": only a fixed interrupt may go to oneself by shorthand. */
static bool vlapic_combination_valid(const struct vlapic_ipi *ipi)
{
	bool fixed = ipi->mode == DELIVER_FIXED;

	if (ipi->mode != DELIVER_NMI && ipi->mode != DELIVER_INIT && ipi->mode != DELIVER_STARTUP &&
	    !fixed)
		return false; /* SMI, ExtINT, reserved */
	return fixed || (ipi->shorthand != TO_SELF && ipi->shorthand != TO_ALL);
}

bool vlapic_icr_decode(struct vlapic *a, struct vlapic_ipi *ipi)
{
	bool x2apic = vlapic_x2apic(a);
	uint32_t icr = a->icr;

	*ipi = (struct vlapic_ipi){
	    .vector = (uint8_t)icr,
	    .mode = (uint8_t)ICR_MODE(icr),
	    .shorthand = (uint8_t)ICR_SHORT(icr),
	    .logical = icr & ICR_LOGICAL,
	    .destination = x2apic ? a->icr_high : a->icr_high >> 24,
	};
	/* All ones are everybody; in xAPIC's logical mode by what the receivers' LDR hold. */
	if (x2apic)
		ipi->broadcast = ipi->destination == X2APIC_ALL;
	else
		ipi->broadcast = !ipi->logical && ipi->destination == XAPIC_ALL;
	/* INIT level de-assert: no CPU since the Pentium 4 does anything. */
	if (ipi->mode == DELIVER_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return false;
	if (ipi->mode == DELIVER_LOWEST) {
		vlapic_error(a, (uint32_t)ESR_REDIRECTABLE);
		return false;
	}
	if (ipi->mode == DELIVER_FIXED && ipi->vector < VECTOR_LEGAL) {
		vlapic_error(a, (uint32_t)ESR_SEND_ILLEGAL);
		return false;
	}
	return vlapic_combination_valid(ipi);
}

/* Section "Determining IPI Destination", logical mode; the model is the receiver's. */
static bool vlapic_logical_match(uint32_t destination, const struct vlapic *to)
{
	uint32_t ldr = to->ldr, mda;

	if (vlapic_x2apic(to)) {
		ldr = (to->id >> 4) << 16 | 1u << (to->id & 15); /* "Deriving Logical x2APIC ID" */
		return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff);
	}
	if (destination > XAPIC_ALL)
		return false;
	mda = destination;
	ldr >>= 24;
	if (to->dfr >> 28 == DFR_FLAT)
		return mda & ldr;
	return (mda >> 4 == 0xf || mda >> 4 == ldr >> 4) && (mda & ldr & 0xf);
}

bool vlapic_ipi_reaches(const struct vlapic *from, const struct vlapic_ipi *ipi,
                        const struct vlapic *to)
{
	/* Globally disabled: not there. By software: deaf to interrupts only. */
	if (!vlapic_enabled(to))
		return false;
	if (ipi->mode == DELIVER_FIXED && !(to->svr & SVR_ENABLE))
		return false;
	switch (ipi->shorthand) {
	case TO_SELF:
		return to == from;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return to != from;
	default:
		break;
	}
	if (ipi->broadcast)
		return true;
	if (ipi->logical)
		return vlapic_logical_match(ipi->destination, to);
	return ipi->destination == to->id;
}

void vlapic_ipi_post(struct vlapic *to, const struct vlapic_ipi *ipi)
{
	switch (ipi->mode) {
	case DELIVER_FIXED:
		vlapic_post(to, ipi->vector);
		break;
	case DELIVER_NMI:
		vlapic_post_event(to, (uint32_t)VLAPIC_NMI);
		break;
	case DELIVER_INIT:
		vlapic_post_init(to);
		break;
	case DELIVER_STARTUP:
		vlapic_post_startup(to, ipi->vector);
		break;
	}
}
