/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: registers in, a function of a table, registers out.
 *
 * 64-bit callers: RAX number, RDI RSI RDX (R10 R8), result RAX. 32-bit callers:
 * EAX, EBX ECX EDX (ESI EDI); what their upper halves hold is ignored. None of
 * ours has more than three arguments. Only
 * CPL 0 may call. The way of an empty call is kept short: no log, no lock, no
 * copy of the guest's state.
 */
#include "kernel/hypercall.h"
#include "kernel/string.h"

#define HYPERCALLS 64u

static hypercall_fn *const table[HYPERCALLS] = {
    [__HYPERVISOR_memory_op] = hc_memory_op,
    [__HYPERVISOR_set_timer_op] = hc_set_timer_op,
    [__HYPERVISOR_xen_version] = hc_xen_version,
    [__HYPERVISOR_console_io] = hc_console_io,
    [__HYPERVISOR_vm_assist] = hc_vm_assist,
    [__HYPERVISOR_vcpu_op] = hc_vcpu_op,
    [__HYPERVISOR_sched_op] = hc_sched_op,
    [__HYPERVISOR_grant_table_op] = hc_grant_table_op,
    [__HYPERVISOR_event_channel_op] = hc_event_channel_op,
    [__HYPERVISOR_hvm_op] = hc_hvm_op,
    [__HYPERVISOR_arch_2] = hc_quire,
};

static const uint8_t wide_regs[HC_ARGS] = {RDI, RSI, RDX};
static const uint8_t narrow_regs[HC_ARGS] = {RBX, RCX, RDX};

static void hc_begin(struct hypercall *h, struct vcpu *v, bool wide)
{
	const uint64_t *gpr = v->hv.regs.gpr;

	h->v = v;
	h->d = v->domain;
	h->wide = wide;
	if (__builtin_expect(wide, 1)) {
		h->arg[0] = gpr[RDI];
		h->arg[1] = gpr[RSI];
		h->arg[2] = gpr[RDX];
	} else {
		for (unsigned i = 0; i < HC_ARGS; i++)
			h->arg[i] = (uint32_t)gpr[narrow_regs[i]];
	}
	guest_copy_begin(&h->copy, v, wide);
}

void hypercall_dispatch(struct vcpu *v, const struct vmexit *x)
{
	unsigned mode = hvm->vcpu_mode(&v->hv);
	uint64_t *rax = &v->hv.regs.gpr[RAX];
	bool wide = mode & VCPU_MODE_64;
	uint64_t number = wide ? *rax : (uint32_t)*rax;
	int64_t result = -XEN_ENOSYS;
	struct hypercall h;

	v->hypercalls++;
	if (mode & VCPU_MODE_CPL) {
		result = -XEN_EPERM;
	} else if (number < HYPERCALLS && table[number]) {
		hc_begin(&h, v, wide);
		result = table[number & (HYPERCALLS - 1)](&h);
		guest_copy_end(&h.copy);
		if (result == HC_AGAIN)
			return;
		if (v->wait_ticket)
			vcpu_got_memory(v);
	}
	*rax = wide ? (uint64_t)result : (uint32_t)result;
	hvm->vcpu_skip(&v->hv, x);
}

int64_t hc_in(struct hypercall *h, void *dst, unsigned arg, uint64_t bytes)
{
	return guest_copy_in(&h->copy, dst, h->arg[arg], bytes);
}

int64_t hc_reserve(struct hypercall *h, struct guest_buffer *b, unsigned arg, uint64_t offset,
                   uint64_t bytes)
{
	return guest_copy_reserve(&h->copy, b, h->arg[arg] + offset, bytes);
}

void hc_set_arg(struct hypercall *h, unsigned arg, uint64_t value)
{
	h->v->hv.regs.gpr[(h->wide ? wide_regs : narrow_regs)[arg]] = value;
}

int64_t hc_continue(struct hypercall *h, unsigned arg, uint64_t value)
{
	hc_set_arg(h, arg, value);
	return HC_AGAIN;
}

int64_t hc_error(struct hypercall *h, enum mm_status st)
{
	switch (st) {
	case MM_OK:
		return 0;
	case MM_NOMEM:
		vcpu_wait_memory(h->v);
		return HC_AGAIN;
	case MM_PINNED:
		return -XEN_EBUSY;
	case MM_LIMIT:
		return -XEN_ENOMEM;
	default:
		return -XEN_EINVAL;
	}
}

/* ---- the hypercall page ---- */

#define STUB_BYTES 32u

/* mov $n, %eax; vmcall or vmmcall; ret. The rest of each stub is int3. */
static void hypercall_stub(uint8_t *at, uint32_t number)
{
	static const uint8_t vmcall[] = {0x0f, 0x01, 0xc1}, vmmcall[] = {0x0f, 0x01, 0xd9};

	memset(at, 0xcc, STUB_BYTES);
	at[0] = 0xb8;
	memcpy(at + 1, &number, sizeof(number));
	memcpy(at + 5, hvm == &svm_ops ? vmmcall : vmcall, 3);
	at[8] = 0xc3;
}

int64_t hypercall_page_write(struct vcpu *v, uint64_t gpa)
{
	void *page;
	enum mm_status st = guest_memory->pin(&v->domain->space, gfn_of_addr(gpa), &page);

	if (st == MM_NOMEM) {
		vcpu_wait_memory(v);
		return HC_AGAIN;
	}
	if (st != MM_OK)
		return -XEN_EFAULT;
	for (unsigned i = 0; i < PAGE_SIZE / STUB_BYTES; i++)
		hypercall_stub((uint8_t *)page + i * STUB_BYTES, i);
	guest_memory->unpin(&v->domain->space, gfn_of_addr(gpa));
	if (v->wait_ticket)
		vcpu_got_memory(v);
	return 0;
}
