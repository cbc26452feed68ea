/* SPDX-License-Identifier: MIT */
/*
 * A guest CPU's registers as common code sees them, the same on Intel and AMD.
 * The order of the general registers is the hardware's encoding (SDM vol. 2,
 * table 2-2), so that a decoded register number indexes the array.
 */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#include "mm/leaf/types.h"

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPRS };

/* Held in memory between exits. The back end fills all of it at each exit. */
struct guest_regs {
	uint64_t gpr[GPRS];
	uint64_t rip, rflags;
};

struct guest_segment {
	uint16_t selector;
	uint16_t attributes; /* as in the VMCB: type 3..0, S 4, DPL 6..5, P 7, AVL 8, L 9, D/B 10, G
	                        11 */
	uint32_t limit;      /* in bytes, granularity applied */
	uint64_t base;
};

#define SEG_ATTR_S      0x010u
#define SEG_ATTR_P      0x080u
#define SEG_ATTR_L      0x200u
#define SEG_ATTR_DB     0x400u
#define SEG_ATTR_G      0x800u
#define SEG_ATTR_DPL(a) (((a) >> 5) & 3u)

/* The state that is fetched only on demand: it costs reads of the VMCS or VMCB. */
struct guest_state {
	uint64_t cr0, cr2, cr3, cr4; /* as the guest believes them to be */
	uint64_t efer;
	uint64_t dr7;
	struct guest_segment cs, ds, es, fs, gs, ss, tr, ldtr, gdtr, idtr;
	unsigned cpl;
};

#endif
