/* SPDX-License-Identifier: MIT */
/*
 * What the kernel asks of the machine under it. arch/x86_64/ answers on real
 * hardware, tests/host/machine.c in native tests.
 *
 * One rule holds the hypervisor together: **it runs with interrupts off**.
 * They are on in two places only, machine_idle() and machine_irq_window(), at
 * neither of which a lock is held. An interrupt handler sets flags and nothing
 * else, so no lock ever needs an irq-saving form, and no hypervisor code is
 * ever interrupted halfway. In guest mode every interrupt is a VM exit.
 * Nothing of ours may run long; what is long is cut into slices.
 */
#ifndef KERNEL_MACHINE_H
#define KERNEL_MACHINE_H

#include "mm/leaf/types.h"

#define MAX_CPUS 64u

/* ---- CPUs ---- */

unsigned machine_cpu(void);      /* the CPU that we run on */
unsigned machine_cpus(void);     /* CPUs that run, numbered 0 .. n-1; 0 is the boot CPU */
void machine_kick(unsigned cpu); /* make it leave guest mode or wake from idle; may be self */
void machine_relax(void);

/* Let pending interrupts be handled, interrupts off again on return. No lock held. */
void machine_irq_window(void);
/* Sleep until an interrupt; returns with interrupts off. No lock held. */
void machine_idle(void);

/* ---- time ---- */

uint64_t machine_tsc(void);
uint64_t machine_tsc_hz(void);
/* It never stops, and all CPUs read the same. Once all CPUs are started. */
bool machine_tsc_stable(void);
/* Nanoseconds since boot; monotonic, the same on all CPUs. */
uint64_t machine_ns(void);
/* The same, of the moment at which this CPU's TSC had that value. */
uint64_t machine_ns_at(uint64_t tsc);
/* Seconds since 1970, from the battery clock at boot plus machine_ns. */
uint64_t machine_wallclock_s(void);
/*
 * Ask for one timer interrupt on this CPU at that time (machine_ns); replaces
 * the last request. A time that is past fires at once. UINT64_MAX: none.
 */
void machine_timer(uint64_t deadline_ns);

/* ---- the operator's console: all of serial, screen and keyboard ---- */

void machine_putc(char c); /* '\n' becomes CR LF where that is needed; safe in a panic */
int machine_getc(void);    /* the next byte typed, or -1; polls, never waits */

/*
 * A serial line is slow. On: what is printed waits in a queue from now on, and machine_putc waits only if that is
 * full. Off, as it is at first: all that waits is sent, and each byte before machine_putc returns.
 */
void machine_output_queue(bool on);
/* Send what the line takes at once; returns whether something is left. */
bool machine_output_pump(void);
size_t machine_output_room(void); /* bytes that the queue can take */

/* ---- the port by which a trace leaves (drivers/trace_port.c) ---- */

const char *machine_trace_port(void); /* which; NULL if there is none */
/* How many bytes it took, maybe none; never waits. */
size_t machine_trace_send(const void *bytes, size_t n);

/* ---- ends ---- */

void machine_reboot(void) noreturn_fn;   /* leaves VMX or SVM on every CPU first */
void machine_poweroff(void) noreturn_fn; /* flushes the console first; halts if it cannot */

/* ---- the rest ---- */

uint64_t machine_random(void);
/* "name+0x12" of a hypervisor address, or "?"; static storage per CPU. */
const char *machine_symbol(uint64_t address);
/* Lines for `hwinfo`: CPU, firmware, memory map, back end and its capabilities, mitigations. */
void machine_hwinfo(void (*line)(const char *text));

#endif
