/* SPDX-License-Identifier: MIT */
/* What the files of this guest share: a source of hostile values, and the places they point to. */
#ifndef GUEST_FUZZ_FUZZ_H
#define GUEST_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/random.h"

#define VCPUS       2u
#define ARG_PAGES   2u
#define ARENA_PAGES 128u

/* One vCPU at work. */
struct fuzzer {
	unsigned id;
	uint64_t rng;
	uint8_t *args; /* ARG_PAGES, where its calls' structures lie; the other one bends them */
	uint64_t made, good; /* operations; those of them that were accepted */
};

extern struct fuzzer fuzzers[VCPUS];
extern bool fuzz_lethal; /* also what ends this guest */

/* ---- values.c ---- */

void values_init(void);
bool chance(struct fuzzer *f, unsigned one_in);
uint64_t below(struct fuzzer *f, uint64_t n);
uint64_t odd_number(struct fuzzer *f);
/* Something that the hypervisor may be given as an address; this guest's code, stacks and tables
 * are not among what it may be made to write. */
uint64_t odd_pointer(struct fuzzer *f);
uint64_t odd_gfn(struct fuzzer *f);
uint64_t odd_count(struct fuzzer *f); /* seldom more than there can be */
uint64_t arena_gfn(struct fuzzer *f);
/* A word of the structure at p becomes something else. */
void bend(struct fuzzer *f, void *p, size_t bytes);
/* Bend what the other vCPU's call reads just now, or the window's tables under it. */
void values_disturb(struct fuzzer *f);

/*
 * A hypercall whose argument number `at` points to a structure. It is put where the call will
 * find it: whole or bent, in one page or across two, or the pointer is anything at all.
 * What the hypervisor left there is copied back.
 */
struct call {
	uint64_t nr, arg[3];
	unsigned at;
};
long fuzz_call(struct fuzzer *f, struct call c, void *structure, size_t bytes);

/* ---- operations; each makes one, whether it was accepted ---- */

typedef bool operation(struct fuzzer *f);

operation any_call, memory_call, place_call, event_call, vcpu_call, sched_call, hvm_call,
    version_call, console_call, own_call; /* calls.c */
operation grant_call;                     /* grants.c */
void grants_init(void);
long grants_place(void);
operation store_message, store_noise, console_noise; /* rings.c */
void rings_init(void);
bool rings_port(uint32_t port);                              /* belongs to one of them */
operation any_msr, apic_msr, apic_memory, any_cr, any_cpuid; /* registers.c */
operation any_port, string_port, interrupt_window;           /* ports.c */
operation own_memory;                                        /* own.c */
void own_init(void);
bool own_whole(void);
operation lethal; /* lethal.c */

#endif
