/* SPDX-License-Identifier: MIT */
/*
 * The bytes of the instruction that exited. The full way is a walk of the
 * guest's page tables with a look into the p2m at each step; the last one is
 * remembered (gva_memo.h). Its rules are left out: what changes them forgets it.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/gva.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/svm/svm_vcpu.h"

/* The page behind a guest frame, NULL if there is none to read. */
static const uint8_t *svm_guest_page(const struct hvm_vcpu *v, uint64_t gpa, enum p2m_type *type)
{
	struct p2m_view view = p2m_lookup(v->space, gfn_of_addr(gpa));

	*type = view.type;
	return mfn_valid(view.mfn) ? phys_to_virt(mfn_to_addr(view.mfn)) : NULL;
}

/* ---- the full way ---- */

struct recorder {
	struct hvm_vcpu *v;
	struct gva_memo *memo; /* NULL: nothing is remembered */
};

/* gva_memory.read: one entry of the guest's tables, read once. */
static enum mm_status svm_read_entry(void *arg, uint64_t gpa, void *dst, unsigned bytes)
{
	struct recorder *r = arg;
	enum p2m_type type;
	const uint8_t *page = svm_guest_page(r->v, gpa, &type), *at = NULL;
	uint64_t value = 0;

	if (!page && type != P2M_UNTOUCHED)
		return MM_NORAM;
	if (page) {
		at = page + gpa % PAGE_SIZE;
		value =
		    bytes == 8 ? *(const volatile uint64_t *)at : *(const volatile uint32_t *)at;
	}
	if (r->memo)
		gva_memo_step(r->memo, at, value, bytes);
	__builtin_memcpy(dst, &value, bytes);
	return MM_OK;
}

/* Copy up to `n` bytes at a linear address that do not cross a page; 0 if it cannot be read. */
static unsigned svm_copy_page(struct hvm_vcpu *v, uint64_t linear, unsigned access, uint8_t *dst,
                              unsigned n)
{
	struct gva_memo *f = access & GVA_FETCH ? &v->svm->fetch : NULL;
	struct recorder r = {.v = v, .memo = f};
	struct gva_memory m = {
	    .read = svm_read_entry, .arg = &r, .phys_bits = svm_machine.phys_bits};
	uint64_t generation = gva_memo_generation(v->space);
	struct guest_state s;
	struct gva_walk walk;
	enum p2m_type type;
	const uint8_t *page;

	svm_vcpu_get_paging(v, &s);
	if (f)
		gva_memo_begin(f, v->space);
	if (s.cpl == 3)
		access |= GVA_USER;
	if (v->regs.rflags & RFLAGS_AC)
		access |= GVA_AC;
	if (gva_walk(&m, &s, linear, access, &walk) != GVA_OK)
		return 0;
	page = svm_guest_page(v, walk.gpa, &type);
	if (!page)
		return 0;
	for (unsigned i = 0; i < n; i++)
		dst[i] = ((const volatile uint8_t *)page)[(linear + i) % PAGE_SIZE];
	if (gva_memo_generation(v->space) != generation)
		return 0;
	if (f)
		gva_memo_end(f, linear, s.cr3, 0, page + linear % PAGE_SIZE);
	return n;
}

static unsigned svm_copy(struct hvm_vcpu *v, uint64_t linear, unsigned access, uint8_t *dst,
                         unsigned n)
{
	unsigned first = PAGE_SIZE - (unsigned)(linear % PAGE_SIZE);

	if (first >= n)
		return svm_copy_page(v, linear, access, dst, n);
	if (svm_copy_page(v, linear, access, dst, first) != first)
		return 0;
	/* The instruction may end before the next page, which need not be there. */
	return first + svm_copy_page(v, linear + first, access, dst + first, n - first);
}

/* ---- the short way ---- */

static uint64_t svm_linear_rip(const struct hvm_vcpu *v)
{
	if (svm_code_bits(v) == 64)
		return v->regs.rip;
	return (uint32_t)(v->regs.rip + v->svm->vmcb->cs.base);
}

uint32_t svm_fetch_quick(struct hvm_vcpu *v)
{
	const struct gva_memo *f = &v->svm->fetch;
	uint64_t linear = svm_linear_rip(v), at = linear % PAGE_SIZE;
	uint64_t generation = gva_memo_generation(v->space);
	uint32_t bytes;

	if (at > PAGE_SIZE - sizeof(bytes) ||
	    !gva_memo_holds(f, linear, v->svm->vmcb->cr3, 0, generation))
		return 0;
	bytes = *(const volatile uint32_t *)(f->at + at);
	/* Loads are not reordered with later loads (SDM vol. 3, 9.2.2): only the compiler. */
	asm volatile("" ::: "memory");
	return generation == gva_memo_generation(v->space) ? bytes : 0;
}

unsigned svm_fetch(struct hvm_vcpu *v, uint8_t bytes[INSN_MAX + 1])
{
	return svm_copy(v, svm_linear_rip(v), GVA_FETCH, bytes, INSN_MAX);
}

bool svm_fetch_operand(struct hvm_vcpu *v, unsigned segment, uint64_t offset, uint16_t *value)
{
	const struct vmcb *b = v->svm->vmcb;
	const struct vmcb_segment *seg[] = {&b->es, &b->cs, &b->ss, &b->ds, &b->fs, &b->gs};
	uint64_t linear = offset;
	uint8_t bytes[2];

	/* In 64-bit mode only FS and GS have a base (APM vol. 2, 4.8). */
	if (svm_code_bits(v) != 64)
		linear = (uint32_t)(offset + seg[segment]->base);
	else if (segment == INSN_FS || segment == INSN_GS)
		linear += seg[segment]->base;
	if (svm_copy(v, linear, 0, bytes, 2) != 2)
		return false;
	*value = (uint16_t)(bytes[0] | bytes[1] << 8);
	return true;
}
