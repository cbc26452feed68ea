/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls with good and with hostile arguments, natively; each byte of them is
 * fetched once (tests/unit/hc_test.h).
 */
#include "tests/unit/hc_test.h"

/* ---- who may call what ---- */

static void test_privilege(void **state)
{
	(void)state;
	f->mode = VCPU_MODE_64 | 3;
	assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), -XEN_EPERM);
	f->mode = VCPU_MODE_64;
	assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17);
}

static void test_unknown(void **state)
{
	static const uint64_t numbers[] = {
	    0,         1,  2,  13, 19,  33,       48,
	    49,        51, 63, 64, 127, 1u << 31, UINT64_C(1) << 32 | __HYPERVISOR_xen_version,
	    UINT64_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_int_equal(call(numbers[i], 0, 0, 0), -XEN_ENOSYS);
}

/* 32-bit callers: high halves of all registers are dirt; the result is 32 bits wide. */
static void test_narrow(void **state)
{
	const uint64_t dirt = UINT64_C(0xdead0000) << 32;

	(void)state;
	f->mode = 0;
	v->hv.regs.gpr[RBX] = dirt | XENVER_version;
	v->hv.regs.gpr[RCX] = dirt;
	assert_int_equal(enter(dirt | __HYPERVISOR_xen_version), 4 << 16 | 17);
	v->hv.regs.gpr[RBX] = dirt | XENVER_get_features;
	v->hv.regs.gpr[RCX] = dirt | ARGS;
	assert_int_equal(enter(dirt | __HYPERVISOR_xen_version), 0);
	v->hv.regs.gpr[RBX] = 9999;
	assert_true(enter(__HYPERVISOR_sched_op) == (uint32_t)-XEN_ENOSYS);
}

/* A 32-bit reservation is 20 bytes, its extents are 4 bytes each. */
static void test_narrow_balloon(void **state)
{
	struct memory_reservation_32 r = {ARGS + 0x100, 3, 0, 0, DOMID_SELF, 0};
	uint32_t gfns[3] = {100, 101, 102};

	(void)state;
	f->mode = 0;
	put(ARGS, &r, sizeof(r));
	put(ARGS + 0x100, gfns, sizeof(gfns));
	v->hv.regs.gpr[RBX] = XENMEM_decrease_reservation;
	v->hv.regs.gpr[RCX] = ARGS;
	assert_int_equal(enter(__HYPERVISOR_memory_op), 3);
	assert_int_equal(p2m_lookup(&d->space, GFN(101)).type, P2M_BALLOONED);
}

/* ---- the balloon ---- */

static int64_t balloon(unsigned cmd, uint64_t n, unsigned order)
{
	struct xen_memory_reservation r = {
	    .nr_extents = n, .extent_order = order, .domid = DOMID_SELF};

	r.extent_start.p = (xen_pfn_t *)LIST;
	return op(__HYPERVISOR_memory_op, cmd, &r, sizeof(r));
}

static void list(unsigned i, uint64_t gfn)
{
	put(LIST + i * 8, &gfn, 8);
}

/* 300 extents take several entries, whose progress lies in the guest's register. */
static void test_balloon(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		list(i, 512 + i);
	spoil = true;
	assert_int_equal(balloon(XENMEM_decrease_reservation, 100, 0), 100);
	spoil = false;
	for (unsigned i = 0; i < 100; i++)
		list(i, 512 + i);
	assert_int_equal(balloon(XENMEM_populate_physmap, 100, 0), 100);
	assert_int_equal(balloon(XENMEM_decrease_reservation, 300, 0), 300);
	assert_int_equal(d->space.memory_pages, PAGES - 300);
	assert_int_equal(p2m_lookup(&d->space, GFN(811)).type, P2M_BALLOONED);
	assert_int_equal(balloon(XENMEM_populate_physmap, 300, 0), 300);
	assert_int_equal(d->space.memory_pages, PAGES);
}

/* What is wrong ends the call with the number done before it. */
static void test_balloon_partial(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		list(i, 512 + i);
	list(200, 512); /* gone already */
	assert_int_equal(balloon(XENMEM_decrease_reservation, 300, 0), 200);
	list(0, UINT64_MAX);
	assert_int_equal(balloon(XENMEM_populate_physmap, 300, 0), 0);
	list(0, 513);
	assert_int_equal(balloon(XENMEM_decrease_reservation, 1, LARGE_ORDER), 0); /* unaligned */
	assert_int_equal(balloon(XENMEM_decrease_reservation, 1, 3), 0);
	assert_int_equal(balloon(XENMEM_decrease_reservation, UINT64_MAX, 0), 0);
	assert_int_equal(
	    call(__HYPERVISOR_memory_op, UINT64_C(1) << 40 | XENMEM_decrease_reservation, ARGS, 0),
	    INT64_C(1) << 34);
}

/* ---- reserve before the first side effect ---- */

static int64_t bind_virq(uint64_t at, uint32_t virq, uint32_t vcpu)
{
	const struct evtchn_bind_virq b = {.virq = virq, .vcpu = vcpu};

	put(at, &b, 8);
	return call(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, at, 0);
}

/*
 * The output's page is not there yet and no frame is to be had: the vCPU
 * waits, nothing is bound. With memory again the same call binds once.
 */
static void test_no_memory(void **state)
{
	const uint64_t border = 0x30000 - 8; /* inputs here, the output in the next page */
	const struct evtchn_bind_virq b = {.virq = VIRQ_TIMER};

	(void)state;
	put(border, &b, 8);
	set_args(EVTCHNOP_bind_virq, border, 0);
	host_fail_alloc_from(1);
	assert_int_equal(enter(__HYPERVISOR_event_channel_op), HC_AGAIN);
	assert_int_equal(v->state, VCPU_MEMORY);
	assert_int_equal(v->virq_port[VIRQ_TIMER], 0);
	assert_int_equal(d->space.stats.pinned, 0);
	host_fail_alloc(0);
	vcpu_wake_memory_waiters();
	assert_int_equal(enter(__HYPERVISOR_event_channel_op), 0);
	assert_int_equal(v->virq_port[VIRQ_TIMER], 1);
	assert_int_equal(v->wait_ticket, 0);
}

/* ---- event channels ---- */

#define PENDING(port) (d->shared_info[2048 + (port) / 8] >> (port) % 8 & 1)

static int64_t port_op(unsigned cmd, uint32_t port)
{
	return op(__HYPERVISOR_event_channel_op, cmd, &port, sizeof(port));
}

static void test_events(void **state)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};
	struct evtchn_status s = {.dom = DOMID_SELF, .port = 1};

	(void)state;
	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, sizeof(b)), 0);
	get(ARGS, &b, sizeof(b));
	assert_int_equal(b.port, 1);
	/* Masked: pending, but no upcall until it is unmasked. */
	d->shared_info[SHARED_MASK(true)] = 2;
	assert_int_equal(port_op(EVTCHNOP_send, 1), 0);
	assert_int_equal(PENDING(1), 1);
	assert_false(evtchn_pending(v));
	assert_int_equal(port_op(EVTCHNOP_unmask, 1), 0);
	assert_true(evtchn_pending(v));
	assert_int_equal(v->info[VCPU_INFO_SEL(true)], 1);
	assert_int_equal(d->shared_info[SHARED_MASK(true)], 0);

	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_status, &s, sizeof(s)), 0);
	get(ARGS, &s, sizeof(s));
	assert_int_equal(s.status, EVTCHNSTAT_ipi);
	assert_int_equal(port_op(EVTCHNOP_close, 1), 0);
	assert_int_equal(PENDING(1), 0);
	assert_int_equal(port_op(EVTCHNOP_send, 1), -XEN_EINVAL);
	assert_int_equal(port_op(EVTCHNOP_close, 1), -XEN_EINVAL);
}

