/* SPDX-License-Identifier: MIT */
/* Per-CPU data: GDT, TSS, stacks with a guard page under each, and GS. */
#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/smp.h"
#include "arch/x86_64/trap.h"
#include "kernel/machine.h"

/* Each stack has a slot of address space of its own, its guard page at the bottom. */
#define STACK_SLOT      UINT64_C(0x10000)
#define STACKS_PER_CPU  4u
#define RUN_STACK_BYTES 0x8000u
#define IST_STACK_BYTES 0x3000u

struct percpu *percpu_table[MAX_CPUS];
static struct percpu boot_percpu;

struct percpu *percpu_of(unsigned cpu)
{
	return cpu < MAX_CPUS ? percpu_table[cpu] : NULL;
}

/* The top of stack `n` of a CPU, backed by memory. */
static uint64_t stack_make(unsigned cpu, unsigned n, uint64_t bytes)
{
	uint64_t slot = STACKS_BASE + (cpu * STACKS_PER_CPU + n) * STACK_SLOT;

	if (!paging_back(slot + PAGE_SIZE, bytes))
		env_panic("no memory for the stacks of CPU %u", cpu);
	return slot + PAGE_SIZE + bytes;
}

static void gdt_fill(struct percpu *p)
{
	uint64_t tss = (uint64_t)&p->tss, limit = sizeof(p->tss) - 1;

	p->tss.io_map_base = sizeof(p->tss);
	p->gdt[0] = 0;
	p->gdt[1] = UINT64_C(0x00af9b000000ffff);
	p->gdt[2] = UINT64_C(0x00cf93000000ffff);
	/* SDM vol. 3, figure 7-4: available 64-bit TSS */
	p->gdt[3] = (limit & 0xffff) | (tss & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
	            (tss >> 24 & 0xff) << 56;
	p->gdt[4] = tss >> 32;
}

void percpu_load(struct percpu *p)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) d = {sizeof(p->gdt) - 1, (uint64_t)p->gdt};

	gdt_fill(p);
	asm volatile(
	    "lgdt %0\n\t"
	    "pushq %1\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
	    "movl %2, %%eax\n\tmovl %%eax, %%ds\n\tmovl %%eax, %%es\n\tmovl %%eax, %%ss\n\t"
	    "xorl %%eax, %%eax\n\tmovl %%eax, %%fs\n\tmovl %%eax, %%gs\n\tlldt %%ax\n\t"
	    "ltr %w3" ::"m"(d),
	    "i"(SEL_CODE), "i"(SEL_DATA), "r"(SEL_TSS)
	    : "rax", "memory");
	wrmsr(MSR_GS_BASE, (uint64_t)p);
	trap_cpu_init();
}

void percpu_boot(void)
{
	percpu_table[0] = &boot_percpu;
	boot_percpu.self = &boot_percpu;
	boot_percpu.online = true;
	percpu_load(&boot_percpu);
}

void percpu_stacks(struct percpu *p)
{
	p->stack_top = stack_make(p->cpu, 0, RUN_STACK_BYTES);
	p->tss.ist[IST_DF - 1] = stack_make(p->cpu, 1, IST_STACK_BYTES);
	p->tss.ist[IST_NMI - 1] = stack_make(p->cpu, 2, IST_STACK_BYTES);
	p->tss.ist[IST_MC - 1] = stack_make(p->cpu, 3, IST_STACK_BYTES);
}

struct percpu *percpu_create(unsigned cpu, uint32_t apic_id)
{
	uint64_t hpa = bootmem_alloc(align_up(sizeof(struct percpu), PAGE_SIZE), PAGE_SIZE);
	struct percpu *p;

	if (!hpa)
		env_panic("no memory for CPU %u", cpu);
	p = phys_to_virt(hpa);
	p->self = p;
	p->cpu = cpu;
	p->apic_id = apic_id;
	percpu_stacks(p);
	percpu_table[cpu] = p;
	return p;
}
