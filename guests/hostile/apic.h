/* SPDX-License-Identifier: MIT */
/* What no guest outlives that does it to its local APIC (ends.c). */
#ifndef GUEST_HOSTILE_APIC_H
#define GUEST_HOSTILE_APIC_H

void apic_exchange(void);
void apic_byte(void);
void apic_wide(void);
void apic_string(void);
void apic_stack(void);
void apic_code(void);
void apic_tables(void);
void apic_gone(void);
void apic_init_itself(void);

#endif