static void test_virq(void **state)
{
	(void)state;
	assert_int_equal(bind_virq(ARGS, VIRQ_TIMER, 0), 0);
	assert_int_equal(bind_virq(ARGS, VIRQ_TIMER, 0), -XEN_EEXIST);
	assert_int_equal(bind_virq(ARGS, VIRQ_TIMER, 1), 0);
	assert_int_equal(bind_virq(ARGS, VIRQ_TIMER, 2), -XEN_ENOENT);
	assert_int_equal(bind_virq(ARGS, 23, 0), -XEN_EINVAL);
	assert_int_equal(port_op(EVTCHNOP_send, 1), -XEN_EINVAL); /* a VIRQ is ours to send */
	timer_set(v, 1000);
	timer_tick();
	assert_int_equal(PENDING(1), 0);
	host_now_ns[0] = 1000;
	timer_tick();
	assert_int_equal(PENDING(1), 1);
	assert_true(timer_next_ns() == UINT64_MAX);
}

/* All ports taken: -ENOSPC, and a closed one can be had again. */
static void test_ports_run_out(void **state)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};

	(void)state;
	for (unsigned i = 1; i < MAX_EVTCHNS; i++)
		assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, 8), 0);
	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, 8), -XEN_ENOSPC);
	assert_int_equal(port_op(EVTCHNOP_close, 77), 0);
	assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b, 8), 0);
	get(ARGS, &b, sizeof(b));
	assert_int_equal(b.port, 77);
}

