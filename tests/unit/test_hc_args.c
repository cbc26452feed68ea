/* SPDX-License-Identifier: MIT */
/*
 * What hypercalls do with each of their arguments: the last value that is good and the first
 * that is not, the byte where an answer goes, and that nothing else happens.
 */
#include "tests/unit/hc_test.h"

static int64_t hvm_param(unsigned cmd, domid_t domid, uint32_t index, uint64_t value)
{
	const struct xen_hvm_param p = {.domid = domid, .index = index, .value = value};

	return op(__HYPERVISOR_hvm_op, cmd, &p, sizeof(p));
}

static uint64_t param_now(void)
{
	struct xen_hvm_param p;

	assert_int_equal(hvm_param(HVMOP_get_param, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, UINT64_MAX),
	                 0);
	get(ARGS, &p, sizeof(p));
	return p.value;
}

/* The callback is a vector from 0x10 on (type 2 in bits 63..56), or none that we raise (type 0). */
static void callback(void **state)
{
	const uint64_t vector = UINT64_C(2) << 56;

	(void)state;
	spoil = true;
	assert_int_equal(
	    hvm_param(HVMOP_set_param, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, vector | 16), 0);
	assert_int_equal(d->callback_vector, 16);
	spoil = false;
	assert_true(param_now() == (vector | 16));
	for (uint64_t type = 0; type < 256; type++)
		if (type != 0 && type != 2)
			assert_int_equal(hvm_param(HVMOP_set_param, d->id, HVM_PARAM_CALLBACK_IRQ,
			                           type << 56 | 0x20),
			                 -XEN_EINVAL);
	assert_int_equal(hvm_param(HVMOP_set_param, d->id, HVM_PARAM_CALLBACK_IRQ, vector | 15),
	                 -XEN_EINVAL);
	assert_int_equal(d->callback_vector, 16);
	assert_int_equal(hvm_param(HVMOP_set_param, d->id, HVM_PARAM_CALLBACK_IRQ, 0x20), 0);
	assert_int_equal(d->callback_vector, 0);
	assert_true(param_now() == 0x20);
}

static void hvm_params(void **state)
{
	const struct xen_hvm_param self = {.domid = DOMID_SELF};

	(void)state;
	assert_int_equal(hvm_param(HVMOP_get_param, d->id, HVM_NR_PARAMS - 1, 0), 0);
	assert_int_equal(hvm_param(HVMOP_get_param, d->id, HVM_NR_PARAMS, 0), -XEN_EINVAL);
	assert_int_equal(hvm_param(HVMOP_get_param, 2, HVM_PARAM_CALLBACK_IRQ, 0), -XEN_EPERM);
	assert_int_equal(hvm_param(HVMOP_set_param, 2, HVM_PARAM_CALLBACK_IRQ, 0), -XEN_EPERM);
	assert_int_equal(hvm_param(HVMOP_set_param, d->id, HVM_PARAM_STORE_PFN, 0), -XEN_EPERM);
	assert_int_equal(hvm_param(9, d->id, HVM_PARAM_CALLBACK_IRQ, 0), -XEN_ENOSYS);
	assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_get_param, RAM_BYTES, 0), -XEN_EFAULT);
	assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_set_param, RAM_BYTES - 8, 0), -XEN_EFAULT);
	/* The answer begins behind what was asked, and may lie outside of memory by itself. */
	put(RAM_BYTES - 8, &self, 8);
	assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_get_param, RAM_BYTES - 8, 0), -XEN_EFAULT);
}

/* A vector of its own for one vCPU, from 0x10 on. */
static void upcall_vector(void **state)
{
	struct xen_hvm_evtchn_upcall_vector u = {.vcpu = 1, .vector = 16};

	(void)state;
	spoil = true;
	assert_int_equal(op(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u, sizeof(u)), 0);
	assert_int_equal(d->vcpus[1]->upcall_vector, 16);
	assert_int_equal(v->upcall_vector, 0);
	u.vector = 15;
	assert_int_equal(op(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u, sizeof(u)),
	                 -XEN_EINVAL);
	u.vector = 255;
	u.vcpu = 2;
	assert_int_equal(op(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u, sizeof(u)),
	                 -XEN_ENOENT);
	assert_int_equal(
	    call(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, RAM_BYTES - 4, 0),
	    -XEN_EFAULT);
	assert_int_equal(d->vcpus[1]->upcall_vector, 16);
}

