/* SPDX-License-Identifier: MIT */
/*
 * The end of the machine: a bug of ours. The first CPU to get here stops the
 * others by NMI, then prints; the log's lock is not asked for any more.
 */
#include <stdarg.h>
#include <stdatomic.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/hvm.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/trap.h"
#include "drivers/power.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"

#define BACKTRACE_MAX 24

uint64_t __stack_chk_guard; /* set in boot.S */
void __stack_chk_fail(void) noreturn_fn;

static atomic_int stopper = -1;   /* the CPU that stops the others */
static atomic_int panicking = -1; /* the CPU that reports */

static void halt(void) noreturn_fn;
static void halt(void)
{
	for (;;)
		asm volatile("cli; hlt" ::: "memory");
}

/* VMX or SVM off on this CPU: VMX blocks INIT, and with it a reset (SDM vol. 3, 24.8). */
static void virt_off(void)
{
	if (this_cpu()->virt_on && hvm) {
		this_cpu()->virt_on = false;
		hvm->cpu_off();
	}
}

void cpus_stop_answer(void)
{
	int by = atomic_load(&stopper);

	/* an NMI that we did not send tells nothing that we could act on */
	if (by < 0 || by == (int)machine_cpu())
		return;
	virt_off();
	*(volatile bool *)&this_cpu()->stopped = true;
	halt();
}

void cpus_stop(void)
{
	uint64_t start = rdtsc();
	int none = -1;
	uint64_t patience = machine_tsc_hz() ? machine_tsc_hz() / 10 : UINT64_C(1) << 28;

	if (!atomic_compare_exchange_strong(&stopper, &none, (int)machine_cpu())) {
		cpus_stop_answer(); /* another was first: does not return */
		return;
	}
	for (unsigned i = 0; i < machine_cpus(); i++)
		if (percpu_table[i] && percpu_table[i] != this_cpu() && percpu_table[i]->online)
			apic_send_nmi(percpu_table[i]->apic_id);
	for (unsigned i = 0; i < machine_cpus(); i++) {
		struct percpu *p = percpu_table[i];

		if (!p || p == this_cpu() || !p->online)
			continue;
		while (!*(volatile bool *)&p->stopped && rdtsc() - start < patience)
			cpu_relax();
	}
	virt_off();
}

static void panic_line(const char *fmt, ...) printf_like(1, 2);
static void panic_line(const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_print("(quire) %s\n", text);
}

#define X(v) ((unsigned long long)(v))

static void panic_registers(const struct trap_frame *f)
{
	panic_line("rip %016llx %s", X(f->rip), machine_symbol(f->rip));
	panic_line("rsp %016llx rflags %08llx cs %02llx ss %02llx error %llx", X(f->rsp),
	           X(f->rflags), X(f->cs), X(f->ss), X(f->error));
	panic_line("rax %016llx rbx %016llx rcx %016llx rdx %016llx", X(f->rax), X(f->rbx),
	           X(f->rcx), X(f->rdx));
	panic_line("rsi %016llx rdi %016llx rbp %016llx r8  %016llx", X(f->rsi), X(f->rdi),
	           X(f->rbp), X(f->r8));
	panic_line("r9  %016llx r10 %016llx r11 %016llx r12 %016llx", X(f->r9), X(f->r10),
	           X(f->r11), X(f->r12));
	panic_line("r13 %016llx r14 %016llx r15 %016llx", X(f->r13), X(f->r14), X(f->r15));
	panic_line("cr0 %016llx cr2 %016llx cr3 %016llx cr4 %016llx", X(read_cr0()), X(read_cr2()),
	           X(read_cr3()), X(read_cr4()));
}

/* Along the frame pointers, for as long as they lead upwards through mapped memory. */
static void panic_backtrace(uint64_t rip, uint64_t rbp)
{
	panic_line("backtrace:");
	for (unsigned i = 0; i < BACKTRACE_MAX; i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		panic_line("  %016llx %s", X(rip), machine_symbol(rip));
		if (rbp < DIRECT_MAP_BASE || (rbp & 7) || !paging_mapped(rbp) ||
		    !paging_mapped(rbp + 8))
			return;
		rip = frame[1];
		if (frame[0] <= rbp || !rip)
			return;
		rbp = frame[0];
	}
}

/* Only one CPU reports; a panic while reporting stops at once. */
static void panic_begin(const char *message)
{
	int none = -1, me = (int)machine_cpu();

	asm volatile("cli" ::: "memory");
	if (!atomic_compare_exchange_strong(&panicking, &none, me)) {
		if (none == me)
			log_print("(quire) panic while reporting a panic: %s\n", message);
		halt();
	}
	log_panic_mode();
	cpus_stop();
	machine_output_queue(false);
	log_print("\n");
	log_tag("panic %s", message);
	panic_line("panic on CPU %d: %s", me, message);
}

static void panic_end(void) noreturn_fn;
static void panic_end(void)
{
	panic_line("the machine is stopped");
	power_flush();
	if (!cmdline_bool("noreboot", false)) {
		uint64_t until = machine_ns() + UINT64_C(10) * 1000000000;

		panic_line("it restarts in 10 seconds (noreboot on the command line prevents it)");
		while (machine_tsc_hz() && machine_ns() < until)
			cpu_relax();
		power_reset();
	}
	halt();
}

void panic_at(const struct trap_frame *f, const char *message)
{
	panic_begin(message);
	panic_registers(f);
	panic_backtrace(f->rip, f->rbp);
	panic_end();
}

void env_panic(const char *fmt, ...)
{
	char text[240];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	panic_begin(text);
	panic_backtrace((uint64_t)__builtin_return_address(0),
	                *(uint64_t *)__builtin_frame_address(0));
	panic_end();
}

void __stack_chk_fail(void)
{
	env_panic("a function wrote past its local variables (stack protector), called from %s",
	          machine_symbol((uint64_t)__builtin_return_address(0)));
}
