/* SPDX-License-Identifier: MIT */
/*
 * The model-specific registers of a guest: one table; what is not in it does not exist.
 * Those of the local APIC in x2APIC mode have a table of their own (vlapic_regs.c).
 */
#ifndef ARCH_GUEST_MSR_H
#define ARCH_GUEST_MSR_H

#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

enum msr_read {
	MSR_READ_VALUE,   /* a constant: .value */
	MSR_READ_BACKEND, /* hvm->vcpu_read_msr */
	MSR_READ_TSC,     /* the time stamp counter */
	MSR_READ_APIC_BASE,
	MSR_READ_DENY,
};

enum msr_write {
	MSR_WRITE_DENY,
	MSR_WRITE_SAME,   /* only what a read gives: nothing changes */
	MSR_WRITE_IGNORE, /* any value; nothing changes */
	MSR_WRITE_BACKEND,
	MSR_WRITE_HYPERCALL_PAGE,
	MSR_WRITE_APIC_BASE, /* guest/vlapic.c judges */
};

enum msr_form { MSR_ANY, MSR_CANONICAL, MSR_LOW32 };

struct msr_row {
	uint32_t msr;
	enum msr_read read;
	enum msr_write write;
	enum msr_form form; /* of a value that may be written */
	uint64_t value;
	uint64_t reserved; /* bits that must be zero */
	const char *name;
};

/* NULL: #GP(0) for reads and writes. */
const struct msr_row *msr_find(uint32_t msr);
/* Has the value the form that the register takes? Back ends check further. */
bool msr_value_allowed(const struct msr_row *row, uint64_t value);

extern const struct msr_row msr_table[];
extern const unsigned msr_rows;

#endif
