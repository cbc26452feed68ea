/* SPDX-License-Identifier: MIT */
/* The local APIC of this CPU, as xAPIC or x2APIC (SDM vol. 3, ch. 10). */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include "mm/leaf/types.h"

/* On the boot CPU: choose the mode, map the registers. Then apic_cpu_init on every CPU. */
void apic_init(void);
void apic_cpu_init(void);
bool apic_is_x2apic(void);
uint32_t apic_id(void);
void apic_eoi(void);
bool apic_in_service(uint8_t vector); /* it came through this APIC and has had no EOI */

/* to: an APIC id. None of these waits for the other CPU; not from an interrupt handler, but a
 * panic may. */
void apic_send_ipi(uint32_t to, uint8_t vector);
void apic_send_nmi(uint32_t to);
void apic_send_nmi_others(void);
void apic_send_init(uint32_t to);
void apic_send_startup(uint32_t to, uint8_t page);

/* The timer: raw counts; time.c gives them a unit. */
void apic_timer_write(uint32_t count); /* one shot; 0 stops */
uint32_t apic_timer_read(void);
void apic_timer_mode(bool tsc_deadline, bool masked);

/* Mask every input of the I/O APIC at this address: we take no device interrupts. */
void ioapic_mask_all(uint64_t hpa);
/* The same for the two 8259s, moved out of the exceptions' way first. */
void pic_mask_all(void);

#endif
