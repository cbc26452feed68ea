/* SPDX-License-Identifier: MIT */
/*
 * I/O ports: a guest has none. Reads give ones (or a fixed answer), writes
 * vanish, and strings of any length do not keep the CPU.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

static uint8_t buffer[4096] __attribute__((aligned(4096)));

static void in_all(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inb %w1, %b0" : "=a"(v) : "d"(port));
	__asm__ volatile("inw %w1, %w0" : "=a"(v) : "d"(port));
	__asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(port));
}

static void out_all(uint16_t port)
{
	if (port >= 0xe0 && port <= 0xe9)
		return; /* the emergency console: not an attack, but a mess */
	__asm__ volatile("outb %b0, %w1" : : "a"(0xff), "d"(port));
	__asm__ volatile("outw %w0, %w1" : : "a"(0xffff), "d"(port));
	__asm__ volatile("outl %0, %w1" : : "a"(~0u), "d"(port));
}

static void sweep(void *arg)
{
	(void)arg;
	for (uint32_t p = 0; p < 0x10000; p += p < 0x500 || (p >= 0xcf8 && p < 0xd00) ? 1 : 37) {
		in_all((uint16_t)p);
		out_all((uint16_t)p);
	}
	in_all(0xffff); /* four bytes from here leave the 16 bits of a port */
	out_all(0xffff);
}

static void string_io(const char *what, uint64_t address, uint64_t count, bool in)
{
	uint64_t rsi = address, rdi = address, rcx = count;

	(void)what;
	if (in)
		__asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(0x80) : "memory");
	else
		__asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(0x80) : "memory");
}

#define STRING_CASE(name, address, count, in)                                                      \
	static void name(void *arg)                                                                \
	{                                                                                          \
		(void)arg;                                                                         \
		string_io(#name, address, count, in);                                              \
	}
STRING_CASE(outs_page, (uint64_t)buffer, sizeof(buffer), false)
STRING_CASE(ins_page, (uint64_t)buffer, sizeof(buffer), true)
STRING_CASE(outs_none, (uint64_t)buffer, 0, false)
STRING_CASE(outs_nowhere, UINT64_C(0x7000000000), 64, false)
STRING_CASE(ins_nowhere, UINT64_C(0x7000000000), 64, true)
STRING_CASE(outs_bad, UINT64_C(1) << 63, 64, false)
STRING_CASE(ins_wrap, UINT64_MAX - 3, 64, true)

/* Strings are not emulated for a guest without devices: #GP is an answer, too. */
static const struct attack rows[] = {
    {"sweep of IN and OUT",                        sweep,        NOTHING                },
    {"REP OUTSB of a page",                        outs_page,    NOTHING | TRAP(TRAP_GP)},
    {"REP INSB of a page",                         ins_page,     NOTHING | TRAP(TRAP_GP)},
    {"REP OUTSB of nothing",                       outs_none,    NOTHING | TRAP(TRAP_GP)},
    {"REP OUTSB from nowhere",                     outs_nowhere, SURVIVED               },
    {"REP INSB to nowhere",                        ins_nowhere,  SURVIVED               },
    {"REP OUTSB, not canonical",                   outs_bad,     SURVIVED               },
    {"REP INSB over the end of the address space", ins_wrap,     SURVIVED               },
};

void attack_ports(void)
{
	attack_all("ports", rows, sizeof(rows) / sizeof(rows[0]));
}
