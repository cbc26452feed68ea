/* SPDX-License-Identifier: MIT */
/* What an attack is: a row of a table, with the set of outcomes that are allowed. */
#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "guests/lib/trap.h"

/* What an attack may lead to: a set of these. */
#define NOTHING  (1u << 31)  /* it goes on behind the instruction */
#define TRAP(v)  (1u << (v)) /* exception v (0..19) */
#define SURVIVED (~0u)       /* whatever, but this guest and all others go on */

/* One row of a table: run it, see what comes. */
struct attack {
	const char *name;
	void (*run)(void *arg);
	uint32_t expected;
};

/* Runs the rows; one test each. */
void attack_all(const char *group, const struct attack *rows, size_t n);
/* One test: did `vector` (TRAP_NONE: none) belong to `expected`? */
void attack_judge(const char *group, const char *name, int vector, uint32_t expected);

/* The groups that a guest outlives. */
void attack_instructions(void); /* instructions.c */
void attack_registers(void);    /* registers.c */
void attack_msrs(void);         /* msrs.c */
void attack_apic(void);         /* apic.c */
void attack_cpuid(void);        /* cpuid.c */
void attack_ports(void);        /* ports.c */
void attack_calls(void);        /* calls.c */
void attack_balloon(void);      /* balloon_calls.c */
void attack_tables(void);       /* tables.c: page tables that lie */
void attack_user(void);         /* user.c: from CPL 3 */
void attack_compat(void);       /* compat.c: 32-bit hypercalls */
void attack_console(void);      /* console_forge.c */
void attack_rings(void);        /* rings.c */
void attack_race(void);         /* race.c: needs a second vCPU */

/* The attack named by `attack=`, which this guest does not outlive (ends.c). */
bool attack_end(void);

#endif
