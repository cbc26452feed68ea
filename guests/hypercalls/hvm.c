/* SPDX-License-Identifier: MIT */
/* hvm_op (parameters) and hypercall 50. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/control.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

void ops_hvm(void)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ};

	event_init(); /* sets the callback */
	tap_is(hypercall_hvm(HVMOP_get_param, &p), 0, "the callback can be read back");
	tap_is((long)(p.value & 0xff), EVENT_VECTOR, "its vector is the one set");
	p.index = 9999;
	tap_is(hypercall_hvm(HVMOP_set_param, &p), -XEN_EINVAL, "no parameter 9999");
	p = (struct xen_hvm_param){.domid = 1234, .index = HVM_PARAM_CALLBACK_IRQ};
	tap_ok(hypercall_hvm(HVMOP_set_param, &p) < 0, "not of another domain");
	tap_is(hypercall_hvm(HVMOP_set_param, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_hvm(9999, 0), -XEN_ENOSYS, "hvm_op 9999");
}

void ops_own(void)
{
	struct quire_bind_control bind = {0}, again = {0};
	uint64_t apart = UINT64_MAX;
	struct quire_control c = {0};

	tap_is(hypercall_own(QUIRE_OP_GET_CONTROL, &c), 0, "the control values can be asked");
	tap_ok(c.target_pages >= c.current_pages / 2 && c.current_pages > 0 && c.reserved == 0,
	       "they make sense: target %lu, current %lu", c.target_pages, c.current_pages);
	tap_is(c.shutdown_request, QUIRE_SHUTDOWN_NONE, "nobody asked us to stop");
	tap_is(hypercall_own(QUIRE_OP_BIND_CONTROL, &bind), 0, "the control event is bound");
	tap_is(hypercall_own(QUIRE_OP_BIND_CONTROL, &again), -XEN_EEXIST, "only once");
	again.reserved = 1;
	tap_ok(hypercall_own(QUIRE_OP_BIND_CONTROL, &again) < 0, "what is reserved must be 0");
	/* The machine's clock may come in between, but not always. */
	for (unsigned i = 0; i < 16; i++) {
		struct quire_exits first = control_exits(), second = control_exits();

		if (second.exits - first.exits < apart)
			apart = second.exits - first.exits;
	}
	tap_is((long)apart, 1, "two questions in a row are one exit apart");
	tap_ok(control_exits().memory_exits <= control_exits().exits, "memory exits are among all");
	tap_is(hypercall_own(QUIRE_OP_GET_CONTROL, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_own(QUIRE_OP_EXITS, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_own(9999, 0), -XEN_ENOSYS, "operation 9999");
}
