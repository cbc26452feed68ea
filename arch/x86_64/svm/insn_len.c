/* SPDX-License-Identifier: MIT */
/*
 * Problem: without next-RIP save (QEMU's AMD-V), a hypervisor that has done an
 * instruction's work must find out where the next one begins. The bytes are
 * the guest's, and another of its vCPUs may be rewriting them.
 *
 * Rule: know few instructions and know them exactly. Only what exits is
 * decoded (APM vol. 3: prefixes 1.2, ModRM 1.4, opcode maps A.1); everything
 * else is INSN_OTHER. The caller compares the kind with the exit code: bytes
 * that say something else have been changed since the CPU read them, and the
 * guest is resumed with nothing done. The bytes are read once by the caller and
 * never again.
 */
#include "arch/x86_64/svm/insn_len.h"

struct cursor {
	const uint8_t *bytes;
	unsigned n, at;
	bool ran_out;
	unsigned mode;
	/* prefixes */
	bool operand_size, address_size, lock, rep, repne;
	uint8_t rex;
	int segment; /* -1: none */
};

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

static uint8_t insn_next(struct cursor *c)
{
	if (c->at >= c->n || c->at >= INSN_MAX) {
		c->ran_out = true;
		return 0;
	}
	return c->bytes[c->at++];
}

/* True if b is a legacy prefix, which is then noted. */
static bool insn_prefix(struct cursor *c, uint8_t b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		/* In 64-bit mode these four are ignored (APM vol. 3, 1.2.4). */
		if (c->mode != 64)
			c->segment = (b - 0x26) / 8;
		return true;
	case 0x64:
	case 0x65:
		c->segment = INSN_FS + (b - 0x64);
		return true;
	case 0x66:
		c->operand_size = true;
		return true;
	case 0x67:
		c->address_size = true;
		return true;
	case 0xf0:
		c->lock = true;
		return true;
	case 0xf2:
		c->repne = true;
		return true;
	case 0xf3:
		c->rep = true;
		return true;
	}
	return false;
}

/* The first byte of the opcode. A REX prefix counts only right before it (1.2.7). */
static uint8_t insn_opcode(struct cursor *c)
{
	for (;;) {
		uint8_t b = insn_next(c);

		if (c->ran_out)
			return 0;
		if (insn_prefix(c, b)) {
			c->rex = 0;
		} else if (c->mode == 64 && (b & 0xf0) == 0x40) {
			c->rex = b;
		} else {
			return b;
		}
	}
}

static unsigned insn_operand_bits(const struct cursor *c)
{
	if (c->rex & REX_W)
		return 64;
	if (c->mode == 16)
		return c->operand_size ? 32 : 16;
	return c->operand_size ? 16 : 32;
}

static unsigned insn_address_bits(const struct cursor *c)
{
	if (c->mode == 64)
		return c->address_size ? 32 : 64;
	return (c->mode == 32) != c->address_size ? 32 : 16;
}

static int32_t insn_displacement(struct cursor *c, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint32_t)insn_next(c) << (8 * i);
	if (bytes == 1)
		return (int8_t)v;
	return bytes == 2 ? (int16_t)v : (int32_t)v;
}

