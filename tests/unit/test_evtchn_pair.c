/* SPDX-License-Identifier: MIT */
/*
 * Event channels between domains: who may bind what, that an event arrives at the
 * other end, and that neither a close nor the death of one end leaves half a pair.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"

#define ARGS UINT64_C(0x8000)

static struct domain *a, *b;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	a = fake_domain(1, 512, 1);
	b = fake_domain(2, 512, 2);
	vcpu_start(a->vcpus[0]);
	vcpu_start(b->vcpus[0]);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	assert_string_equal(mm_audit().first, "");
	if (b)
		fake_domain_free(b);
	fake_domain_free(a);
	fake_stop();
	return 0;
}

static int64_t call(struct domain *d, unsigned op, void *args, uint64_t bytes)
{
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};
	struct vcpu *v = d->vcpus[0];

	assert_int_equal(mm_write(&d->space, ARGS, args, bytes), MM_OK);
	v->hv.regs.gpr[RAX] = __HYPERVISOR_event_channel_op;
	v->hv.regs.gpr[RDI] = op;
	v->hv.regs.gpr[RSI] = ARGS;
	exit_dispatch(v, &x);
	assert_int_equal(mm_read(&d->space, ARGS, args, bytes), MM_OK);
	return (int64_t)v->hv.regs.gpr[RAX];
}

/* The new port, or the error. */
static int64_t offer(struct domain *d, domid_t dom, domid_t remote)
{
	struct evtchn_alloc_unbound o = {.dom = dom, .remote_dom = remote, .port = 0x5555};
	int64_t rc = call(d, EVTCHNOP_alloc_unbound, &o, sizeof(o));

	return rc ? rc : o.port;
}

static int64_t bind(struct domain *d, domid_t remote, uint32_t port)
{
	struct evtchn_bind_interdomain i = {.remote_dom = remote, .remote_port = port};
	int64_t rc = call(d, EVTCHNOP_bind_interdomain, &i, sizeof(i));

	return rc ? rc : i.local_port;
}

static int64_t port_op(struct domain *d, unsigned op, uint32_t port)
{
	return call(d, op, &port, sizeof(port));
}

static struct evtchn_status status(struct domain *d, uint32_t port)
{
	struct evtchn_status s;

	memset(&s, 0xee, sizeof(s));
	s.dom = DOMID_SELF;
	s.port = port;
	assert_int_equal(call(d, EVTCHNOP_status, &s, sizeof(s)), 0);
	return s;
}

static bool pending(struct domain *d, uint32_t port)
{
	uint8_t *byte = d->shared_info + SHARED_PENDING + port / 8, bit = (uint8_t)(1u << port % 8);
	bool is = *byte & bit;

	*byte &= (uint8_t)~bit;
	return is;
}

static void an_event_arrives(void **state)
{
	struct evtchn_status s;
	int64_t mine, its;

	(void)state;
	assert_int_equal(offer(a, DOMID_SELF, DOMID_SELF), 1); /* so that the ports differ */
	mine = offer(a, DOMID_SELF, 2);
	assert_int_equal(mine, 2);
	s = status(a, 2);
	assert_int_equal(s.status, EVTCHNSTAT_unbound);
	assert_int_equal(s.u.unbound.dom, 2);
	assert_int_equal(port_op(a, EVTCHNOP_send, 2), 0); /* nobody hears it */
	its = bind(b, 1, 2);
	assert_int_equal(its, 1);
	assert_true(pending(b, 1)); /* so it looks whether it missed something */
	assert_int_equal(port_op(a, EVTCHNOP_send, 2), 0);
	assert_true(pending(b, 1));
	assert_true(evtchn_pending(b->vcpus[0]));
	assert_false(pending(a, 2));
	assert_int_equal(port_op(b, EVTCHNOP_send, 1), 0);
	assert_true(pending(a, 2));
	s = status(b, 1);
	assert_int_equal(s.status, EVTCHNSTAT_interdomain);
	assert_int_equal(s.u.interdomain.dom, 1);
	assert_int_equal(s.u.interdomain.port, 2);
	s = status(a, 2);
	assert_int_equal(s.u.interdomain.dom, 2);
	assert_int_equal(s.u.interdomain.port, 1);
}

static void with_itself(void **state)
{
	(void)state;
	assert_int_equal(offer(a, 1, DOMID_SELF), 1);
	assert_int_equal(bind(a, DOMID_SELF, 1), 2);
	pending(a, 2);
	assert_int_equal(port_op(a, EVTCHNOP_send, 1), 0);
	assert_true(pending(a, 2));
	assert_int_equal(port_op(a, EVTCHNOP_close, 1), 0);
	assert_int_equal(status(a, 2).status, EVTCHNSTAT_unbound);
	assert_int_equal(port_op(a, EVTCHNOP_close, 2), 0);
	assert_int_equal(offer(a, DOMID_SELF, DOMID_SELF), 1);
	assert_int_equal(bind(a, DOMID_SELF, 1), 2);
}

