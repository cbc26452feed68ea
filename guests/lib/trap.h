/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts. A test that expects an exception runs the piece
 * that raises it under trap_try(), which says which one came. An exception
 * that nobody expects ends the guest with "not ok".
 */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include <stdbool.h>
#include <stdint.h>

#define TRAP_NONE (-1)
#define TRAP_DE   0
#define TRAP_DB   1
#define TRAP_BP   3
#define TRAP_UD   6
#define TRAP_NM   7
#define TRAP_DF   8
#define TRAP_TS   10
#define TRAP_NP   11
#define TRAP_SS   12
#define TRAP_GP   13
#define TRAP_PF   14
#define TRAP_AC   17

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct trap_result {
	int vector; /* TRAP_NONE if nothing came */
	uint64_t error, rip, cr2, rax;
};

/*
 * Run f(arg); an exception in it ends it and is described in *info. True if f
 * came back by itself. Interrupt flag and segments are as before afterwards;
 * what f did to control registers is not undone.
 */
bool trap_try(void (*f)(void *arg), void *arg, struct trap_result *info);

/* trap_try for when only the vector matters. */
int trap_vector(void (*f)(void *arg), void *arg);

/* Call f for interrupt `vector` (32..255). */
void trap_set_handler(unsigned vector, void (*f)(struct trap_frame *t));

/* The short name of an exception, "#GP". */
const char *trap_name(int vector);

/* Gates of the IDT: raw access for tests that bend it. */
struct idt_gate {
	uint16_t offset0, selector;
	uint8_t ist, type;
	uint16_t offset1;
	uint32_t offset2, reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3, figure 6-8");
extern struct idt_gate trap_idt[256];

void trap_init(void); /* load the IDT on this vCPU */
void trap_handle(struct trap_frame *t);

#endif