static void assist(void **state)
{
	(void)state;
	assert_int_equal(
	    call(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag, 0),
	    0);
	assert_true(d->runstate_flag);
	assert_int_equal(call(__HYPERVISOR_vm_assist, 2, VMASST_TYPE_runstate_update_flag, 0),
	                 -XEN_EINVAL);
	assert_int_equal(call(__HYPERVISOR_vm_assist, VMASST_CMD_disable, 0, 0), -XEN_EINVAL);
	assert_true(d->runstate_flag);
	assert_int_equal(
	    call(__HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_runstate_update_flag, 0),
	    0);
	assert_false(d->runstate_flag);
}

static void features(void **state)
{
	struct xen_feature_info info = {.submap_idx = 0, .submap = UINT32_MAX};

	(void)state;
	spoil = true;
	assert_int_equal(op(__HYPERVISOR_xen_version, XENVER_get_features, &info, sizeof(info)), 0);
	get(ARGS, &info, sizeof(info));
	assert_true(info.submap & 1u << XENFEAT_hvm_callback_vector);
	assert_false(info.submap & 1u << XENFEAT_writable_page_tables);
	info.submap_idx = XENFEAT_NR_SUBMAPS;
	assert_int_equal(op(__HYPERVISOR_xen_version, XENVER_get_features, &info, sizeof(info)),
	                 -XEN_EINVAL);
	assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_get_features, RAM_BYTES, 0),
	                 -XEN_EFAULT);
}

/* ---- sched_op ---- */

static void block(void **state)
{
	(void)state;
	v->info[VCPU_INFO_MASK] = 1;
	assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
	assert_int_equal(v->state, VCPU_BLOCKED);
	assert_int_equal(v->info[VCPU_INFO_MASK], 0);
	assert_int_equal(call(__HYPERVISOR_sched_op, 99, 0, 0), -XEN_ENOSYS);
}

static int64_t end_with(uint32_t reason)
{
	const struct sched_shutdown s = {.reason = reason};

	return op(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s, sizeof(s));
}

static void shutdown(void **state)
{
	(void)state;
	assert_int_equal(end_with(SHUTDOWN_MAX + 1), -XEN_EINVAL);
	assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, RAM_BYTES, 0), -XEN_EFAULT);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
	assert_int_equal(end_with(SHUTDOWN_reboot), 0);
	assert_int_equal(d->shutdown, SHUTDOWN_reboot);
}

/* A soft reset or a watchdog, which we do not offer, is an end with a crash. */
static void shutdown_of_other_kinds(void **state)
{
	(void)state;
	assert_int_equal(end_with(SHUTDOWN_MAX), 0);
	assert_int_equal(d->shutdown, SHUTDOWN_CRASH_);
}

static int64_t poll_ports(const uint32_t *port, unsigned n)
{
	struct sched_poll p = {.nr_ports = n};

	p.ports.p = (evtchn_port_t *)LIST;
	put(LIST, port, n * sizeof(*port));
	return op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p));
}

/* As many ports as there may be, the highest one among them; and none that is not one. */
static void poll_limits(void **state)
{
	uint32_t port[129];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(port); i++)
		port[i] = MAX_EVTCHNS - 1;
	assert_int_equal(poll_ports(port, 129), -XEN_EINVAL);
	port[127] = MAX_EVTCHNS;
	assert_int_equal(poll_ports(port, 128), -XEN_EINVAL);
	port[127] = 0;
	assert_int_equal(poll_ports(port, 128), -XEN_EINVAL);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	port[127] = 1;
	spoil = true;
	assert_int_equal(poll_ports(port, 128), 0);
	assert_int_equal(v->state, VCPU_BLOCKED);
	assert_true(v->poll_ports[1] == BIT(63) && v->poll_ports[0] == BIT(1));
	assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_poll, RAM_BYTES, 0), -XEN_EFAULT);
}

/* A port wakes those that poll for it, whatever word it is in, and nobody else. */
static void poll_wakes_by_port(void **state)
{
	struct evtchn_bind_ipi b = {.vcpu = 1};

	(void)state;
	for (unsigned i = 1; i < MAX_EVTCHNS; i++)
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, 8), 0);
	memset(d->shared_info + SHARED_MASK(true), 0xff, MAX_EVTCHNS / 8);
	for (uint32_t port = 1; port < MAX_EVTCHNS; port++) {
		memset(d->shared_info + SHARED_PENDING, 0, MAX_EVTCHNS / 8);
		assert_int_equal(poll_ports(&port, 1), 0);
		assert_int_equal(v->state, VCPU_BLOCKED);
		for (uint32_t other = 1; other < MAX_EVTCHNS; other++)
			if (other != port)
				evtchn_send_port(d, other);
		assert_int_equal(v->state, VCPU_BLOCKED);
		evtchn_send_port(d, port);
		assert_int_equal(v->state, VCPU_RUNNABLE);
	}
}

