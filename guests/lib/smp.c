/* SPDX-License-Identifier: MIT */
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/smp.h"

extern const uint8_t start_secondary[];
void smp_secondary(uint64_t id);

static struct {
	void (*f)(void *arg);
	void *arg;
} work[CPU_MAX];

void smp_secondary(uint64_t id)
{
	cpu_init((unsigned)id);
	if (event_shared)
		event_init_secondary();
	work[id].f(work[id].arg);
	hypercall_vcpu(VCPUOP_down, (unsigned)id, 0);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void context_fill(struct vcpu_hvm_context *x, unsigned id)
{
	struct vcpu_hvm_x86_64 *r = &x->cpu_regs.x86_64;

	memset(x, 0, sizeof(*x));
	x->mode = VCPU_HVM_MODE_64B;
	r->rip = (uint64_t)start_secondary;
	r->rsp = (uint64_t)&cpu_slots[id] + CPU_STACK_TOP;
	r->rdi = id;
	r->rflags = 2;
	r->cr0 = READ_CR(0);
	r->cr3 = READ_CR(3);
	r->cr4 = READ_CR(4);
	r->efer = rdmsr(MSR_EFER);
}

long smp_start(unsigned id, void (*f)(void *arg), void *arg)
{
	struct vcpu_hvm_context x;
	long ret;

	work[id].f = f;
	work[id].arg = arg;
	context_fill(&x, id);
	ret = hypercall_vcpu(VCPUOP_initialise, id, &x);
	/* A vCPU is initialised once; after it went down, `up` goes on behind its `down`. */
	if (ret)
		return ret;
	return hypercall_vcpu(VCPUOP_up, id, 0);
}

bool smp_is_up(unsigned id)
{
	return hypercall_vcpu(VCPUOP_is_up, id, 0) == 1;
}

void smp_join(unsigned id)
{
	while (smp_is_up(id))
		hypercall_sched(SCHEDOP_yield, 0);
}
