/* SPDX-License-Identifier: MIT */
/* Ports, by single accesses and by strings; and a moment in which interrupts may come. */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/trap.h"

#define PORT_CONSOLE_FIRST 0xe6u /* four bytes from here reach port 0xe9 */
#define PORT_CONSOLE_LAST  0xe9u
#define PORT_SLEEP         0x600u /* a byte there may power off: arch/x86_64/guest/acpi_tables.h */

struct port_access {
	uint16_t port;
	uint32_t value;
	uint64_t address, count;
	unsigned form;
};

static uint16_t some_port(struct fuzzer *f)
{
	static const uint16_t known[] = {0x20,  0x21,  0x40,   0x42,  0x43,   0x60,  0x61,
	                                 0x64,  0x70,  0x71,   0x80,  0x92,   0xa1,  0xb2,
	                                 0xcf8, 0xcfc, 0xcf9,  0x3f8, 0x3fd,  0x3d4, 0x1f0,
	                                 0x500, 0x510, 0xb004, 0x402, 0xffff, 0x8900};
	uint16_t port = (uint16_t)(chance(f, 2) ? known[below(f, sizeof(known) / sizeof(known[0]))]
	                                        : odd_number(f));

	if (port >= PORT_CONSOLE_FIRST && port <= PORT_CONSOLE_LAST)
		return 0x80;
	return port == PORT_SLEEP && !fuzz_lethal ? 0x80 : port;
}

bool any_port(struct fuzzer *f)
{
	uint16_t port = some_port(f);
	uint32_t v = (uint32_t)odd_number(f);

	switch (below(f, 6)) {
	case 0:
		__asm__ volatile("inb %w1, %b0" : "+a"(v) : "d"(port));
		break;
	case 1:
		__asm__ volatile("inw %w1, %w0" : "+a"(v) : "d"(port));
		break;
	case 2:
		__asm__ volatile("inl %w1, %0" : "+a"(v) : "d"(port));
		break;
	case 3:
		__asm__ volatile("outb %b0, %w1" : : "a"(v), "d"(port));
		break;
	case 4:
		__asm__ volatile("outw %w0, %w1" : : "a"(v), "d"(port));
		break;
	default:
		__asm__ volatile("outl %0, %w1" : : "a"(v), "d"(port));
	}
	return true;
}

static void string_one(void *arg)
{
	struct port_access *a = arg;
	uint64_t rsi = a->address, rdi = a->address, rcx = a->count;

	switch (a->form) {
	case 0:
		__asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(a->port) : "memory");
		break;
	case 1:
		__asm__ volatile("rep insl" : "+D"(rdi), "+c"(rcx) : "d"(a->port) : "memory");
		break;
	case 2:
		__asm__ volatile("std; rep insw; cld"
		                 : "+D"(rdi), "+c"(rcx)
		                 : "d"(a->port)
		                 : "memory");
		break;
	case 3:
		__asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(a->port) : "memory");
		break;
	default:
		__asm__ volatile("rep outsl" : "+S"(rsi), "+c"(rcx) : "d"(a->port) : "memory");
	}
}

/* Into our own arguments, out of them, or where nothing is mapped (#PF, ours). */
bool string_port(struct fuzzer *f)
{
	struct port_access a = {
	    .port = some_port(f),
	    .address = (uint64_t)f->args + PAGE_SIZE / 2 + below(f, 64),
	    .count = below(f, 512),
	    .form = (unsigned)below(f, 5),
	};
	bool ok;

	if (chance(f, 4))
		a.address = 0x7000000000 - below(f, 64);
	if (a.form >= 3 && a.port != PORT_CONSOLE_LAST && chance(f, 4))
		a.count = odd_number(f); /* no byte of it is looked at */
	ok = trap_vector(string_one, &a) == TRAP_NONE;
	__asm__ volatile("cld");
	return ok;
}

/* ---- interrupts ---- */

static void taken(struct trap_frame *t)
{
	(void)t;
	__atomic_store_n(&this_cpu()->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
	this_cpu()->info->evtchn_pending_sel = 0;
	this_cpu()->upcalls++;
	if (rdmsr(0x1b) & 0x400)
		wrmsr(0x80b, 0);
	else if (rdmsr(0x1b) & 0x800)
		*(volatile uint32_t *)UINT64_C(0xfee000b0) = 0;
}

/* The timer is stopped first: one that runs out all the time would leave us no instruction. */
bool interrupt_window(struct fuzzer *f)
{
	uint64_t before = this_cpu()->upcalls;

	(void)f;
	if (rdmsr(0x1b) & 0x400)
		wrmsr(0x838, 0);
	else if (rdmsr(0x1b) & 0x800)
		*(volatile uint32_t *)UINT64_C(0xfee00380) = 0;
	for (unsigned v = 32; v < 256; v++)
		trap_set_handler(v, taken);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	return this_cpu()->upcalls != before;
}
