/* SPDX-License-Identifier: MIT */
#include "guests/lib/cpu.h"
#include "guests/lib/trap.h"
#include "guests/lib/console.h"
#include "guests/lib/shutdown.h"

extern const uint8_t trap_stubs[], trap_resume[];
bool trap_run(void (*f)(void *arg), void *arg, uint64_t *catch_rsp);

struct idt_gate trap_idt[256] __attribute__((aligned(4096)));
static void (*handlers[256])(struct trap_frame *t);

static const char *const names[] = {
    [0] = "#DE",  [1] = "#DB",  [2] = "NMI",  [3] = "#BP",  [4] = "#OF",  [5] = "#BR",
    [6] = "#UD",  [7] = "#NM",  [8] = "#DF",  [10] = "#TS", [11] = "#NP", [12] = "#SS",
    [13] = "#GP", [14] = "#PF", [16] = "#MF", [17] = "#AC", [18] = "#MC", [19] = "#XM",
};

const char *trap_name(int vector)
{
	if (vector == TRAP_NONE)
		return "nothing";
	if (vector < 0 || (size_t)vector >= sizeof(names) / sizeof(names[0]) || !names[vector])
		return "interrupt";
	return names[vector];
}

static void gate_set(unsigned vector)
{
	uint64_t entry = (uint64_t)trap_stubs + vector * 16;
	struct idt_gate g = {
	    .offset0 = (uint16_t)entry,
	    .selector = SEL_CODE64,
	    .ist = vector < 32 ? 1 : 0,
	    /* Interrupt gate; user mode may raise #BP, to come back from trap_try. */
	    .type = vector == TRAP_BP ? 0xee : 0x8e,
	    .offset1 = (uint16_t)(entry >> 16),
	    .offset2 = (uint32_t)(entry >> 32),
	};

	trap_idt[vector] = g;
}

void trap_init(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} idtr = {sizeof(trap_idt) - 1, (uint64_t)trap_idt};

	if (!trap_idt[0].type)
		for (unsigned v = 0; v < 256; v++)
			gate_set(v);
	__asm__ volatile("lidt %0" : : "m"(idtr) : "memory");
}

void trap_set_handler(unsigned vector, void (*f)(struct trap_frame *t))
{
	handlers[vector] = f;
}

/* Rewrite the frame so that IRET goes to trap_resume on the stack of trap_run. */
static void resume(struct cpu *c, struct trap_frame *t)
{
	struct trap_result *i = c->catch_info;

	i->vector = (int)t->vector;
	i->error = t->error;
	i->rip = t->rip;
	i->rax = t->rax;
	i->cr2 = READ_CR(2);
	t->rip = (uint64_t)trap_resume;
	t->rsp = c->catch_rsp;
	t->cs = SEL_CODE64;
	t->ss = SEL_DATA;
	t->rflags = 2; /* interrupts, TF, RF, AC off; popfq restores the caller's */
	c->catch_rsp = 0;
}

static void unexpected(struct trap_frame *t)
{
	print("not ok - vCPU %u: unexpected %s (vector %lu, error %lx) at %lx\n", this_cpu()->id,
	      trap_name((int)t->vector), t->vector, t->error, t->rip);
	print("# rsp=%lx rflags=%lx cs=%lx cr2=%lx rax=%lx rbx=%lx rcx=%lx rdx=%lx\n", t->rsp,
	      t->rflags, t->cs, READ_CR(2), t->rax, t->rbx, t->rcx, t->rdx);
	print("# rsi=%lx rdi=%lx rbp=%lx r8=%lx r10=%lx r12=%lx\n", t->rsi, t->rdi, t->rbp, t->r8,
	      t->r10, t->r12);
	guest_shutdown(GUEST_CRASH);
}

void trap_handle(struct trap_frame *t)
{
	struct cpu *c = this_cpu();

	if (handlers[t->vector])
		handlers[t->vector](t);
	else if (c->catch_rsp)
		resume(c, t);
	else
		unexpected(t);
}

bool trap_try(void (*f)(void *arg), void *arg, struct trap_result *info)
{
	struct cpu *c = this_cpu();
	bool came_back;

	info->vector = TRAP_NONE;
	c->catch_info = info;
	came_back = trap_run(f, arg, &c->catch_rsp);
	c->catch_rsp = 0;
	return came_back;
}

int trap_vector(void (*f)(void *arg), void *arg)
{
	struct trap_result info;

	trap_try(f, arg, &info);
	return info.vector;
}