/* 16-bit addressing (APM vol. 3, table A-33). */
static void insn_memory16(struct cursor *c, uint8_t modrm, struct insn *out)
{
	static const uint8_t base[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const uint8_t index[8] = {RSI,         RDI,         RSI,         RDI,
	                                 INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG};
	unsigned mod = modrm >> 6, rm = modrm & 7;

	out->base = base[rm];
	out->index = index[rm];
	if (mod == 0 && rm == 6) {
		out->base = INSN_NO_REG;
		out->displacement = insn_displacement(c, 2);
	} else if (mod) {
		out->displacement = insn_displacement(c, mod);
	}
}

/* 32- and 64-bit addressing (APM vol. 3, tables ). */
static void insn_memory32(struct cursor *c, uint8_t modrm, struct insn *out)
{
	unsigned mod = modrm >> 6, rm = modrm & 7;
	bool disp32 = mod == 2;

	out->base = (uint8_t)(rm | (c->rex & REX_B ? 8 : 0));
	if (rm == 4) {
		uint8_t sib = insn_next(c);

		out->scale = sib >> 6;
		out->index = (uint8_t)(((sib >> 3) & 7) | (c->rex & REX_X ? 8 : 0));
		if (out->index == RSP)
			out->index = INSN_NO_REG;
		out->base = (uint8_t)((sib & 7) | (c->rex & REX_B ? 8 : 0));
		if (mod == 0 && (sib & 7) == 5) {
			out->base = INSN_NO_REG;
			disp32 = true;
		}
	} else if (mod == 0 && rm == 5) {
		out->base = INSN_NO_REG;
		out->rip_relative = c->mode == 64;
		disp32 = true;
	}
	if (mod == 1)
		out->displacement = insn_displacement(c, 1);
	else if (disp32)
		out->displacement = insn_displacement(c, 4);
}

/* The r/m operand of LMSW and SMSW. */
static void insn_operand(struct cursor *c, uint8_t modrm, struct insn *out)
{
	out->bits = (uint8_t)insn_operand_bits(c);
	if (modrm >> 6 == 3) {
		out->gpr = (uint8_t)((modrm & 7) | (c->rex & REX_B ? 8 : 0));
		return;
	}
	out->memory = true;
	out->address_bits = (uint8_t)insn_address_bits(c);
	if (out->address_bits == 16)
		insn_memory16(c, modrm, out);
	else
		insn_memory32(c, modrm, out);
	out->segment = out->base == RBP || out->base == RSP ? INSN_SS : INSN_DS;
	if (c->segment >= 0)
		out->segment = (uint8_t)c->segment;
}

/* 0F 01: the second byte is ModRM, and above c0h names an instruction each (A.1, group 7). */
static enum insn_kind insn_group7(struct cursor *c, struct insn *out)
{
	uint8_t b = insn_next(c);

	switch (b) {
	case 0xc1:
		return INSN_VMCALL;
	case 0xc8:
		return INSN_MONITOR;
	case 0xc9:
		return INSN_MWAIT;
	case 0xd1:
		return INSN_XSETBV;
	case 0xd8:
		return INSN_VMRUN;
	case 0xd9:
		return INSN_VMMCALL;
	case 0xda:
		return INSN_VMLOAD;
	case 0xdb:
		return INSN_VMSAVE;
	case 0xdc:
		return INSN_STGI;
	case 0xdd:
		return INSN_CLGI;
	case 0xde:
		return INSN_SKINIT;
	case 0xdf:
		return INSN_INVLPGA;
	case 0xf9:
		return INSN_RDTSCP;
	case 0xfa: /* MONITORX */
		return c->rep ? INSN_MCOMMIT : INSN_MONITOR;
	case 0xfb: /* MWAITX */
		return INSN_MWAIT;
	case 0xfd:
		return INSN_RDPRU;
	case 0xfe:
		return INSN_INVLPGB;
	case 0xff:
		return INSN_TLBSYNC;
	}
	switch ((b >> 3) & 7) {
	case 4:
		insn_operand(c, b, out);
		return INSN_SMSW;
	case 6:
		insn_operand(c, b, out);
		return INSN_LMSW;
	}
	return INSN_NONE;
}

/* 0F 20 .. 23: ModRM names two registers whatever its mod field says (MOV CRn, APM vol. 3). */
static enum insn_kind insn_mov_special(struct cursor *c, uint8_t opcode, struct insn *out)
{
	static const enum insn_kind kind[4] = {INSN_MOV_FROM_CR, INSN_MOV_FROM_DR, INSN_MOV_TO_CR,
	                                       INSN_MOV_TO_DR};
	uint8_t modrm = insn_next(c);

	out->gpr = (uint8_t)((modrm & 7) | (c->rex & REX_B ? 8 : 0));
	out->special = (uint8_t)(((modrm >> 3) & 7) | (c->rex & REX_R ? 8 : 0));
	out->bits = c->mode == 64 ? 64 : 32;
	/* LOCK MOV CR0 is MOV CR8 (AltMovCr8). */
	if (c->lock && !(opcode & 1) && out->special == 0) {
		out->special = 8;
		c->lock = false;
	}
	return kind[opcode & 3];
}

static enum insn_kind insn_two_bytes(struct cursor *c, struct insn *out)
{
	uint8_t b = insn_next(c);

	switch (b) {
	case 0x01:
		return insn_group7(c, out);
	case 0x06:
		return INSN_CLTS;
	case 0x08:
		return INSN_INVD;
	case 0x09: /* with F3: WBNOINVD */
		return INSN_WBINVD;
	case 0x20:
	case 0x21:
	case 0x22:
	case 0x23:
		return insn_mov_special(c, b, out);
	case 0x30:
		return INSN_WRMSR;
	case 0x31:
		return INSN_RDTSC;
	case 0x32:
		return INSN_RDMSR;
	case 0x33:
		return INSN_RDPMC;
	case 0xa2:
		return INSN_CPUID;
	}
	return INSN_NONE;
}

static enum insn_kind insn_one_byte(struct cursor *c, uint8_t opcode)
{
	switch (opcode) {
	case 0x6c:
	case 0x6d:
		return INSN_INS;
	case 0x6e:
	case 0x6f:
		return INSN_OUTS;
	case 0x90: /* alone it is NOP, with REX.B an exchange */
		return c->rep && !(c->rex & REX_B) ? INSN_PAUSE : INSN_NONE;
	case 0xcf:
		return INSN_IRET;
	case 0xe4:
	case 0xe5:
		insn_next(c);
		return INSN_IN;
	case 0xe6:
	case 0xe7:
		insn_next(c);
		return INSN_OUT;
	case 0xec:
	case 0xed:
		return INSN_IN;
	case 0xee:
	case 0xef:
		return INSN_OUT;
	case 0xf1:
		return INSN_ICEBP;
	case 0xf4:
		return INSN_HLT;
	}
	return INSN_NONE;
}

enum insn_status insn_decode(const uint8_t *bytes, unsigned n, unsigned mode, struct insn *out)
{
	struct cursor c = {.bytes = bytes, .n = n, .mode = mode, .segment = -1};
	uint8_t opcode;

	*out = (struct insn){.base = INSN_NO_REG, .index = INSN_NO_REG};
	opcode = insn_opcode(&c);
	if (!c.ran_out)
		out->kind = opcode == 0x0f ? insn_two_bytes(&c, out) : insn_one_byte(&c, opcode);
	if (c.ran_out)
		return n >= INSN_MAX ? INSN_OTHER : INSN_SHORT;
	out->length = (uint8_t)c.at;
	out->lock = c.lock;
	return out->kind == INSN_NONE ? INSN_OTHER : INSN_OK;
}

uint64_t insn_offset(const struct insn *i, const uint64_t gpr[GPRS], uint64_t next_rip)
{
	uint64_t a = (uint64_t)(int64_t)i->displacement;

	if (i->base != INSN_NO_REG)
		a += gpr[i->base];
	if (i->index != INSN_NO_REG)
		a += gpr[i->index] << i->scale;
	if (i->rip_relative)
		a += next_rip;
	if (i->address_bits == 16)
		return (uint16_t)a;
	return i->address_bits == 32 ? (uint32_t)a : a;
}
