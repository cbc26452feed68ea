/* SPDX-License-Identifier: MIT */
/* hvm_op: the upcall's vector, where our rings are. vm_assist: the one switch of it that a PVH
 * guest uses. */
#include "kernel/hypercall.h"

#define CALLBACK_TYPE_VECTOR 2u
#define VECTOR_FIRST         0x10u

static int64_t hc_set_callback(struct hypercall *h, uint64_t value)
{
	uint8_t vector = (uint8_t)value;

	/* The type is in bits 63..56 (xen/hvm/params.h); 0 as a whole: none. */
	if (value && (value >> 56 != CALLBACK_TYPE_VECTOR || vector < VECTOR_FIRST))
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

int64_t hc_hvm_op(struct hypercall *h)
{
	struct xen_hvm_param p;
	struct guest_buffer out;
	bool set = h->arg[0] == HVMOP_set_param;
	int64_t rc;

	if (!set && h->arg[0] != HVMOP_get_param)
		return -XEN_ENOSYS;
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

int64_t hc_vm_assist(struct hypercall *h)
{
	if (h->arg[1] != VMASST_TYPE_runstate_update_flag ||
	    (h->arg[0] != VMASST_CMD_enable && h->arg[0] != VMASST_CMD_disable))
		return -XEN_EINVAL;
	h->d->runstate_flag = h->arg[0] == VMASST_CMD_enable;
	return 0;
}
