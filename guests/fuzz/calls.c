/* SPDX-License-Identifier: MIT */
/* Hypercalls, whole and bent; grants have a file of their own. */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/clock.h"

static bool accepted(long ret)
{
	return ret >= 0;
}

/* Which would put this vCPU to sleep for ever, or end the domain. */
static bool ends_us(uint64_t nr, uint64_t op)
{
	return !fuzz_lethal &&
	       (nr == __HYPERVISOR_sched_op || (nr == __HYPERVISOR_vcpu_op && op == VCPUOP_down));
}

bool any_call(struct fuzzer *f)
{
	uint64_t nr = chance(f, 4) ? odd_number(f) : below(f, 64), op = odd_number(f);

	if (ends_us((uint32_t)nr, (uint32_t)op))
		return false;
	return accepted(hypercall_direct(nr, op, chance(f, 2) ? odd_pointer(f) : odd_number(f),
	                                 chance(f, 2) ? odd_pointer(f) : odd_count(f), 0, 0));
}

/* ---- memory ---- */

static void fill_extents(struct fuzzer *f, uint64_t *list, unsigned n)
{
	bool run = chance(f, 2);
	uint64_t first = arena_gfn(f);

	for (unsigned i = 0; i < n; i++)
		list[i] = run ? first + i % 16 : odd_gfn(f);
}

bool memory_call(struct fuzzer *f)
{
	static const uint8_t ops[] = {XENMEM_decrease_reservation, XENMEM_populate_physmap,
	                              XENMEM_current_reservation,  XENMEM_maximum_reservation,
	                              XENMEM_maximum_gpfn,         XENMEM_memory_map};
	uint64_t *list = (uint64_t *)(f->args + 512 * f->id);
	struct xen_memory_reservation r = {
	    .nr_extents = chance(f, 8) ? odd_number(f) : 1 + below(f, 40),
	    .extent_order = chance(f, 4) ? (unsigned)below(f, 64) : 0,
	    .domid = DOMID_SELF,
	};
	uint64_t op = chance(f, 16) ? below(f, 64) : ops[below(f, chance(f, 2) ? 2 : sizeof(ops))];

	fill_extents(f, list, 40);
	set_xen_guest_handle(r.extent_start,
	                     (xen_pfn_t *)(chance(f, 8) ? odd_pointer(f) : (uint64_t)list));
	/* As if a call went on: the number of extents done is the caller's to say. */
	if (chance(f, 16))
		op |= odd_number(f) << 6;
	return fuzz_call(f, (struct call){__HYPERVISOR_memory_op, {op}, 1}, &r, sizeof(r)) > 0;
}

bool place_call(struct fuzzer *f)
{
	struct xen_add_to_physmap x = {
	    .domid = DOMID_SELF,
	    .size = (uint16_t)odd_number(f),
	    .space = chance(f, 8)   ? (unsigned)below(f, 8)
	             : chance(f, 2) ? XENMAPSPACE_shared_info
	                            : XENMAPSPACE_grant_table,
	    .gpfn = odd_gfn(f),
	};

	bool ok;

	x.idx = x.space == XENMAPSPACE_grant_table ? 1 + below(f, 6) : chance(f, 8);
	ok = accepted(fuzz_call(
	    f, (struct call){__HYPERVISOR_memory_op, {XENMEM_add_to_physmap}, 1}, &x, sizeof(x)));
	grants_place(); /* bent, it may have been the page that we write to */
	return ok;
}

/* ---- event channels ---- */

/* Of this domain, or one of those made about the same time. */
static domid_t some_domain(struct fuzzer *f)
{
	unsigned at = (unsigned)below(f, 8);

	if (at < 3)
		return DOMID_SELF;
	return (domid_t)(hypercall_domid() + (int)at - 5);
}

bool event_call(struct fuzzer *f)
{
	static const uint8_t ops[] = {EVTCHNOP_bind_virq,     EVTCHNOP_bind_ipi,
	                              EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain,
	                              EVTCHNOP_close,         EVTCHNOP_close,
	                              EVTCHNOP_send,          EVTCHNOP_unmask,
	                              EVTCHNOP_status,        EVTCHNOP_bind_vcpu};
	uint64_t op = chance(f, 16) ? below(f, 16) : ops[below(f, sizeof(ops))];
	uint32_t port = (uint32_t)(chance(f, 8) ? odd_number(f) : 1 + below(f, 127));
	union {
		uint32_t word[6];
		struct evtchn_bind_virq virq;
		struct evtchn_alloc_unbound unbound;
		struct evtchn_bind_interdomain pair;
		struct evtchn_bind_vcpu vcpu;
		struct evtchn_status status;
	} u = {
	    .word = {port, (uint32_t)below(f, 3)}
        };

	/* Those of the rings stay open for a while: nobody can open them again. */
	if (op == EVTCHNOP_close && !chance(f, 16))
		return !rings_port(port) && accepted(hypercall_evtchn(EVTCHNOP_close, &port));
	switch (op) {
	case EVTCHNOP_bind_virq:
		u.virq = (struct evtchn_bind_virq){(uint32_t)below(f, 4), (uint32_t)below(f, 3), 0};
		break;
	case EVTCHNOP_bind_ipi:
		u.word[0] = (uint32_t)below(f, 3);
		break;
	case EVTCHNOP_alloc_unbound:
		u.unbound = (struct evtchn_alloc_unbound){some_domain(f), some_domain(f), 0};
		if (chance(f, 2))
			u.unbound.dom = DOMID_SELF;
		break;
	case EVTCHNOP_bind_interdomain:
		u.pair = (struct evtchn_bind_interdomain){some_domain(f), port, 0};
		break;
	case EVTCHNOP_status:
		u.status = (struct evtchn_status){.dom = DOMID_SELF, .port = port};
		break;
	}
	return accepted(
	    fuzz_call(f, (struct call){__HYPERVISOR_event_channel_op, {op}, 1}, &u, sizeof(u)));
}

