/* SPDX-License-Identifier: MIT */
/* See spec.h. SDM vol. 4, table 2-2 and APM vol. 2, 3.2.9 name the MSRs. */
#include "arch/x86_64/spec.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "kernel/log.h"
#include "kernel/machine.h"

#define MSR_SPEC_CTRL 0x48u
#define MSR_PRED_CMD  0x49u
#define MSR_ARCH_CAPS 0x10au
#define MSR_FLUSH_CMD 0x10bu

#define SPEC_CTRL_IBRS  BIT(0)
#define SPEC_CTRL_BHI   BIT(10) /* BHI_DIS_S */
#define PRED_CMD_IBPB   BIT(0)
#define FLUSH_CMD_L1D   BIT(0)
#define MSR_DE_CFG      0xc0011029u
#define DE_CFG_LFENCE   BIT(1)
#define DE_CFG_ZENBLEED BIT(9)
#define EFER_AIBRSE     BIT(21)

uint8_t spec_fill_rsb;
uint64_t spec_entry_actions;
bool spec_ibrs_at_exit;

static struct spec_plan plan;
static bool planned;
static uint64_t spec_ctrl; /* what SPEC_CTRL holds: guests have no such MSR */
static domid_t last_domain[MAX_CPUS];

bool spec_emulated(void)
{
	return (cpuid(1, 0).ecx & BIT(31)) && cpuid(0x40000000, 0).ebx == 0x54474354;
}

static void spec_identify(struct spec_cpu *c)
{
	uint32_t vendor = cpuid(0, 0).ebx, version = cpuid(1, 0).eax;

	c->family = version >> 8 & 15;
	c->model = version >> 4 & 15;
	c->stepping = version & 15;
	if (c->family == 6 || c->family == 15)
		c->model |= version >> 12 & 0xf0;
	if (c->family == 15)
		c->family += version >> 20 & 0xff;
	c->vendor = vendor == 0x756e6547   ? SPEC_INTEL
	            : vendor == 0x68747541 ? SPEC_AMD
	            : vendor == 0x6f677948 ? SPEC_AMD
	                                   : SPEC_OTHER;
	c->emulated = spec_emulated();
}

static struct spec_cpu spec_this_cpu(void)
{
	struct spec_cpu c = {0};

	spec_identify(&c);
	if (cpu_has_leaf(7))
		c.leaf7_edx = cpuid(7, 0).edx;
	if (cpu_has_leaf(7) && cpuid(7, 0).eax >= 2)
		c.leaf7_2_edx = cpuid(7, 2).edx;
	if (cpu_has_leaf(0x80000008))
		c.amd8_ebx = cpuid(0x80000008, 0).ebx;
	if (cpu_has_leaf(0x80000021))
		c.amd21_eax = cpuid(0x80000021, 0).eax;
	if (c.leaf7_edx & SPEC7_ARCH_CAPS)
		c.arch_caps = rdmsr(MSR_ARCH_CAPS);
	/* Threads of a core: leaf 0bh, level 0, if that is of type SMT (SDM vol. 2, CPUID). */
	if (cpu_has_leaf(0xb) && (cpuid(0xb, 0).ecx >> 8 & 0xff) == 1)
		c.smt = (cpuid(0xb, 0).ebx & 0xffff) > 1;
	return c;
}

const struct spec_plan *spec_current(void)
{
	if (!planned) {
		struct spec_cpu c = spec_this_cpu();

		plan = spec_plan(&c);
		planned = true;
	}
	return &plan;
}

/* A CPU that does not let us (or an outer hypervisor) keeps what it has. */
static void spec_de_cfg(uint64_t actions)
{
	uint64_t now, want;

	if (!(actions & (DO_LFENCE | DO_ZENBLEED)) || !rdmsr_safe(MSR_DE_CFG, &now))
		return;
	want = now | (actions & DO_LFENCE ? DE_CFG_LFENCE : 0) |
	       (actions & DO_ZENBLEED ? DE_CFG_ZENBLEED : 0);
	if (want != now && !wrmsr_safe(MSR_DE_CFG, want))
		log_warn("CPU %u does not take DE_CFG = %llx", machine_cpu(),
		         (unsigned long long)want);
}

void spec_cpu_on(void)
{
	uint64_t actions = spec_current()->actions;

	spec_de_cfg(actions);

	spec_fill_rsb = !!(actions & DO_RSB_FILL);
	spec_entry_actions = actions & (DO_VERW | DO_L1D_FLUSH);
	spec_ibrs_at_exit = actions & DO_IBRS;
	spec_ctrl = (actions & (DO_EIBRS | DO_IBRS) ? SPEC_CTRL_IBRS : 0) |
	            (actions & DO_BHI_DIS ? SPEC_CTRL_BHI : 0);
	if ((actions & DO_EIBRS) && cpu_has_leaf(0x80000021) &&
	    (cpuid(0x80000021, 0).eax & SPEC21_AUTO_IBRS))
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AIBRSE);
	else if (spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, spec_ctrl);
}

void spec_load_domain(unsigned cpu, domid_t domid)
{
	if (last_domain[cpu] == domid)
		return;
	last_domain[cpu] = domid;
	if (plan.actions & DO_IBPB)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void spec_before_entry(void)
{
	static const uint16_t selector = SEL_DATA;

	if (spec_entry_actions & DO_L1D_FLUSH)
		wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
	/* With MD_CLEAR, VERW with a writable data segment overwrites the buffers. */
	if (spec_entry_actions & DO_VERW)
		asm volatile("verw %0" ::"m"(selector) : "cc");
}

void spec_after_exit(void)
{
	wrmsr(MSR_SPEC_CTRL, spec_ctrl);
}

void spec_describe(void (*line)(const char *text))
{
	const struct spec_plan *p = spec_current();
	char text[100];

	if (spec_emulated())
		line("speculation: this CPU is an emulator's, it has none");
	for (unsigned l = 0; l < SPEC_LEAKS; l++) {
		text_format(text, sizeof(text), "%s: %s", spec_leak_name((enum spec_leak)l),
		            spec_state_name(p->state[l]));
		line(text);
	}
}
