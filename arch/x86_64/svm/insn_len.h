/* SPDX-License-Identifier: MIT */
/*
 * Length and operands of those instructions that exit, for CPUs without
 * next-RIP save. Pure; sees nothing but bytes.
 */
#ifndef ARCH_SVM_INSN_LEN_H
#define ARCH_SVM_INSN_LEN_H

#include "arch/x86_64/regs.h"

#define INSN_MAX 15u

enum insn_kind {
	INSN_NONE,
	INSN_CPUID,
	INSN_HLT,
	INSN_PAUSE,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_RDPMC,
	INSN_RDPRU,
	INSN_INVD,
	INSN_WBINVD,
	INSN_CLTS,
	INSN_LMSW,
	INSN_SMSW,
	INSN_MOV_TO_CR,
	INSN_MOV_FROM_CR,
	INSN_MOV_TO_DR,
	INSN_MOV_FROM_DR,
	INSN_IN,
	INSN_OUT,
	INSN_INS,
	INSN_OUTS,
	INSN_IRET,
	INSN_ICEBP,
	INSN_VMCALL,
	INSN_VMMCALL,
	INSN_XSETBV,
	INSN_MONITOR,
	INSN_MWAIT,
	INSN_VMRUN,
	INSN_VMLOAD,
	INSN_VMSAVE,
	INSN_STGI,
	INSN_CLGI,
	INSN_SKINIT,
	INSN_INVLPGA,
	INSN_INVLPGB,
	INSN_TLBSYNC,
	INSN_MCOMMIT,
	INSN_KINDS
};

/* Segment registers as ModRM and prefixes number them (APM vol. 3, 1.2.4). */
enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

#define INSN_NO_REG 0xff

struct insn {
	enum insn_kind kind;
	uint8_t length;
	bool lock;            /* behind a LOCK prefix, which makes each of these #UD */
	uint8_t bits;         /* of the operand: 16, 32, 64 */
	uint8_t gpr;          /* the register operand, if !memory */
	uint8_t special;      /* CR or DR number */
	bool memory;          /* LMSW, SMSW: the operand is in memory, at: */
	uint8_t address_bits; /* 16, 32, 64 */
	uint8_t base, index;  /* INSN_NO_REG if none */
	uint8_t scale;        /* shift */
	bool rip_relative;
	uint8_t segment;
	int32_t displacement;
};

enum insn_status {
	INSN_OK,
	INSN_SHORT, /* the bytes given are a beginning of one: give more */
	INSN_OTHER, /* not one of these instructions, or longer than 15 bytes */
};

/* mode: 16, 32 or 64, the default sizes of the code segment. */
enum insn_status insn_decode(const uint8_t *bytes, unsigned n, unsigned mode,
                             struct insn *out) must_check;

/* Offset of the memory operand in its segment; next_rip = behind the instruction. */
uint64_t insn_offset(const struct insn *i, const uint64_t gpr[GPRS], uint64_t next_rip);

#endif