static void test_poll(void **state)
{
	uint32_t port = 1;
	struct sched_poll p = {.nr_ports = 1, .timeout = 5000};

	(void)state;
	assert_int_equal(bind_virq(ARGS, VIRQ_TIMER, 0), 0);
	d->shared_info[SHARED_MASK(true)] = 2; /* masked ports wake a poller too */
	put(LIST, &port, 4);
	p.ports.p = (evtchn_port_t *)LIST;
	assert_int_equal(op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)), 0);
	assert_int_equal(v->state, VCPU_BLOCKED);
	evtchn_send_virq(v, VIRQ_TIMER);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	/* Pending now: no sleep. Cleared: until the time is over. */
	assert_int_equal(op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)), 0);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	d->shared_info[2048] = 0;
	assert_int_equal(op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)), 0);
	assert_int_equal(v->state, VCPU_BLOCKED);
	host_now_ns[0] = 5000;
	timer_tick();
	assert_int_equal(v->state, VCPU_RUNNABLE);
	p.nr_ports = 1000;
	assert_int_equal(op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)), -XEN_EINVAL);
	/* Another CPU finds the time over before this one has gone to sleep: it does not. */
	v->polling = true;
	timer_set_poll(v, machine_ns());
	timer_tick();
	vcpu_block(v);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	/* The next poll waits as ever, and goes with its vCPU (see stop). */
	d->shared_info[2048] = 0;
	p.nr_ports = 1;
	p.timeout = 9000;
	assert_int_equal(op(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)), 0);
	assert_int_equal(v->state, VCPU_BLOCKED);
	assert_int_equal(timer_next_ns(), 9000);
}

/* ---- areas and vCPUs ---- */

static void test_vcpu_info(void **state)
{
	struct vcpu_register_vcpu_info r = {.mfn = 40, .offset = PAGE_SIZE - 32};
	uint8_t byte;

	(void)state;
	put(ARGS, &r, sizeof(r));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS),
	                 -XEN_EINVAL);
	r.offset = 64;
	put(ARGS, &r, sizeof(r));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS), 0);
	get(40 * PAGE_SIZE + 64, &byte, 1);
	assert_int_equal(byte, 1); /* look again: nothing is lost */
	assert_true(p2m_lookup(&d->space, GFN(40)).pinned);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS),
	                 -XEN_EINVAL);
	list(0, 40);
	assert_int_equal(balloon(XENMEM_decrease_reservation, 1, 0), 0); /* pinned: stays */
}