/* ---- vCPUs ---- */

/* Only vCPU 0 takes the other one down, and brings it up at once: one is always there. */
static bool down_and_up(struct fuzzer *f)
{
	if (f->id)
		return false;
	hypercall_vcpu(VCPUOP_down, 1, NULL);
	return accepted(hypercall_vcpu(VCPUOP_up, 1, NULL));
}

bool vcpu_call(struct fuzzer *f)
{
	static const uint8_t ops[] = {VCPUOP_up,
	                              VCPUOP_is_up,
	                              VCPUOP_get_runstate_info,
	                              VCPUOP_register_runstate_memory_area,
	                              VCPUOP_register_vcpu_info,
	                              VCPUOP_set_singleshot_timer,
	                              VCPUOP_stop_singleshot_timer,
	                              VCPUOP_stop_periodic_timer,
	                              VCPUOP_initialise};
	uint64_t op = chance(f, 16) ? below(f, 16) : ops[below(f, sizeof(ops))];
	uint64_t vcpu = chance(f, 8) ? odd_number(f) : below(f, VCPUS + 1);
	uint64_t word[48];

	if (chance(f, 32))
		return down_and_up(f);
	if (ends_us(__HYPERVISOR_vcpu_op, op))
		return false;
	for (unsigned i = 0; i < 48; i++)
		word[i] = odd_number(f);
	/* It is written at any time from now on: where that hurts nobody. */
	if (op == VCPUOP_register_runstate_memory_area)
		word[0] = chance(f, 8) ? 0 : arena_gfn(f) * PAGE_SIZE + below(f, PAGE_SIZE);
	if (op == VCPUOP_set_singleshot_timer && chance(f, 2)) {
		word[0] = clock_ns() + below(f, CLOCK_MS);
		word[1] = 0;
	}
	return accepted(fuzz_call(f,
	                          (struct call){
	                              __HYPERVISOR_vcpu_op, {op, vcpu},
                                       2
        },
	                          word, sizeof(word)));
}

bool sched_call(struct fuzzer *f)
{
	struct sched_poll p = {.nr_ports = (unsigned)below(f, 8),
	                       .timeout = clock_ns() + below(f, 200000)};
	uint32_t *ports = (uint32_t *)(f->args + 1024);

	if (chance(f, 2))
		return accepted(hypercall_sched(SCHEDOP_yield, NULL));
	for (unsigned i = 0; i < 8; i++)
		ports[i] = (uint32_t)(chance(f, 8) ? odd_number(f) : 1 + below(f, 127));
	set_xen_guest_handle(p.ports, ports);
	/* Not bent: its time must end. */
	return accepted(hypercall_sched(SCHEDOP_poll, &p));
}

/* ---- the others ---- */

bool hvm_call(struct fuzzer *f)
{
	struct xen_hvm_param p = {
	    .domid = DOMID_SELF,
	    .index = (uint32_t)(chance(f, 4) ? odd_number(f) : below(f, HVM_NR_PARAMS)),
	    .value = chance(f, 2) ? UINT64_C(2) << 56 | below(f, 256) : odd_number(f),
	};
	struct xen_hvm_evtchn_upcall_vector u = {(uint32_t)below(f, 3), (uint8_t)below(f, 256)};

	switch (below(f, 4)) {
	case 0:
		p.index = HVM_PARAM_CALLBACK_IRQ;
		return accepted(fuzz_call(
		    f, (struct call){__HYPERVISOR_hvm_op, {HVMOP_set_param}, 1}, &p, sizeof(p)));
	case 1:
		return accepted(fuzz_call(
		    f, (struct call){__HYPERVISOR_hvm_op, {HVMOP_set_evtchn_upcall_vector}, 1}, &u,
		    sizeof(u)));
	case 2:
		return accepted(
		    hypercall(__HYPERVISOR_vm_assist, below(f, 4), odd_number(f), 0, 0, 0));
	default:
		return accepted(fuzz_call(
		    f,
		    (struct call){
		        __HYPERVISOR_hvm_op, {chance(f, 8) ? below(f, 32) : HVMOP_get_param}, 1},
		    &p, sizeof(p)));
	}
}

bool version_call(struct fuzzer *f)
{
	uint64_t word[32] = {0};

	word[0] = chance(f, 2) ? below(f, 4) : odd_number(f);
	return accepted(fuzz_call(f, (struct call){__HYPERVISOR_xen_version, {below(f, 14)}, 1},
	                          word, sizeof(word)));
}

/* Seldom: what comes out is noise on the operator's screen. */
bool console_call(struct fuzzer *f)
{
	uint64_t bytes = chance(f, 16) ? odd_count(f) : below(f, 24);
	uint64_t text = chance(f, 4) ? odd_pointer(f) : (uint64_t)f->args;

	if (bytes > 64 && !chance(f, 16))
		bytes = 64;
	return accepted(hypercall(__HYPERVISOR_console_io, chance(f, 8) ? odd_number(f) : 0, bytes,
	                          text, 0, 0));
}

bool own_call(struct fuzzer *f)
{
	uint64_t word[4] = {chance(f, 2) ? 0 : odd_number(f)};

	if (chance(f, 4)) {
		hypercall(__HYPERVISOR_set_timer_op, chance(f, 2) ? odd_number(f) : clock_ns(), 0,
		          0, 0, 0);
		return true;
	}
	return accepted(
	    fuzz_call(f, (struct call){QUIRE_HYPERCALL, {below(f, 5)}, 1}, word, sizeof(word)));
}
