/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as guest page tables. A walk ends; it reads naturally aligned entries only; its
 * error code says of the access what the access was; its result lies below the guest's
 * MAXPHYADDR; and a second walk over the same tables says the same. (Not so with PAE:
 * there an accessed bit that the first set is a reserved bit, where a table of level 3 is
 * one of level 2 too.)
 */
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/guest/gva.h"
#include "mm/leaf/bits.h"
#include "tests/fuzz/fuzz.h"

#define RAM_BYTES 0x8000u
#define PHYS_BITS 40u

static _Alignas(8) uint8_t ram[RAM_BYTES];
static unsigned reads, losses;

static enum mm_status ram_read(void *arg, uint64_t gpa, void *dst, unsigned bytes)
{
	(void)arg;
	MUST((bytes == 4 || bytes == 8) && gpa % bytes == 0);
	MUST(++reads < 64);
	if (gpa >= RAM_BYTES)
		return gpa >> 32 ? MM_NORAM : MM_NOMEM;
	memcpy(dst, ram + gpa, bytes);
	return MM_OK;
}

/* Another vCPU may change the entry first, now and then. */
static enum mm_status ram_exchange(void *arg, uint64_t gpa, uint64_t old, uint64_t new_value,
                                   unsigned bytes, bool *done)
{
	uint64_t now = 0;

	(void)arg;
	MUST((bytes == 4 || bytes == 8) && gpa % bytes == 0 && gpa < RAM_BYTES);
	memcpy(&now, ram + gpa, bytes);
	*done = now == old && !losses;
	losses -= losses != 0;
	if (*done)
		memcpy(ram + gpa, &new_value, bytes);
	return MM_OK;
}

static const struct gva_memory memory = {ram_read, ram_exchange, NULL, PHYS_BITS};

static void check(const struct guest_state *s, uint64_t gva, unsigned access)
{
	struct gva_walk w, again;
	enum gva_status st;

	reads = 0;
	st = gva_walk(&memory, s, gva, access, &w);
	if (st == GVA_OK)
		MUST(w.gpa >> PHYS_BITS == 0);
	if (st == GVA_FAULT)
		MUST(!(w.error & PF_WRITE) == !(access & GVA_WRITE) &&
		     !(w.error & PF_USER) == !(access & GVA_USER));
	reads = losses = 0;
	if ((s->cr4 & CR4_PAE) && !(s->efer & EFER_LMA))
		return;
	MUST(gva_walk(&memory, s, gva, access, &again) == st);
	MUST(st != GVA_OK || w.gpa == again.gpa);
	MUST(st != GVA_FAULT || w.error == again.error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = {bytes, n};
	struct guest_state s = {.cr0 = CR0_PE | CR0_PG | (fuzz_u8(&in) & 1 ? CR0_WP : 0)};
	uint64_t gva[4];
	unsigned access;

	s.cr4 = fuzz_take(&in, 4);
	s.efer = fuzz_take(&in, 2);
	s.cr3 = fuzz_take(&in, 8);
	for (unsigned i = 0; i < 4; i++)
		gva[i] = fuzz_take(&in, 8);
	access = fuzz_u8(&in) & 15;
	losses = fuzz_u8(&in) & 3;
	memset(ram, 0, sizeof(ram));
	/* The rest: words of the tables, each at the place that its first two bytes name. */
	while (in.left >= 10) {
		uint64_t at = fuzz_take(&in, 2) % (RAM_BYTES / 8), word = fuzz_take(&in, 8);

		memcpy(ram + at * 8, &word, 8);
	}
	for (unsigned i = 0; i < 4; i++)
		check(&s, gva[i], access);
	return 0;
}
