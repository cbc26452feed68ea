/* SPDX-License-Identifier: MIT */
/*
 * Off and reset in every way we know, the standard one first: ACPI's registers,
 * then chipset ports, at the end a triple fault, or a halt. Whoever calls has already
 * left VMX or SVM on every CPU.
 */
#include "drivers/power.h"

#include "arch/x86_64/cpu.h"
#include "drivers/console.h"
#include "kernel/log.h"

#define SLP_EN BIT(13) /* ACPI 6.5, 4.8.3.2.1 */

static struct acpi_power acpi;

void power_init(const struct acpi_power *p)
{
	acpi = *p;
}

void power_flush(void)
{
	console_drain();
}

static void pause_a_while(void)
{
	for (unsigned i = 0; i < 100000; i++)
		inb(0x80);
}

static void acpi_soft_off(void)
{
	if (!acpi.has_s5 || !acpi.pm1a)
		return;
	outw((uint16_t)acpi.pm1a, (uint16_t)(SLP_EN | (uint16_t)(acpi.s5_a & 7) << 10));
	if (acpi.pm1b)
		outw((uint16_t)acpi.pm1b, (uint16_t)(SLP_EN | (uint16_t)(acpi.s5_b & 7) << 10));
}

void power_off(void)
{
	power_flush();
	acpi_soft_off();
	pause_a_while();
	/* emulators without ACPI tables: QEMU's PIIX4 and Q35, Bochs' PIIX4, Bochs' own port */
	outw(0x604, SLP_EN);
	outw(0xb004, SLP_EN);
	for (const char *p = "Shutdown"; *p; p++)
		outb(0x8900, (uint8_t)*p);
	log_error("this machine cannot be turned off by us: it is halted, use its switch");
	for (;;)
		asm volatile("cli; hlt" ::: "memory");
}

void power_reset(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	power_flush();
	if (acpi.reset_port)
		outb((uint16_t)acpi.reset_port, acpi.reset_value);
	pause_a_while();
	outb(0xcf9, 0x02); /* reset control: hard, then go */
	outb(0xcf9, 0x06);
	pause_a_while();
	outb(0x64, 0xfe); /* the 8042 pulls the reset line */
	pause_a_while();
	asm volatile("lidt %0; int3" ::"m"(none)); /* triple fault */
	for (;;)
		asm volatile("cli; hlt" ::: "memory");
}