/* An upcall that is pending already ends a poll before it begins. */
static void poll_with_an_upcall(void **state)
{
	const uint32_t port = 5;

	(void)state;
	v->info[VCPU_INFO_PENDING] = 1;
	assert_int_equal(poll_ports(&port, 1), 0);
	assert_int_equal(v->state, VCPU_RUNNABLE);
}

static void narrow_poll(void **state)
{
	const struct sched_poll_32 p = {.ports = LIST, .nr_ports = 1, .timeout = 3000};
	const uint32_t port = 33;

	(void)state;
	f->mode = 0;
	put(ARGS, &p, sizeof(p));
	put(LIST, &port, 4);
	v->hv.regs.gpr[RBX] = SCHEDOP_poll;
	v->hv.regs.gpr[RCX] = ARGS;
	assert_int_equal(enter(__HYPERVISOR_sched_op), 0);
	assert_true(v->poll_ports[0] == BIT(33));
	assert_int_equal(timer_next_ns(), 3000);
}

/* ---- event channels ---- */

/* Every port's bits are where Xen's interface has them: one bit a port, from byte 2048 on. */
static void every_port_has_its_bit(void **state)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};

	(void)state;
	for (uint32_t port = 1; port < MAX_EVTCHNS; port++) {
		uint8_t want[MAX_EVTCHNS / 8] = {0};

		want[port / 8] = (uint8_t)(1u << port % 8);
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, 8), 0);
		memset(d->shared_info + SHARED_PENDING, 0, sizeof(want));
		memset(v->info, 0, 32);
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &port, 4), 0);
		assert_memory_equal(d->shared_info + SHARED_PENDING, want, sizeof(want));
		assert_int_equal(v->info[VCPU_INFO_PENDING], 1);
		assert_int_equal(v->info[VCPU_INFO_SEL(true)], 1u << port / 64);
		/* Masked, it says so in the one place and in no other. */
		memset(d->shared_info + SHARED_PENDING, 0, sizeof(want));
		memset(v->info, 0, 32);
		memcpy(d->shared_info + SHARED_MASK(true), want, sizeof(want));
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &port, 4), 0);
		assert_int_equal(v->info[VCPU_INFO_PENDING], 0);
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, &port, 4), 0);
		assert_int_equal(v->info[VCPU_INFO_PENDING], 1);
		memset(want, 0, sizeof(want));
		assert_memory_equal(d->shared_info + SHARED_MASK(true), want, sizeof(want));
	}
}

static int64_t status_of(uint32_t port, struct evtchn_status *s)
{
	int64_t rc;

	memset(s, 0xff, sizeof(*s));
	s->dom = DOMID_SELF;
	s->port = port;
	rc = op(__HYPERVISOR_event_channel_op, EVTCHNOP_status, s, sizeof(*s));
	get(ARGS, s, sizeof(*s));
	return rc;
}

static void status(void **state)
{
	const struct evtchn_bind_virq b = {.virq = VIRQ_DEBUG, .vcpu = 1};
	struct evtchn_status s;

	(void)state;
	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, &b, sizeof(b)), 0);
	assert_int_equal(status_of(1, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_virq);
	assert_int_equal(s.vcpu, 1);
	assert_int_equal(s.u.virq, VIRQ_DEBUG);
	assert_int_equal(status_of(MAX_EVTCHNS - 1, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_closed);
	assert_int_equal(s.u.virq, 0);
	assert_int_equal(status_of(MAX_EVTCHNS, &s), -XEN_EINVAL);
	s.port = 1;
	put(RAM_BYTES - 8, &s, 8);
	assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_status, RAM_BYTES - 8, 0),
	                 -XEN_EFAULT);
}

