/* SPDX-License-Identifier: MIT */
/*
 * The port by which a trace leaves: an emulator's debug console, which is one byte wide, takes
 * everything and reads as 0xe9 (QEMU's isa-debugcon, Bochs's port_e9_hack), or a serial port
 * that is not the console's. Chosen when it is first wanted; `trace.port=` names another one.
 */
#include "arch/x86_64/cpu.h"
#include "drivers/console.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"

#define DEBUG_PORT  0xe9
#define DEBUG_READS 0xe9
#define COM2        0x2f8

/* Registers of a 16550 (National Semiconductor PC16550D data sheet). */
#define REG_DATA    0
#define REG_IER     1
#define REG_FCR     2
#define REG_LCR     3
#define REG_MCR     4
#define REG_LSR     5
#define REG_SCRATCH 7
#define LCR_DLAB    0x80
#define LCR_8N1     0x03
#define LSR_THRE    0x20
#define FIFO        16

static uint16_t port;
static bool serial;

static bool serial_found(uint16_t at)
{
	outb(at + REG_SCRATCH, 0xa5);
	if (inb(at + REG_SCRATCH) != 0xa5)
		return false;
	outb(at + REG_IER, 0);
	outb(at + REG_LCR, LCR_DLAB | LCR_8N1);
	outb(at + REG_DATA, 1); /* 115200 */
	outb(at + REG_IER, 0);
	outb(at + REG_LCR, LCR_8N1);
	outb(at + REG_FCR, 0x07); /* FIFOs on and empty */
	outb(at + REG_MCR, 0x03); /* DTR, RTS */
	return true;
}

const char *machine_trace_port(void)
{
	static char name[32];
	uint16_t at = (uint16_t)cmdline_number("trace.port", 0);
	bool any = !at;

	if (any)
		at = DEBUG_PORT;
	if (inb(at) == DEBUG_READS) {
		port = at;
		serial = false;
		text_format(name, sizeof(name), "debug console at %#x", at);
		return name;
	}
	if (any)
		at = COM2;
	if (at == uart_port() || !serial_found(at))
		return NULL;
	port = at;
	serial = true;
	text_format(name, sizeof(name), "serial port at %#x", at);
	return name;
}

size_t machine_trace_send(const void *bytes, size_t n)
{
	if (serial) {
		if (!(inb(port + REG_LSR) & LSR_THRE))
			return 0;
		n = n < FIFO ? n : FIFO;
	}
	outsb(port, bytes, n);
	return n;
}
