/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a MOV to or from a device's register: 2 to 15 bytes long, the same with
 * more bytes behind it, "more" with any of them missing; it names registers that there
 * are, and outside of 64-bit code an address below 4 GiB. The first byte chooses the mode.
 */
#include "arch/x86_64/guest/mmio_mov.h"
#include "mm/leaf/bits.h"
#include "tests/fuzz/fuzz.h"

static void check(const uint8_t *code, unsigned mode, const struct mmio_mov *m)
{
	static const struct guest_regs r = {
	    .gpr = {[RAX] = UINT64_MAX, [RBX] = 1},
              .rip = UINT64_MAX
        };
	static const struct guest_state s = {.ds = {.base = UINT64_MAX}};
	struct mmio_mov again;

	MUST(m->length >= 2 && m->length <= MMIO_MOV_MAX);
	for (unsigned n = 0; n < m->length; n++)
		MUST(mmio_mov_decode(code, n, mode, &again) == MMIO_MOV_SHORT);
	MUST(mmio_mov_decode(code, m->length, mode, &again) == MMIO_MOV_OK);
	MUST(again.length == m->length && again.gpr == m->gpr && again.write == m->write);
	MUST(m->gpr < GPRS && m->segment < 6 && m->scale < 4);
	MUST(!m->constant || m->write);
	MUST(m->bits == mode || (m->bits == 32 && mode == 64));
	MUST(m->base < GPRS || m->base == MMIO_MOV_NO_REG);
	MUST(m->index < GPRS || m->index == MMIO_MOV_NO_REG);
	MUST(mode == 64 || mmio_mov_linear(m, &r, &s, mode) >> 32 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct mmio_mov m;
	unsigned mode;

	if (!n)
		return 0;
	mode = *bytes & 1 ? 64 : 32;
	n = n - 1 < MMIO_MOV_MAX ? n - 1 : MMIO_MOV_MAX;
	switch (mmio_mov_decode(bytes + 1, (unsigned)n, mode, &m)) {
	case MMIO_MOV_OK:
		MUST(m.length <= n);
		check(bytes + 1, mode, &m);
		break;
	case MMIO_MOV_SHORT:
		MUST(n < MMIO_MOV_MAX);
		break;
	case MMIO_MOV_OTHER:
		break;
	}
	return 0;
}
