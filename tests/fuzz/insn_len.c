/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an instruction that exits: 1 to 15 bytes long, the same with more bytes
 * behind it, and "more" with any of them missing. The first byte chooses the mode.
 */
#include "arch/x86_64/svm/insn_len.h"
#include "tests/fuzz/fuzz.h"

static const unsigned modes[] = {16, 32, 64};

static void check(const uint8_t *code, unsigned mode, const struct insn *in)
{
	static const uint64_t gpr[GPRS] = {[RAX] = UINT64_MAX, [RBX] = 1};
	struct insn again;

	MUST(in->kind > INSN_NONE && in->kind < INSN_KINDS);
	MUST(in->length >= 1 && in->length <= INSN_MAX);
	for (unsigned n = 0; n < in->length; n++)
		MUST(insn_decode(code, n, mode, &again) == INSN_SHORT);
	MUST(insn_decode(code, in->length, mode, &again) == INSN_OK);
	MUST(again.kind == in->kind && again.length == in->length);
	if (!in->memory)
		return;
	MUST(in->address_bits == 16 || in->address_bits == 32 || in->address_bits == 64);
	MUST(in->base < GPRS || in->base == INSN_NO_REG);
	MUST(in->index < GPRS || in->index == INSN_NO_REG);
	MUST(in->address_bits == 64 || insn_offset(in, gpr, UINT64_MAX) >> in->address_bits == 0);
	(void)insn_offset(in, gpr, UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct insn in;
	unsigned mode;

	if (!n)
		return 0;
	mode = modes[*bytes % 3];
	n = n - 1 < INSN_MAX ? n - 1 : INSN_MAX;
	switch (insn_decode(bytes + 1, (unsigned)n, mode, &in)) {
	case INSN_OK:
		MUST(in.length <= n);
		check(bytes + 1, mode, &in);
		break;
	case INSN_SHORT:
		MUST(n < INSN_MAX);
		break;
	case INSN_OTHER:
		break;
	}
	return 0;
}
