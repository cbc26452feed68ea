/* SPDX-License-Identifier: MIT */
/*
 * Starting the other CPUs one by one: INIT, start-up, start-up again if that
 * was not heard (SDM vol. 3, 8.4.4.1). Each lines its clock up with ours,
 * then waits until the kernel lets it go.
 */
#include "arch/x86_64/smp.h"

#include <stdatomic.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/time.h"
#include "kernel/boot_info.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"

#define INIT_US    10000u
#define STARTUP_US 200u
#define ANSWER_US  100000u

extern const char ap_trampoline[], ap_trampoline_end[];
extern const char ap_gdt[], ap_gdt_pointer[], ap_far32[], ap_far64[], ap_start32[], ap_start64[];
extern const char ap_word_base[], ap_word_root[], ap_word_stack[], ap_word_percpu[];
extern const char ap_word_entry[];

static unsigned nr_cpus = 1;
static atomic_bool released;

unsigned machine_cpus(void)
{
	return nr_cpus;
}

static void put(char *page, const char *label, const void *value, size_t bytes)
{
	memcpy(page + (label - ap_trampoline), value, bytes);
}

static void put64(char *page, const char *label, uint64_t value)
{
	put(page, label, &value, 8);
}

static void put32(char *page, const char *label, uint64_t value)
{
	put(page, label, &value, 4);
}

/* All that stays the same for each CPU. */
static void trampoline_init(char *page)
{
	uint64_t at = boot_trampoline;

	memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	put32(page, ap_gdt_pointer + 2, at + (uint64_t)(ap_gdt - ap_trampoline));
	put32(page, ap_far32, at + (uint64_t)(ap_start32 - ap_trampoline));
	put32(page, ap_far64, at + (uint64_t)(ap_start64 - ap_trampoline));
	put64(page, ap_word_base, at);
	put64(page, ap_word_root, paging_root);
	put64(page, ap_word_entry, (uint64_t)ap_main);
}

static bool answered(struct percpu *p, uint64_t us)
{
	uint64_t start = machine_ns();

	while (machine_ns() - start < us * 1000)
		if (*(volatile bool *)&p->online)
			return true;
	return false;
}

static bool cpu_start(struct percpu *p, char *page)
{
	uint8_t number = (uint8_t)(boot_trampoline >> PAGE_SHIFT);

	put64(page, ap_word_stack, p->stack_top);
	put64(page, ap_word_percpu, (uint64_t)p);
	apic_send_init(p->apic_id);
	time_delay_us(INIT_US);
	apic_send_startup(p->apic_id, number);
	if (answered(p, STARTUP_US))
		return true;
	apic_send_startup(p->apic_id, number);
	return answered(p, ANSWER_US);
}

/*
 * Bits of an APIC id that tell the threads of a core apart (SDM vol. 3, 8.9.1;
 * APM vol. 3, E.4.17). The first level of leaf 0bh is one of threads only if it
 * says so (ECX 15:8 = 1).
 */
static uint32_t thread_bits(void)
{
	struct cpuid_regs r = {0};
	uint32_t threads = 1, shift = 0;

	if (cpu_has_leaf(0xb))
		r = cpuid(0xb, 0);
	if (r.ebx)
		return (r.ecx >> 8 & 0xff) == 1 ? (1u << (r.eax & 31)) - 1 : 0;
	if (cpu_has_leaf(0x8000001e) && (cpuid(0x80000001, 0).ecx & BIT(22)))
		threads = (cpuid(0x8000001e, 0).ebx >> 8 & 0xff) + 1;
	while (1u << shift < threads)
		shift++;
	return (1u << shift) - 1;
}

static bool synced; /* the CPU being started has lined its clock up */

static void cpu_try(uint32_t id, char *page)
{
	struct percpu *p = percpu_create(nr_cpus, id);

	synced = false;
	if (!cpu_start(p, page)) {
		/* back to waiting, should it wake late: its number goes to the next */
		apic_send_init(id);
		log_warn("CPU with APIC id %u does not answer: not used", id);
		percpu_table[nr_cpus] = NULL;
		return;
	}
	time_sync_serve(&synced);
	nr_cpus++;
	if (p->tsc_offset)
		log_info("CPU %u: TSC is %lld ticks behind the boot CPU's", p->cpu,
		         (long long)p->tsc_offset);
}

void smp_start(const struct madt *m, unsigned limit, bool smt)
{
	uint32_t threads = thread_bits(), me = apic_id();
	unsigned parked = 0;
	char *page;

	this_cpu()->apic_id = me;
	if (!boot_trampoline) {
		log_warn("no memory below 640 KiB to start other CPUs from: running on one");
		return;
	}
	page = phys_to_virt(boot_trampoline);
	trampoline_init(page);
	for (unsigned i = 0; i < m->nr_cpus && nr_cpus < limit; i++) {
		if (m->apic_id[i] == me || (!apic_is_x2apic() && m->apic_id[i] > 254))
			continue;
		if (!smt && (m->apic_id[i] & threads)) {
			parked++;
			continue;
		}
		cpu_try(m->apic_id[i], page);
	}
	if (parked)
		log_info("%u sibling threads are not used: smt=off, or this CPU leaks between "
		         "threads of a core (smt=on uses them all the same)",
		         parked);
	paging_unmap(boot_trampoline, PAGE_SIZE);
}

void machine_release_cpus(void)
{
	atomic_store(&released, true);
}

void ap_main(struct percpu *p)
{
	percpu_load(p);
	paging_cpu_init();
	apic_cpu_init();
	*(volatile bool *)&p->online = true;
	time_sync();
	*(volatile bool *)&synced = true;
	time_cpu_init();
	while (!atomic_load(&released))
		cpu_relax();
	/* the trampoline's identity map is gone: forget what we cached of it */
	write_cr4(read_cr4() & ~CR4_PGE);
	write_cr4(read_cr4() | CR4_PGE);
	kernel_main_ap();
}