static void test_runstate_area(void **state)
{
	struct vcpu_runstate_info info;
	uint64_t at = 0x50000 - 20; /* across a border of pages */

	(void)state;
	put(ARGS, &at, 8);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, ARGS),
	                 0);
	get(at, &info, sizeof(info));
	assert_int_equal(info.state, v->runstate);
	at = RAM_BYTES;
	put(ARGS, &at, 8);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, ARGS),
	                 -XEN_EFAULT);
	assert_true(v->runstate_area.set); /* the old one stays */
}

/* The copy is the same clock; it follows each update, as long as it is wanted. */
static void test_time_area(void **state)
{
	const struct vcpu_time_info *first = (const void *)(v->info + VCPU_INFO_TIME);
	struct vcpu_time_info copy;
	uint64_t at = 0x50000 - 20, none = 0; /* across a border of pages */

	(void)state;
	put(ARGS, &at, 8);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 1, ARGS),
	                 -XEN_EINVAL); /* another vCPU's */
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, ARGS),
	                 0);
	get(at, &copy, sizeof(copy));
	assert_memory_equal(&copy, first, sizeof(copy));
	assert_true(copy.version && !(copy.version & 1) && copy.tsc_to_system_mul);
	pvclock_update(v, true);
	assert_true(first->version == copy.version + 2);
	get(at, &copy, sizeof(copy));
	assert_memory_equal(&copy, first, sizeof(copy));
	assert_int_equal(copy.flags & XEN_PVCLOCK_GUEST_STOPPED, XEN_PVCLOCK_GUEST_STOPPED);
	assert_int_equal(d->space.stats.pinned, 2);
	put(ARGS, &none, 8);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, ARGS),
	                 0);
	assert_int_equal(d->space.stats.pinned, 0);
	pvclock_update(v, false);
	get(at, &copy, sizeof(copy));
	assert_int_not_equal(copy.version, first->version);
	at = RAM_BYTES;
	put(ARGS, &at, 8);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, ARGS),
	                 -XEN_EFAULT);
}

static void test_initialise(void **state)
{
	struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_64B};

	(void)state;
	c.cpu_regs.x86_64.cr0 = BIT(31) | BIT(0);
	c.cpu_regs.x86_64.cr4 = BIT(5);
	c.cpu_regs.x86_64.efer = BIT(8);
	c.cpu_regs.x86_64.cr3 = 0x1000;
	c.cpu_regs.x86_64.rflags = BIT(17); /* VM86 */
	put(ARGS, &c, sizeof(c));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), -XEN_EINVAL);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS), -XEN_EINVAL);
	c.cpu_regs.x86_64.rflags = 0;
	/* SMXE, PCIDE, PKS, UINTR: CPUs may have them, CPUID does not show them. VMXE, too. */
	for (unsigned bit = 13; bit < 26; bit++) {
		if (!(0x3026000 & BIT(bit)))
			continue;
		c.cpu_regs.x86_64.cr4 = BIT(5) | BIT(bit);
		put(ARGS, &c, sizeof(c));
		assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS),
		                 -XEN_EINVAL);
	}
	c.cpu_regs.x86_64.cr4 = BIT(5);
	put(ARGS, &c, sizeof(c));
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS), 0);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS), -XEN_EEXIST);
	/* Nor the one that runs, which never asked for it. */
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 0, ARGS), -XEN_EEXIST);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 1);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0), 0);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
}

static void test_shared_info(void **state)
{
	struct xen_add_to_physmap a = {.domid = DOMID_SELF, .space = XENMAPSPACE_shared_info};

	(void)state;
	a.gpfn = 9;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	assert_int_equal(p2m_lookup(&d->space, GFN(9)).type, P2M_FOREIGN);
	a.gpfn = 10;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	assert_int_equal(p2m_lookup(&d->space, GFN(9)).type, P2M_BALLOONED);
	assert_int_equal(p2m_lookup(&d->space, GFN(10)).type, P2M_FOREIGN);
	a.gpfn = UINT64_MAX;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)),
	                 -XEN_EINVAL);
	a.space = XENMAPSPACE_gmfn;
	a.gpfn = 9;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)),
	                 -XEN_ENOSYS);
	a.domid = 7;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)),
	                 -XEN_EPERM);
}