/* Only the one it was offered to, only an offer, once; and nobody offers for another. */
static void who_may_not(void **state)
{
	struct evtchn_bind_ipi ipi = {.vcpu = 0};

	(void)state;
	assert_int_equal(offer(a, 2, 1), -XEN_EPERM);
	assert_int_equal(offer(a, DOMID_SELF, 3), 1);
	assert_int_equal(bind(b, 1, 1), -XEN_EINVAL); /* offered to domain 3 */
	assert_int_equal(bind(a, 1, 1), -XEN_EINVAL);
	assert_int_equal(call(a, EVTCHNOP_bind_ipi, &ipi, sizeof(ipi)), 0);
	assert_int_equal(bind(b, 1, 2), -XEN_EINVAL); /* an IPI */
	assert_int_equal(bind(b, 1, 9), -XEN_EINVAL); /* free */
	assert_int_equal(bind(b, 1, 0), -XEN_EINVAL);
	assert_int_equal(bind(b, 1, MAX_EVTCHNS), -XEN_EINVAL);
	assert_int_equal(bind(b, 1, UINT32_MAX), -XEN_EINVAL);
	assert_int_equal(bind(b, 0, 1), -XEN_ESRCH);
	assert_int_equal(bind(b, 77, 1), -XEN_ESRCH);
	assert_int_equal(bind(b, DOMID_SELF - 1, 1), -XEN_ESRCH);
	assert_int_equal(offer(a, DOMID_SELF, 2), 3);
	assert_int_equal(bind(b, 1, 3), 1);
	assert_int_equal(bind(b, 1, 3), -XEN_EINVAL); /* taken */
	/* Nothing was left of what failed. */
	assert_int_equal(offer(b, DOMID_SELF, 1), 2);
}

static void all_ports_taken(void **state)
{
	(void)state;
	assert_int_equal(offer(a, DOMID_SELF, 2), 1);
	for (unsigned i = 1; i < MAX_EVTCHNS; i++)
		assert_int_equal(offer(b, DOMID_SELF, 1), i);
	assert_int_equal(offer(b, DOMID_SELF, 1), -XEN_ENOSPC);
	assert_int_equal(bind(b, 1, 1), -XEN_ENOSPC);
	assert_int_equal(status(a, 1).status, EVTCHNSTAT_unbound);
}

static void a_close_makes_an_offer_again(void **state)
{
	(void)state;
	assert_int_equal(offer(a, DOMID_SELF, 2), 1);
	assert_int_equal(bind(b, 1, 1), 1);
	assert_int_equal(port_op(b, EVTCHNOP_close, 1), 0);
	assert_int_equal(status(a, 1).status, EVTCHNSTAT_unbound);
	assert_int_equal(status(b, 1).status, EVTCHNSTAT_closed);
	assert_int_equal(port_op(a, EVTCHNOP_send, 1), 0);
	assert_int_equal(port_op(b, EVTCHNOP_close, 1), -XEN_EINVAL);
	assert_int_equal(bind(b, 1, 1), 1);
	/* The other way round. */
	assert_int_equal(port_op(a, EVTCHNOP_close, 1), 0);
	assert_int_equal(status(b, 1).status, EVTCHNSTAT_unbound);
	assert_int_equal(port_op(b, EVTCHNOP_send, 1), 0);
}

/* An end may be told on another vCPU. */
static void another_vcpu(void **state)
{
	struct evtchn_bind_vcpu v = {.port = 1, .vcpu = 1};

	(void)state;
	assert_int_equal(offer(a, DOMID_SELF, 2), 1);
	assert_int_equal(bind(b, 1, 1), 1);
	assert_int_equal(call(b, EVTCHNOP_bind_vcpu, &v, sizeof(v)), 0);
	pending(b, 1);
	b->vcpus[0]->info[VCPU_INFO_PENDING] = 0;
	assert_int_equal(port_op(a, EVTCHNOP_send, 1), 0);
	assert_true(evtchn_pending(b->vcpus[1]));
	assert_false(evtchn_pending(b->vcpus[0]));
}

static void a_domain_dies(void **state)
{
	(void)state;
	assert_int_equal(offer(a, DOMID_SELF, 2), 1);
	assert_int_equal(bind(b, 1, 1), 1);
	assert_int_equal(offer(b, DOMID_SELF, 1), 2);
	assert_int_equal(bind(a, 2, 2), 2);
	fake_domain_free(b);
	b = NULL;
	assert_int_equal(status(a, 1).status, EVTCHNSTAT_unbound);
	assert_int_equal(status(a, 2).status, EVTCHNSTAT_unbound);
	assert_int_equal(port_op(a, EVTCHNOP_send, 1), 0);
	assert_int_equal(port_op(a, EVTCHNOP_send, 2), 0);
	assert_int_equal(bind(a, 2, 2), -XEN_ESRCH);
	assert_int_equal(port_op(a, EVTCHNOP_close, 1), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
	    T(an_event_arrives), T(with_itself),  T(who_may_not),
	    T(all_ports_taken),  T(another_vcpu), T(a_close_makes_an_offer_again),
	    T(a_domain_dies),
	};

	return cmocka_run_group_tests_name("evtchn_pair", tests, NULL, NULL);
}