/* A channel moves to another vCPU of the domain, if it is not one of its own by nature. */
static void bind_vcpu(void **state)
{
	const struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER};
	struct evtchn_bind_ipi ipi = {.vcpu = 0};
	struct evtchn_bind_vcpu b = {.vcpu = 1};
	struct quire_bind_control c = {0, 0};
	struct evtchn_status s;
	const unsigned nr = __HYPERVISOR_event_channel_op;

	(void)state;
	assert_int_equal(op(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, &c, sizeof(c)), 0);
	get(ARGS, &c, sizeof(c));
	b.port = c.port;
	assert_int_equal(op(nr, EVTCHNOP_bind_vcpu, &b, sizeof(b)), 0);
	assert_int_equal(status_of(b.port, &s), 0);
	assert_int_equal(s.vcpu, 1);
	b.vcpu = 2;
	assert_int_equal(op(nr, EVTCHNOP_bind_vcpu, &b, sizeof(b)), -XEN_ENOENT);
	b.vcpu = 0;
	b.port = 50;
	assert_int_equal(op(nr, EVTCHNOP_bind_vcpu, &b, sizeof(b)), -XEN_EINVAL);
	assert_int_equal(op(nr, EVTCHNOP_bind_ipi, &ipi, sizeof(ipi)), 0);
	get(ARGS, &ipi, sizeof(ipi));
	b.port = ipi.port;
	assert_int_equal(op(nr, EVTCHNOP_bind_vcpu, &b, sizeof(b)), -XEN_EINVAL);
	assert_int_equal(op(nr, EVTCHNOP_bind_virq, &virq, sizeof(virq)), 0);
	get(ARGS + offsetof(struct evtchn_bind_virq, port), &b.port, 4);
	assert_int_equal(op(nr, EVTCHNOP_bind_vcpu, &b, sizeof(b)), -XEN_EINVAL);
}

/* ---- vcpu_op ---- */

/* The old contents move along, to the byte; around them nothing changes. */
static void vcpu_info(void **state)
{
	const struct vcpu_register_vcpu_info r = {.mfn = 40, .offset = 128};
	uint8_t before[VCPU_INFO_BYTES], after[3 * VCPU_INFO_BYTES];

	(void)state;
	for (unsigned i = 0; i < VCPU_INFO_TIME; i++)
		v->info[i] = (uint8_t)(0x40 + i);
	memcpy(before, v->info, sizeof(before));
	put(ARGS, &r, sizeof(r));
	spoil = true;
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS), 0);
	get(40 * PAGE_SIZE + 64, after, sizeof(after));
	before[VCPU_INFO_PENDING] = 1;
	before[VCPU_INFO_SEL(true)] |= 3; /* 128 ports are two words */
	assert_memory_equal(after + VCPU_INFO_BYTES, before, VCPU_INFO_TIME);
	for (unsigned i = 0; i < VCPU_INFO_BYTES; i++)
		assert_true(after[i] == 0 && after[2 * VCPU_INFO_BYTES + i] == 0);
}

static void vcpu_info_limits(void **state)
{
	static const struct {
		uint64_t mfn;
		uint32_t offset;
	} bad[] = {
	    {GFN_LIMIT, 0	                      },
            {40,        PAGE_SIZE - VCPU_INFO_BYTES + 8},
            {40,        4                              },
            {40,        UINT32_MAX - 7                 }
        };
	struct vcpu_register_vcpu_info r = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		r.mfn = bad[i].mfn;
		r.offset = bad[i].offset;
		put(ARGS, &r, sizeof(r));
		assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS),
		                 -XEN_EINVAL);
	}
	r.mfn = 40;
	r.offset = PAGE_SIZE - VCPU_INFO_BYTES;
	put(ARGS, &r, sizeof(r));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARGS), 0);
	/* Another vCPU's may be placed only as long as that one is down. */
	d->vcpus[1]->info_registered = false;
	d->vcpus[1]->state = VCPU_BLOCKED;
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARGS),
	                 -XEN_EINVAL);
	d->vcpus[1]->state = VCPU_DOWN;
	d->vcpus[1]->info_registered = true;
}

/* Another's areas are its own to write to, and to give up, at any time. */
static void vcpu_info_of_another(void **state)
{
	const struct vcpu_register_vcpu_info r = {.mfn = 40, .offset = 128};
	struct pinned_area *area = &d->vcpus[1]->time_area;
	uint8_t page[PAGE_SIZE] = {0};

	(void)state;
	*area = (struct pinned_area){
	    .set = true, .page = {page}, .bytes = sizeof(struct vcpu_time_info)};
	put(ARGS, &r, sizeof(r));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARGS), 0);
	for (unsigned i = 0; i < sizeof(page); i++)
		assert_int_equal(page[i], 0);
	area->set = false;
}

static void runstate_info(void **state)
{
	struct vcpu_runstate_info info;

	(void)state;
	host_now_ns[0] = 5000;
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 1, LIST + 4096 - 8),
	                 0);
	get(LIST + 4096 - 8, &info, sizeof(info));
	assert_int_equal(info.state, RUNSTATE_offline);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 2, LIST),
	                 -XEN_ENOENT);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, RAM_BYTES),
	                 -XEN_EFAULT);
}