static void test_memory_map(void **state)
{
	struct xen_memory_map m = {.nr_entries = 100};
	struct e820_entry e;

	(void)state;
	m.buffer.p = (void *)LIST;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_memory_map, &m, sizeof(m)), 0);
	get(LIST, &e, sizeof(e));
	assert_int_equal(e.base, 0);
	assert_int_equal(e.bytes, RAM_BYTES);
	m.nr_entries = 0;
	m.buffer.p = (void *)UINT64_MAX;
	assert_int_equal(op(__HYPERVISOR_memory_op, XENMEM_memory_map, &m, sizeof(m)), 0);
}

static void test_console(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'y', sizeof(text));
	text[999] = '\n';
	put(LIST, text, sizeof(text));
	assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, 1000, LIST), 0);
	assert_non_null(strstr(host_console, "(d1 fake1) yyyy"));
	assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, 10, RAM_BYTES - 5),
	                 -XEN_EFAULT);
	assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_read, 10, LIST), -XEN_ENOSYS);
}

static void test_quire(void **state)
{
	struct quire_control c;
	struct quire_bind_control b = {0, 0};

	(void)state;
	d->target_pages = 77;
	assert_int_equal(call(QUIRE_HYPERCALL, QUIRE_OP_GET_CONTROL, ARGS, 0), 0);
	get(ARGS, &c, sizeof(c));
	assert_int_equal(c.target_pages, 77);
	assert_int_equal(op(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, &b, sizeof(b)), 0);
	get(ARGS, &b, sizeof(b));
	assert_int_equal(call(QUIRE_HYPERCALL, QUIRE_OP_BIND_CONTROL, ARGS, 0), -XEN_EEXIST);
	domain_set_target(d, 5);
	assert_int_equal(PENDING(b.port), 1);
}

/* ---- everything, with pointers that lead nowhere good ---- */

static void revive(void)
{
	d->shutdown = SHUTDOWN_NONE;
	vcpu_wake(v);
	vcpu_start(v);
}

static void test_hostile(void **state)
{
	static const uint64_t pointers[] = {0,
	                                    ARGS,
	                                    ARGS + 1,
	                                    0x8ffd,
	                                    RAM_BYTES - 1,
	                                    RAM_BYTES - 4,
	                                    RAM_BYTES,
	                                    0xfffffffffffff000,
	                                    UINT64_MAX,
	                                    0x800000000000,
	                                    0xffffffff};
	static const uint8_t numbers[] = {12, 17, 18, 21, 24, 29, 32, 34, 50};
	uint8_t junk[64];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	for (unsigned n = 0; n < ARRAY_SIZE(numbers); n++)
		for (uint64_t cmd = 0; cmd < 40; cmd++)
			for (unsigned p = 0; p < ARRAY_SIZE(pointers); p++) {
				if (numbers[n] == __HYPERVISOR_sched_op && cmd == SCHEDOP_shutdown)
					continue;
				put(ARGS, junk, sizeof(junk));
				(void)call(numbers[n], cmd, pointers[p], pointers[p]);
				revive();
				(void)call(numbers[n], cmd, 0, pointers[p]);
				revive();
			}
	assert_string_equal(d->crash_reason, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_privilege),      T(test_unknown),    T(test_narrow),
	    T(test_narrow_balloon), T(test_balloon),    T(test_balloon_partial),
	    T(test_no_memory),      T(test_events),     T(test_virq),
	    T(test_ports_run_out),  T(test_poll),       T(test_vcpu_info),
	    T(test_runstate_area),  T(test_time_area),  T(test_initialise),
	    T(test_shared_info),    T(test_memory_map), T(test_console),
	    T(test_quire),          T(test_hostile),
	};

	return cmocka_run_group_tests_name("hypercall", tests, NULL, NULL);
}
