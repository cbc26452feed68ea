/* SPDX-License-Identifier: MIT */
/* A GDT, a TSS and the shared IDT for each vCPU. */
#include "guests/lib/cpu.h"
#include "guests/lib/trap.h"

struct cpu_slot cpu_slots[CPU_MAX];

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

static void gdt_fill(struct cpu *c)
{
	uint64_t tss = (uint64_t)&c->tss;

	c->gdt[SEL_CODE64 / 8] = 0x00209b0000000000;
	c->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
	c->gdt[SEL_CODE32 / 8] = 0x00cf9b000000ffff;
	c->gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
	c->gdt[SEL_USER_CODE / 8] = 0x0020fb0000000000;
	/* An available 64-bit TSS (SDM vol. 3, 8.2.3). */
	c->gdt[SEL_TSS / 8] = (sizeof(struct tss64) - 1) | (tss & 0xffffff) << 16 |
	                      UINT64_C(0x89) << 40 | (tss >> 24 & 0xff) << 56;
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

void cpu_init(unsigned id)
{
	struct cpu *c = &cpu_slots[id].cpu;
	struct table_pointer gdtr = {sizeof(c->gdt) - 1, (uint64_t)c->gdt};

	c->id = id;
	c->tss.rsp[0] = (uint64_t)c + CPU_TRAP_TOP;
	c->tss.ist[0] = (uint64_t)c + CPU_TRAP_TOP;
	c->tss.iomap_base = sizeof(c->tss);
	gdt_fill(c);
	__asm__ volatile("lgdt %0\n\t"
	                 "push %1\n\t"
	                 "lea 1f(%%rip), %%rax\n\t"
	                 "push %%rax\n\t"
	                 "lretq\n"
	                 "1:\tltr %w2"
	                 :
	                 : "m"(gdtr), "i"(SEL_CODE64), "r"(SEL_TSS)
	                 : "rax", "memory");
	trap_init();
}