static int64_t set_timer(unsigned vcpu, uint64_t ns, uint32_t flags)
{
	const struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = ns, .flags = flags};

	put(ARGS, &t, sizeof(t));
	return call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, vcpu, ARGS);
}

static void timers(void **state)
{
	(void)state;
	host_now_ns[0] = 5000;
	assert_int_equal(set_timer(0, 6000, VCPU_SSHOTTMR_future), 0);
	assert_int_equal(timer_next_ns(), 6000);
	assert_int_equal(set_timer(0, 5000, VCPU_SSHOTTMR_future), 0); /* now is no past */
	assert_int_equal(set_timer(0, 4999, VCPU_SSHOTTMR_future), -XEN_ETIME);
	assert_int_equal(timer_next_ns(), 5000);
	assert_int_equal(set_timer(0, 4999, 0), 0);
	assert_int_equal(timer_next_ns(), 4999);
	assert_int_equal(set_timer(1, 6000, 0), -XEN_EINVAL); /* its own only */
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 1, 0),
	                 -XEN_EINVAL);
	assert_int_equal(timer_next_ns(), 4999);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
	assert_int_equal(timer_next_ns(), UINT64_MAX);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, 99, 0, 0), -XEN_ENOSYS);
}

/* ---- our own ---- */

static void control(void **state)
{
	struct quire_bind_control b = {.reserved = 1};
	struct quire_exits e;

	(void)state;
	assert_int_equal(op(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, &b, sizeof(b)), -XEN_EINVAL);
	assert_int_equal(call(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, RAM_BYTES, 0), -XEN_EFAULT);
	assert_int_equal(d->control_port, 0);
	b.reserved = 0;
	spoil = true;
	assert_int_equal(op(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, &b, sizeof(b)), 0);
	spoil = false;
	get(ARGS, &b, sizeof(b));
	assert_true(b.port != 0 && b.port == d->control_port);
	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &b.port, sizeof(b.port)),
	                 0);
	assert_int_equal(d->control_port, 0);
	v->exits_total = 17;
	v->exits[EXIT_MEMORY] = 4;
	assert_int_equal(call(QUIRE_HYPERCALL, QUIRE_OP_EXITS, ARGS, 0), 0);
	get(ARGS, &e, sizeof(e));
	assert_int_equal(e.exits, v->exits_total);
	assert_int_equal(e.memory_exits, 4);
	assert_int_equal(call(QUIRE_HYPERCALL, 99, ARGS, 0), -XEN_ENOSYS);
}

/* The page of calls: 128 stubs, each with its number; the rest of it traps. */
static void hypercall_page(void **state)
{
	static const uint8_t first[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3, 0xcc};
	uint8_t page[PAGE_SIZE];

	(void)state;
	assert_int_equal(hypercall_page_write(v, RAM_BYTES), -XEN_EFAULT);
	host_fail_alloc_from(1);
	assert_int_equal(hypercall_page_write(v, 0x70000), HC_AGAIN);
	assert_int_equal(v->state, VCPU_MEMORY);
	host_fail_alloc(0);
	vcpu_wake_memory_waiters();
	assert_int_equal(hypercall_page_write(v, 0x70000), 0);
	assert_int_equal(d->space.stats.pinned, 0);
	get(0x70000, page, sizeof(page));
	for (unsigned i = 0; i < 128; i++) {
		uint8_t want[32];

		memset(want, 0xcc, sizeof(want));
		memcpy(want, first, sizeof(first));
		want[1] = (uint8_t)i;
		assert_memory_equal(page + 32 * i, want, sizeof(want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(callback),
	    T(hvm_params),
	    T(upcall_vector),
	    T(assist),
	    T(features),
	    T(block),
	    T(shutdown),
	    T(shutdown_of_other_kinds),
	    T(poll_limits),
	    T(poll_wakes_by_port),
	    T(poll_with_an_upcall),
	    T(narrow_poll),
	    T(every_port_has_its_bit),
	    T(status),
	    T(bind_vcpu),
	    T(vcpu_info),
	    T(vcpu_info_limits),
	    T(vcpu_info_of_another),
	    T(runstate_info),
	    T(timers),
	    T(control),
	    T(hypercall_page),
	};

	return cmocka_run_group_tests_name("hc_args", tests, NULL, NULL);
}
