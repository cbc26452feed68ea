/* SPDX-License-Identifier: MIT */
/* hvm_op: the upcall's vectors, where our rings are. vm_assist: the one switch of it that a PVH
 * guest uses. */
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"

#define CALLBACK_TYPE_GSI    0u /* no line is there: a guest with upcall vectors sets it */
#define CALLBACK_TYPE_VECTOR 2u
#define VECTOR_FIRST         0x10u

static int64_t hc_set_callback(struct hypercall *h, uint64_t value)
{
	uint64_t type = value >> 56; /* xen/hvm/params.h */
	uint8_t vector = type == CALLBACK_TYPE_VECTOR ? (uint8_t)value : 0;

	if (type == CALLBACK_TYPE_VECTOR ? vector < VECTOR_FIRST : type != CALLBACK_TYPE_GSI)
		return -XEN_EINVAL;
	domain_latch_width(h->d, h->wide);
	h->d->callback_param = value;
	h->d->callback_vector = vector;
	return 0;
}

static uint64_t hc_param(struct domain *d, uint32_t index)
{
	const struct special *console = &d->special[SPECIAL_CONSOLE];
	const struct special *store = &d->special[SPECIAL_STORE];

	switch (index) {
	case HVM_PARAM_CALLBACK_IRQ:
		return d->callback_param;
	case HVM_PARAM_CONSOLE_PFN:
		return console->page ? special_gfn(SPECIAL_CONSOLE).n : 0;
	case HVM_PARAM_CONSOLE_EVTCHN:
		return console->port;
	case HVM_PARAM_STORE_PFN:
		return store->page ? special_gfn(SPECIAL_STORE).n : 0;
	case HVM_PARAM_STORE_EVTCHN:
		return store->port;
	}
	return 0;
}

/*
 * A vCPU's upcalls come by a vector of its own through its local APIC, which
 * wants an EOI for each: an exit more than the callback takes. So CPUID does not
 * recommend it (bit 6 of leaf 0x40000004), but who asks has it.
 */
static int64_t hc_set_upcall_vector(struct hypercall *h)
{
	struct xen_hvm_evtchn_upcall_vector u;
	int64_t rc = hc_in(h, &u, 1, sizeof(u));

	if (rc)
		return rc;
	if (u.vector < VECTOR_FIRST)
		return -XEN_EINVAL;
	if (u.vcpu >= h->d->nr_vcpus)
		return -XEN_ENOENT;
	evtchn_set_upcall_vector(h->d->vcpus[u.vcpu & (MAX_VCPUS - 1)], u.vector);
	return 0;
}

static int64_t hc_hvm_param(struct hypercall *h)
{
	struct xen_hvm_param p;
	struct guest_buffer out;
	bool set = h->arg[0] == HVMOP_set_param;
	int64_t rc;

	rc = hc_in(h, &p, 1, set ? sizeof(p) : offsetof(struct xen_hvm_param, value));
	if (rc)
		return rc;
	if (p.domid != DOMID_SELF && p.domid != h->d->id)
		return -XEN_EPERM;
	if (p.index >= HVM_NR_PARAMS)
		return -XEN_EINVAL;
	if (set)
		return p.index == HVM_PARAM_CALLBACK_IRQ ? hc_set_callback(h, p.value) : -XEN_EPERM;
	rc = hc_reserve(h, &out, 1, offsetof(struct xen_hvm_param, value), sizeof(p.value));
	if (rc)
		return rc;
	p.value = hc_param(h->d, p.index);
	guest_copy_out(&out, &p.value, sizeof(p.value));
	return 0;
}

int64_t hc_hvm_op(struct hypercall *h)
{
	switch (h->arg[0]) {
	case HVMOP_set_param:
	case HVMOP_get_param:
		return hc_hvm_param(h);
	case HVMOP_set_evtchn_upcall_vector:
		return hc_set_upcall_vector(h);
	}
	return -XEN_ENOSYS;
}

int64_t hc_vm_assist(struct hypercall *h)
{
	if (h->arg[1] != VMASST_TYPE_runstate_update_flag ||
	    (h->arg[0] != VMASST_CMD_enable && h->arg[0] != VMASST_CMD_disable))
		return -XEN_EINVAL;
	h->d->runstate_flag = h->arg[0] == VMASST_CMD_enable;
	return 0;
}
