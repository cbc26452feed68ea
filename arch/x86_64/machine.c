/* SPDX-License-Identifier: MIT */
/* kernel/machine.h on real hardware: what is not in time.c and smp.c. */
#include "kernel/machine.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/symbols.h"
#include "arch/x86_64/trap.h"
#include "drivers/console.h"
#include "drivers/power.h"
#include "kernel/log.h"

unsigned machine_cpu(void)
{
	return this_cpu()->cpu;
}

void machine_kick(unsigned cpu)
{
	struct percpu *p = percpu_of(cpu);

	if (p && p->online)
		apic_send_ipi(p->apic_id, VECTOR_KICK);
}

void machine_relax(void)
{
	cpu_relax();
}

/* STI takes effect after the next instruction (SDM vol. 2, STI). */
void machine_irq_window(void)
{
	asm volatile("sti; nop; nop; cli" ::: "memory");
}

/* An interrupt that comes between STI and HLT waits for the HLT, and ends it. */
void machine_idle(void)
{
	asm volatile("sti; hlt; cli" ::: "memory");
}

void machine_putc(char c)
{
	console_putc(c);
}

int machine_getc(void)
{
	return console_getc();
}

void machine_output_queue(bool on)
{
	console_queue(on);
}

bool machine_output_pump(void)
{
	return console_pump();
}

size_t machine_output_room(void)
{
	return console_room();
}

void machine_reboot(void)
{
	asm volatile("cli" ::: "memory");
	cpus_stop();
	power_reset();
}

void machine_poweroff(void)
{
	asm volatile("cli" ::: "memory");
	cpus_stop();
	power_off();
}

/* Laid out by tools/symbols; absent in the first link. */
extern const struct symbol_table symbol_table __attribute__((weak));

const char *machine_symbol(uint64_t address)
{
	char *text = this_cpu()->symbol;
	const struct symbol_table *t = &symbol_table;
	const char *name = NULL;
	uint64_t offset;

	asm("" : "+r"(t)); /* the compiler holds a weak symbol's address for non-null */
	if (t && address >= (uint64_t)text_start && address < (uint64_t)text_end)
		name = symbol_find(t, address, &offset);
	if (!name)
		return "?";
	text_format(text, sizeof(this_cpu()->symbol), "%s+0x%llx", name,
	            (unsigned long long)offset);
	return text;
}
