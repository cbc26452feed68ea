/* SPDX-License-Identifier: MIT */
/*
 * The few instructions by which a guest may reach a device's registers in
 * memory: MOV between a 32-bit register, or a constant, and memory. Pure; sees
 * bytes and registers. Whatever else touches such a register is refused: kernels
 * use MOV there, and each further form would be one more that is decoded wrongly.
 */
#ifndef ARCH_GUEST_MMIO_MOV_H
#define ARCH_GUEST_MMIO_MOV_H

#include "arch/x86_64/regs.h"

#define MMIO_MOV_MAX    15u /* bytes of an instruction */
#define MMIO_MOV_NO_REG 0xffu

struct mmio_mov {
	uint8_t length;
	bool write;    /* to memory */
	bool constant; /* .value is written, not a register */
	uint8_t gpr;   /* the register operand */
	uint32_t value;
	/* the address */
	uint8_t segment; /* as prefixes number them: ES CS SS DS FS GS */
	uint8_t bits;    /* of the address: 32 or 64 */
	uint8_t base, index, scale;
	bool rip_relative;
	uint64_t displacement; /* sign-extended */
};

enum mmio_mov_status {
	MMIO_MOV_OK,
	MMIO_MOV_SHORT, /* the bytes given are a beginning of one: give more */
	MMIO_MOV_OTHER,
};

/* mode: 32 or 64, of the code segment. */
enum mmio_mov_status mmio_mov_decode(const uint8_t *bytes, unsigned n, unsigned mode,
                                     struct mmio_mov *out) must_check;

/* The linear address of the memory operand; the instruction begins at r->rip. */
uint64_t mmio_mov_linear(const struct mmio_mov *m, const struct guest_regs *r,
                         const struct guest_state *s, unsigned mode);

#endif
