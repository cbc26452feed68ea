/* SPDX-License-Identifier: MIT */
/* Operations that a Linux guest asks for, and that ours do not need. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

static uint64_t sum(const struct vcpu_runstate_info *r)
{
	return r->time[RUNSTATE_running] + r->time[RUNSTATE_runnable] + r->time[RUNSTATE_blocked] +
	       r->time[RUNSTATE_offline];
}

static void runstate_asked(void)
{
	struct vcpu_runstate_info first, second;
	uint64_t begin, slept;

	tap_is(hypercall_vcpu(VCPUOP_get_runstate_info, 0, &first), 0, "get_runstate_info answers");
	tap_is(first.state, RUNSTATE_running, "who asks is running");
	begin = clock_ns();
	clock_sleep_ms(100); /* long beside a wait for the CPU, before it and after */
	slept = clock_ns() - begin;
	hypercall_vcpu(VCPUOP_get_runstate_info, 0, &second);
	tap_ok(second.time[RUNSTATE_blocked] - first.time[RUNSTATE_blocked] >= slept / 2,
	       "sleeping counts as blocked");
	tap_ok(sum(&second) - sum(&first) >= slept, "the four times add up to what has passed");
	tap_is(hypercall_vcpu(VCPUOP_get_runstate_info, 99, &first), -XEN_ENOENT, "not of vCPU 99");
	tap_is(hypercall_vcpu(VCPUOP_get_runstate_info, 0, NOWHERE), -XEN_EFAULT, "a bad pointer");
}

static void runstate_area(void)
{
	static struct vcpu_runstate_info area;
	struct vcpu_register_runstate_memory_area r;
	uint64_t before;

	memset(&r, 0, sizeof(r));
	set_xen_guest_handle(r.addr.h, &area);
	tap_is(hypercall_vcpu(VCPUOP_register_runstate_memory_area, 0, &r), 0,
	       "the runstate can be had in memory");
	tap_is(area.state, RUNSTATE_running, "where it says running");
	before = area.time[RUNSTATE_blocked];
	clock_sleep_ms(5);
	tap_ok(area.time[RUNSTATE_blocked] > before, "and is kept up to date");
	set_xen_guest_handle(r.addr.h, NOWHERE);
	tap_is(hypercall_vcpu(VCPUOP_register_runstate_memory_area, 0, &r), -XEN_EFAULT,
	       "not in memory that is not there");
}

/* A copy of vcpu_info's clock, for a guest to show to its programs. */
static void time_area(void)
{
	static struct vcpu_time_info area;
	struct vcpu_register_time_memory_area r;
	uint64_t before;

	memset(&r, 0, sizeof(r));
	set_xen_guest_handle(r.addr.h, &area);
	tap_is(hypercall_vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &r), 0,
	       "the clock can be had in memory");
	tap_ok(area.tsc_to_system_mul == this_cpu()->info->time.tsc_to_system_mul &&
	           area.version % 2 == 0,
	       "at the same rate");
	before = area.system_time;
	clock_sleep_ms(5);
	tap_ok(area.system_time >= before + 4 * CLOCK_MS, "and is kept up to date");
	set_xen_guest_handle(r.addr.h, NOWHERE);
	tap_is(hypercall_vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &r), -XEN_EFAULT,
	       "not in memory that is not there");
	set_xen_guest_handle(r.addr.h, 0);
	tap_is(hypercall_vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &r), 0, "nor any longer");
}

static long assist(unsigned cmd, unsigned type)
{
	return hypercall(__HYPERVISOR_vm_assist, cmd, type, 0, 0, 0);
}

static void bind_vcpu(void)
{
	struct evtchn_bind_ipi ipi = {.vcpu = 0};
	struct evtchn_bind_vcpu b;
	struct evtchn_close c;

	hypercall_evtchn(EVTCHNOP_bind_ipi, &ipi);
	b = (struct evtchn_bind_vcpu){.port = ipi.port, .vcpu = 0};
	c.port = ipi.port;
	tap_is(hypercall_evtchn(EVTCHNOP_bind_vcpu, &b), -XEN_EINVAL,
	       "an IPI's port cannot be moved");
	b.vcpu = 99;
	tap_is(hypercall_evtchn(EVTCHNOP_bind_vcpu, &b), -XEN_ENOENT, "no port goes to vCPU 99");
	hypercall_evtchn(EVTCHNOP_close, &c);
}

static void versions(void)
{
	static char text[1024];
	bool found = false;

	tap_is(hypercall_version(XENVER_capabilities, text), 0, "capabilities answers");
	for (unsigned i = 0; i + 14 < sizeof(text) && text[i]; i++)
		found |= memcmp(text + i, "hvm-3.0-x86_64", 14) == 0;
	tap_ok(found, "they name 64-bit guests");
	tap_is(hypercall_version(XENVER_pagesize, 0), PAGE_SIZE, "pages have 4096 bytes");
	tap_is(hypercall_version(XENVER_guest_handle, text), 0, "guest_handle answers");
	tap_is(hypercall_version(XENVER_changeset, text), 0, "changeset answers");
}

void ops_more(void)
{
	domid_t self = DOMID_SELF;
	long last = hypercall_memory(XENMEM_maximum_gpfn, &self);

	clock_init();
	versions();
	tap_is(last, (long)(memory_top() / PAGE_SIZE) - 1,
	       "maximum_gpfn is the last page of memory");
	runstate_asked();
	runstate_area();
	time_area();
	tap_is(assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0,
	       "vm_assist: runstate flag");
	tap_is(assist(VMASST_CMD_disable, VMASST_TYPE_runstate_update_flag), 0, "and off again");
	tap_is(assist(VMASST_CMD_enable, 31), -XEN_EINVAL, "vm_assist has no type 31");
	bind_vcpu();
}
