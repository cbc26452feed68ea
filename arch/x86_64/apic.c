/* SPDX-License-Identifier: MIT */
/*
 * One set of functions for both forms of the local APIC: x2APIC where the CPU has
 * it, as its registers are MSRs and an IPI is one write; else xAPIC, whose
 * registers are memory. Every local source but the timer is masked, and so
 * are I/O APIC and PIC: devices are polled, and the only vectors that ever come are
 * the timer's and a kick from another CPU.
 */
#include "arch/x86_64/apic.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/trap.h"

/* Registers by xAPIC offset; the x2APIC MSR is 800H + offset / 16 (SDM vol. 3, 10.12.1.2). */
#define REG_ID        0x020
#define REG_VERSION   0x030
#define REG_TPR       0x080
#define REG_EOI       0x0b0
#define REG_SPURIOUS  0x0f0
#define REG_ISR       0x100
#define REG_ESR       0x280
#define REG_ICR       0x300
#define REG_ICR_HIGH  0x310
#define REG_LVT_TIMER 0x320
#define REG_LVT_THERM 0x330
#define REG_LVT_PMC   0x340
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_SET 0x380
#define REG_TIMER_NOW 0x390
#define REG_TIMER_DIV 0x3e0

#define LVT_MASKED     BIT(16)
#define LVT_NMI        BITS(10, 10)
#define LVT_SMI        BIT(9)
#define LVT_DELIVERY   BITS(10, 8)
#define LVT_DEADLINE   BIT(18)
#define SPURIOUS_ON    BIT(8)
#define BASE_ON        BIT(11)
#define BASE_X2APIC    BIT(10)
#define DIVIDE_BY_1    0xbu
#define ICR_NMI        0x400u
#define ICR_INIT       0x500u
#define ICR_STARTUP    0x600u
#define ICR_PENDING    BIT(12)
#define ICR_ASSERT     BIT(14)
#define ICR_ALL_OTHERS (UINT64_C(3) << 18)

static bool x2apic;
static volatile uint32_t *regs;

static void reg_write(unsigned reg, uint32_t v)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		regs[reg / 4] = v;
}

static uint32_t reg_read(unsigned reg)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : regs[reg / 4];
}

void apic_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	x2apic = cpuid(1, 0).ecx & BIT(21);
	if (!x2apic)
		regs = mmio_map(base & BITS(51, 12), PAGE_SIZE, MAP_WRITE | MAP_UC);
}

/* Counter overflow and heat, which firmware may have set up (10.5.1); SMIs stay its own. */
static void mask_firmware_lvt(void)
{
	unsigned last = reg_read(REG_VERSION) >> 16 & 0xff;

	if (last >= 4)
		reg_write(REG_LVT_PMC, LVT_MASKED);
	if (last >= 5 && (reg_read(REG_LVT_THERM) & LVT_DELIVERY) != LVT_SMI)
		reg_write(REG_LVT_THERM, LVT_MASKED);
}

void apic_cpu_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | BASE_ON;

	/* xAPIC first: off to x2APIC in one step is not allowed (10.12.5) */
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | BASE_X2APIC);
	reg_write(REG_SPURIOUS, SPURIOUS_ON | VECTOR_SPURIOUS);
	reg_write(REG_TPR, 0);
	reg_write(REG_TIMER_DIV, DIVIDE_BY_1);
	apic_timer_mode(false, true);
	reg_write(REG_LVT_LINT0, LVT_MASKED);
	reg_write(REG_LVT_LINT1, LVT_MASKED | LVT_NMI);
	reg_write(REG_LVT_ERROR, LVT_MASKED | 0xfe);
	mask_firmware_lvt();
	/* Whatever the firmware has left in service: each EOI ends one (10.8.5). */
	for (unsigned i = 0; i < 256; i++)
		apic_eoi();
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

uint32_t apic_id(void)
{
	return x2apic ? reg_read(REG_ID) : reg_read(REG_ID) >> 24;
}

void apic_eoi(void)
{
	reg_write(REG_EOI, 0);
}

/* 256 bits, 32 a register, 10H apart (10.8.4). */
bool apic_in_service(uint8_t vector)
{
	return reg_read(REG_ISR + vector / 32 * 0x10) & 1u << vector % 32;
}

/* Two instructions on xAPIC: nothing of ours sends from an interrupt but a panic, which may cut in.
 */
static void icr_write(uint32_t to, uint64_t low)
{
	if (x2apic) {
		asm volatile("mfence; lfence" ::: "memory"); /* not serializing (10.12.3) */
		wrmsr(MSR_X2APIC + REG_ICR / 16, (uint64_t)to << 32 | low);
		return;
	}
	for (unsigned i = 0; (regs[REG_ICR / 4] & ICR_PENDING) && i < 1000000; i++)
		cpu_relax();
	regs[REG_ICR_HIGH / 4] = to << 24;
	regs[REG_ICR / 4] = (uint32_t)low;
}

void apic_send_ipi(uint32_t to, uint8_t vector)
{
	icr_write(to, ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t to)
{
	icr_write(to, ICR_ASSERT | ICR_NMI);
}

void apic_send_nmi_others(void)
{
	icr_write(0, ICR_ALL_OTHERS | ICR_ASSERT | ICR_NMI);
}

void apic_send_init(uint32_t to)
{
	icr_write(to, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(uint32_t to, uint8_t page)
{
	icr_write(to, ICR_ASSERT | ICR_STARTUP | page);
}

void apic_timer_write(uint32_t count)
{
	reg_write(REG_TIMER_SET, count);
}

uint32_t apic_timer_read(void)
{
	return reg_read(REG_TIMER_NOW);
}

void apic_timer_mode(bool tsc_deadline, bool masked)
{
	reg_write(REG_LVT_TIMER,
	          VECTOR_TIMER | (tsc_deadline ? LVT_DEADLINE : 0) | (masked ? LVT_MASKED : 0));
	/* The mode must be there before the first deadline is written (10.5.4.1). */
	asm volatile("mfence" ::: "memory");
}

void ioapic_mask_all(uint64_t hpa)
{
	volatile uint32_t *io = mmio_map(hpa, 0x20, MAP_WRITE | MAP_UC);
	unsigned last;

	if (!io)
		return;
	io[0] = 1;
	last = io[4] >> 16 & 0xff;
	for (unsigned i = 0; i <= last; i++) {
		io[0] = 0x10 + 2 * i;
		io[4] = (uint32_t)LVT_MASKED;
	}
}

void pic_mask_all(void)
{
	static const uint8_t init[4] = {0x11, 0x20, 0x04, 0x01}; /* base, slave on 2, 8086 mode */

	outb(0x20, init[0]);
	outb(0xa0, init[0]);
	outb(0x21, init[1]);
	outb(0xa1, init[1] + 8);
	outb(0x21, init[2]);
	outb(0xa1, 2);
	outb(0x21, init[3]);
	outb(0xa1, init[3]);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}
