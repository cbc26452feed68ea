/* SPDX-License-Identifier: MIT */
/* What exits: the intercept words and the MSR permission map. Pure; one table each. */
#ifndef ARCH_SVM_CONTROLS_H
#define ARCH_SVM_CONTROLS_H

#include "arch/x86_64/svm/svm.h"

enum intercept_choice {
	INTERCEPT_SET,
	INTERCEPT_EXCUSED,   /* never set; the reason says why that is safe */
	INTERCEPT_ON_DEMAND, /* clear in the table, set by svm.c while it is needed */
};

/* A row covers the bits first .. last of one word. */
struct intercept_row {
	enum intercept_word word;
	uint8_t first, last;
	enum intercept_choice choice;
	const char *reason;
};

extern const struct intercept_row svm_intercept_rows[];
extern const unsigned svm_nr_intercept_rows;

/* The words as a new VMCB has them. */
void svm_intercepts(uint32_t words[INTERCEPT_WORDS]);

/* ---- MSRs that a guest reads or writes without an exit ---- */

#define MSRPM_BYTES 8192u

struct msr_row {
	uint32_t msr;
	bool read, write;   /* without an exit */
	bool needs_tsc_aux; /* only where the CPU has TSC_AUX */
	const char *reason;
};

extern const struct msr_row svm_msr_rows[];
extern const unsigned svm_nr_msr_rows;

/* All bits set (exit) but the table's. */
void svm_msrpm_build(uint8_t map[MSRPM_BYTES], bool cpu_has_tsc_aux);

/* Number of the read bit of an MSR in the map, the write bit is the next; -1: always exits. */
int svm_msrpm_bit(uint32_t msr);

/* The consistency check of VMRUN (15.5.1) that this VMCB fails, as a sentence; "" if none
 * that we know. phys_bits: of the machine. */
const char *svm_vmrun_rule(const struct vmcb *b, unsigned phys_bits);

#endif
