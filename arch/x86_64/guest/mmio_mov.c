/* SPDX-License-Identifier: MIT */
/* See mmio_mov.h. Formats: SDM vol. 2, chapter "Instruction Format", and MOV. */
#include "arch/x86_64/guest/mmio_mov.h"
#include "mm/leaf/bits.h"

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_DEFAULT = 0xff };

#define OP_STORE       0x89u /* MOV r/m32, r32 */
#define OP_LOAD        0x8bu /* MOV r32, r/m32 */
#define OP_LOAD_EAX    0xa1u /* MOV EAX, moffs */
#define OP_STORE_EAX   0xa3u
#define OP_STORE_CONST 0xc7u /* /0: MOV r/m32, imm32 */

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

struct reader {
	const uint8_t *bytes;
	unsigned n, at, mode;
	uint8_t rex;
	bool ended; /* more bytes were wanted than there are */
};

/* Little-endian, `bytes` of them. */
static uint64_t take(struct reader *r, unsigned bytes)
{
	uint64_t value = 0;

	if (r->at + bytes > r->n) {
		r->ended = true;
		r->at = r->n;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)r->bytes[r->at++] << 8 * i;
	return value;
}

static uint64_t take_signed(struct reader *r, unsigned bytes)
{
	uint64_t value = take(r, bytes);

	return bytes == 1 ? (uint64_t)(int8_t)value : (uint64_t)(int32_t)value;
}

/* False: a prefix that makes it another instruction, or another size. */
static bool take_prefixes(struct reader *r, struct mmio_mov *m)
{
	for (;;) {
		switch (r->at < r->n ? r->bytes[r->at] : 0) {
		case 0x26:
			m->segment = SEG_ES;
			break;
		case 0x2e:
			m->segment = SEG_CS;
			break;
		case 0x36:
			m->segment = SEG_SS;
			break;
		case 0x3e:
			m->segment = SEG_DS;
			break;
		case 0x64:
			m->segment = SEG_FS;
			break;
		case 0x65:
			m->segment = SEG_GS;
			break;
		case 0x67: /* 16-bit addresses are not for us */
			if (r->mode == 32)
				return false;
			m->bits = 32;
			break;
		case 0x66:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			return false;
		default:
			return true;
		}
		r->at++;
	}
}

static void take_displacement(struct reader *r, struct mmio_mov *m, unsigned mod)
{
	if (mod == 1)
		m->displacement = take_signed(r, 1);
	else if (mod == 2)
		m->displacement = take_signed(r, 4);
}

static void take_sib(struct reader *r, struct mmio_mov *m, unsigned mod)
{
	uint8_t sib = (uint8_t)take(r, 1);
	unsigned index = (sib >> 3 & 7) | (r->rex & REX_X ? 8 : 0);

	m->scale = sib >> 6;
	m->index = index == RSP ? MMIO_MOV_NO_REG : (uint8_t)index;
	if ((sib & 7) == RBP && mod == 0)
		m->displacement = take_signed(r, 4);
	else
		m->base = (sib & 7) | (r->rex & REX_B ? 8 : 0);
}

/* ModRM, SIB and displacement (tables 2-2 and 2-3). False: the operand is a register. */
static bool take_operand(struct reader *r, struct mmio_mov *m)
{
	uint8_t modrm = (uint8_t)take(r, 1);
	unsigned mod = modrm >> 6, rm = modrm & 7;

	m->gpr = (modrm >> 3 & 7) | (r->rex & REX_R ? 8 : 0);
	if (mod == 3)
		return false;
	if (rm == RSP) {
		take_sib(r, m, mod);
	} else if (rm == RBP && mod == 0) {
		m->rip_relative = r->mode == 64;
		m->displacement = take_signed(r, 4);
	} else {
		m->base = (uint8_t)rm | (r->rex & REX_B ? 8 : 0);
	}
	take_displacement(r, m, mod);
	return true;
}

/* False: not one of ours. */
static bool take_instruction(struct reader *r, struct mmio_mov *m)
{
	uint8_t opcode;

	if (!take_prefixes(r, m))
		return false;
	if (r->mode == 64 && r->at < r->n && (r->bytes[r->at] & 0xf0) == 0x40)
		r->rex = (uint8_t)take(r, 1);
	if (r->rex & REX_W)
		return false; /* 64 bits */
	opcode = (uint8_t)take(r, 1);
	switch (r->ended ? 0 : opcode) {
	case 0:
		return r->ended; /* a beginning */
	case OP_LOAD_EAX:
	case OP_STORE_EAX:
		m->write = opcode == OP_STORE_EAX;
		m->gpr = RAX;
		m->displacement = take(r, m->bits / 8);
		return true;
	case OP_LOAD:
	case OP_STORE:
		m->write = opcode == OP_STORE;
		return take_operand(r, m);
	case OP_STORE_CONST:
		m->write = m->constant = true;
		if (!take_operand(r, m) || (!r->ended && (m->gpr & 7)))
			return false; /* /1 to /7 are others */
		m->value = (uint32_t)take(r, 4);
		return true;
	}
	return false;
}

static void default_segment(struct mmio_mov *m)
{
	if (m->segment != SEG_DEFAULT)
		return;
	m->segment = m->base == RSP || m->base == RBP ? SEG_SS : SEG_DS;
}

enum mmio_mov_status mmio_mov_decode(const uint8_t *bytes, unsigned n, unsigned mode,
                                     struct mmio_mov *out)
{
	struct reader r = {.bytes = bytes, .n = n < MMIO_MOV_MAX ? n : MMIO_MOV_MAX, .mode = mode};

	*out = (struct mmio_mov){.segment = SEG_DEFAULT,
	                         .bits = (uint8_t)mode,
	                         .base = MMIO_MOV_NO_REG,
	                         .index = MMIO_MOV_NO_REG};
	if (!take_instruction(&r, out))
		return MMIO_MOV_OTHER;
	if (r.ended)
		return n < MMIO_MOV_MAX ? MMIO_MOV_SHORT : MMIO_MOV_OTHER;
	default_segment(out);
	out->length = (uint8_t)r.at;
	return MMIO_MOV_OK;
}

static uint64_t segment_base(unsigned segment, const struct guest_state *s, unsigned mode)
{
	switch (segment) {
	case SEG_FS:
		return s->fs.base;
	case SEG_GS:
		return s->gs.base;
	}
	if (mode == 64) /* the others' bases do not count */
		return 0;
	switch (segment) {
	case SEG_ES:
		return s->es.base;
	case SEG_CS:
		return s->cs.base;
	case SEG_SS:
		return s->ss.base;
	}
	return s->ds.base;
}

uint64_t mmio_mov_linear(const struct mmio_mov *m, const struct guest_regs *r,
                         const struct guest_state *s, unsigned mode)
{
	uint64_t offset = m->displacement;

	if (m->base != MMIO_MOV_NO_REG)
		offset += r->gpr[m->base & (GPRS - 1)];
	if (m->index != MMIO_MOV_NO_REG)
		offset += r->gpr[m->index & (GPRS - 1)] << m->scale;
	if (m->rip_relative)
		offset += r->rip + m->length;
	if (m->bits == 32)
		offset = (uint32_t)offset;
	offset += segment_base(m->segment, s, mode);
	return mode == 64 ? offset : (uint32_t)offset;
}
