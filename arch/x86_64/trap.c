/* SPDX-License-Identifier: MIT */
/*
 * The IDT, and what each vector means. An interrupt sets a flag of its CPU;
 * an exception is looked up in the table of places that may fault
 * (cpu.h:EXTABLE) and is a panic otherwise.
 */
#include "arch/x86_64/trap.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/svm/svm.h"
#include "kernel/log.h"

struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3, figure 6-8");

struct extable_entry {
	uint64_t insn, fixup;
};

extern const char trap_stubs[];
extern const struct extable_entry extable_start[], extable_end[];

static struct idt_gate idt[256] __attribute__((aligned(4096)));

static const char *const trap_names[32] = {"divide error",
                                           "debug",
                                           "NMI",
                                           "breakpoint",
                                           "overflow",
                                           "bound range",
                                           "invalid opcode",
                                           "device not available",
                                           "double fault",
                                           "coprocessor overrun",
                                           "invalid TSS",
                                           "segment not present",
                                           "stack fault",
                                           "general protection",
                                           "page fault",
                                           "reserved",
                                           "x87 error",
                                           "alignment check",
                                           "machine check",
                                           "SIMD error",
                                           "virtualization exception",
                                           "control protection"};

static uint8_t ist_of(unsigned vector)
{
	switch (vector) {
	case 2:
		return IST_NMI;
	case 8:
		return IST_DF;
	case 18:
		return IST_MC;
	}
	return 0;
}

void trap_init(void)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t at = (uint64_t)trap_stubs + 16 * v;

		idt[v] = (struct idt_gate){
		    .offset_low = (uint16_t)at,
		    .selector = SEL_CODE,
		    .ist = ist_of(v),
		    .type = 0x8e, /* present, DPL 0, interrupt gate */
		    .offset_mid = (uint16_t)(at >> 16),
		    .offset_high = (uint32_t)(at >> 32),
		};
	}
}

void trap_cpu_init(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) p = {sizeof(idt) - 1, (uint64_t)idt};

	asm volatile("lidt %0" ::"m"(p));
}

static bool trap_fixup(struct trap_frame *f)
{
	if (f->vector != VECTOR_UD && f->vector != VECTOR_GP)
		return false; /* a machine check, say, that happens to come there */
	for (const struct extable_entry *e = extable_start; e < extable_end; e++) {
		if (e->insn == f->rip) {
			f->rip = e->fixup;
			return true;
		}
	}
	return false;
}

/* A fault at the lower end of a stack: the guard page was met. */
static bool in_guard_page(uint64_t va)
{
	return va >= STACKS_BASE && va < STACKS_BASE + (UINT64_C(1) << 40);
}

static void trap_fatal(struct trap_frame *f)
{
	char text[160];
	const char *name = f->vector < 32 && trap_names[f->vector] ? trap_names[f->vector] : "trap";
	uint64_t cr2 = read_cr2();

	if (f->vector == 14)
		text_format(text, sizeof(text), "page fault: %s at 0x%llx%s",
		            f->error & 16  ? "instruction fetch"
		            : f->error & 2 ? "write"
		                           : "read",
		            (unsigned long long)cr2,
		            in_guard_page(cr2) ? " (the guard page of a stack)" : "");
	else if (f->vector == 8 && in_guard_page(cr2))
		text_format(text, sizeof(text),
		            "double fault: stack overflow, guard page at 0x%llx",
		            (unsigned long long)cr2);
	else
		text_format(text, sizeof(text), "%s, vector %u, error code 0x%llx", name,
		            (unsigned)f->vector, (unsigned long long)f->error);
	panic_at(f, text);
}

void trap_dispatch(struct trap_frame *f)
{
	switch (f->vector) {
	case VECTOR_TIMER:
		this_cpu()->timer_fired = true;
		apic_eoi();
		return;
	case VECTOR_KICK:
		this_cpu()->kicked = true;
		apic_eoi();
		return;
	case VECTOR_SPURIOUS: /* needs no EOI (SDM vol. 3, 10.9) */
		return;
	case VECTOR_DB:
		if (f->rip == (uint64_t)svm_landing)
			return;
		break;
	case VECTOR_NMI:
		cpus_stop_answer();
		return;
	}
	if (f->vector >= 32) {
		/* Nobody's: a masked PIC's spurious 7 or 15, which wants no EOI; or a stray
		 * message, which would keep all that is below it waiting for ever. */
		if (apic_in_service((uint8_t)f->vector))
			apic_eoi();
		return;
	}
	if (!trap_fixup(f))
		trap_fatal(f);
}
