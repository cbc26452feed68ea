/* SPDX-License-Identifier: MIT */
/* vcpu_op: a second vCPU and where vcpu_info lives. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"

static volatile uint32_t ran, upcalls_there, backwards;
static volatile uint64_t shared_ns;
static unsigned ipi_port;

/* On vCPU 1: is its number right, do its events come, does its clock agree? Then down;
 * `up` goes on behind it. */
static void second(void *arg)
{
	struct cpu *c = this_cpu();

	(void)arg;
	ran = c->id == 1 ? 1 : 99;
	clock_init();
	irq_on();
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t seen = shared_ns;

		backwards += clock_ns() < seen;
	}
	while (!upcalls_there)
		hypercall_sched(SCHEDOP_block, 0);
	ran = 2;
	hypercall_vcpu(VCPUOP_down, 1, 0);
	ran = 3;
}

static void on_ipi(unsigned port)
{
	(void)port;
	upcalls_there += this_cpu()->id == 1;
}

static void bad_contexts(void)
{
	struct vcpu_hvm_context x = {.mode = 7};

	tap_is(hypercall_vcpu(VCPUOP_is_up, 1, 0), 0, "vCPU 1 is not up");
	tap_is(hypercall_vcpu(VCPUOP_is_up, 0, 0), 1, "vCPU 0 is");
	tap_is(hypercall_vcpu(VCPUOP_up, 1, 0), -XEN_EINVAL, "a vCPU without a state cannot go up");
	tap_is(hypercall_vcpu(VCPUOP_initialise, 1, &x), -XEN_EINVAL, "no such mode");
	x.mode = VCPU_HVM_MODE_64B; /* CR0, CR4, EFER all zero: no 64-bit mode */
	tap_is(hypercall_vcpu(VCPUOP_initialise, 1, &x), -XEN_EINVAL, "64 bits need paging");
	x.cpu_regs.x86_64.cr0 = UINT64_MAX;
	x.cpu_regs.x86_64.cr4 = UINT64_MAX;
	x.cpu_regs.x86_64.efer = UINT64_MAX;
	tap_is(hypercall_vcpu(VCPUOP_initialise, 1, &x), -XEN_EINVAL, "reserved bits are refused");
	tap_is(hypercall_vcpu(VCPUOP_initialise, 99, &x), -XEN_ENOENT, "there is no vCPU 99");
	tap_is(hypercall_vcpu(VCPUOP_initialise, 1, NOWHERE), -XEN_EFAULT, "a bad pointer");
	tap_is(hypercall_vcpu(99, 0, 0), -XEN_ENOSYS, "vcpu_op 99");
}

/* Wait up to five seconds. */
static bool becomes(volatile uint32_t *what, uint32_t value)
{
	for (uint64_t end = clock_ns() + 5 * CLOCK_S; clock_ns() < end;) {
		shared_ns = clock_ns();
		if (*what == value)
			return true;
	}
	return false;
}

static void bind_ipi(void)
{
	struct evtchn_bind_ipi b = {.vcpu = 1};

	tap_is(hypercall_evtchn(EVTCHNOP_bind_ipi, &b), 0, "an IPI of vCPU 1 is bound");
	ipi_port = b.port;
	event_handler(ipi_port, on_ipi);
	event_unmask(ipi_port);
}

void ops_vcpu(void)
{
	struct evtchn_send s;
	struct vcpu_hvm_context x = {0};

	clock_init();
	bad_contexts();
	tap_is(smp_start(0, second, 0), -XEN_EEXIST, "vCPU 0 runs, and keeps its state");
	bind_ipi();
	tap_is(smp_start(1, second, 0), 0, "vCPU 1 starts");
	tap_ok(becomes(&ran, 1), "it runs, with its own stack and number");
	tap_ok(smp_is_up(1), "it is up");
	tap_is(hypercall_vcpu(VCPUOP_initialise, 1, &x) == 0, 0, "it cannot be initialised again");
	clock_sleep_ms(10);
	s.port = ipi_port;
	tap_is(hypercall_evtchn(EVTCHNOP_send, &s), 0, "an IPI is sent to it");
	tap_ok(becomes(&ran, 2), "it wakes from block");
	tap_is(upcalls_there, 1, "by one upcall on vCPU 1");
	smp_join(1);
	tap_ok(!smp_is_up(1), "it went down");
	tap_is(ran, 2, "and stays there");
	tap_is(hypercall_vcpu(VCPUOP_up, 1, 0), 0, "it goes up again");
	tap_ok(becomes(&ran, 3), "behind where it went down");
	smp_join(1);
	tap_is(backwards, 0, "the clocks of both vCPUs never disagreed by more than their reading");
}

static long register_info(unsigned vcpu, uint64_t gfn, uint32_t offset)
{
	struct vcpu_register_vcpu_info r = {.mfn = gfn, .offset = offset};

	return hypercall_vcpu(VCPUOP_register_vcpu_info, vcpu, &r);
}

void ops_vcpu_info(void)
{
	uint8_t *page = memory_take(1);
	uint64_t gfn = (uint64_t)page / PAGE_SIZE;
	uint32_t seen;

	clock_init();
	tap_is(register_info(0, gfn, 4090), -XEN_EINVAL, "vcpu_info must not cross a page");
	tap_is(register_info(0, gfn, 4), -XEN_EINVAL, "nor be unaligned");
	tap_ok(register_info(0, UINT64_C(1) << 45, 64) < 0, "nor lie outside the memory");
	tap_is(register_info(99, gfn, 64), -XEN_ENOENT, "vCPU 99 has none");
	irq_off();
	tap_is(register_info(0, gfn, 128), 0, "vcpu_info is registered in a page of ours");
	this_cpu()->info = (struct vcpu_info *)(page + 128);
	irq_on();
	tap_is(register_info(0, gfn, 256), -XEN_EINVAL, "only once");
	tap_ok(this_cpu()->info->time.tsc_to_system_mul != 0, "the time is in the new place");
	seen = event_count[clock_port()];
	clock_timer(clock_ns() + 2 * CLOCK_MS);
	event_wait(&event_count[clock_port()], seen);
	tap_is(event_count[clock_port()], seen + 1, "events come by the new place");
}
