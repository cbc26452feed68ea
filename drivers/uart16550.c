/* SPDX-License-Identifier: MIT */
/* A 16550 UART at any port, polled (National Semiconductor PC16550D data sheet). */
#include "arch/x86_64/cpu.h"
#include "drivers/console.h"
#include "kernel/string.h"

#define REG_DATA    0
#define REG_IER     1
#define REG_FCR     2
#define REG_LCR     3
#define REG_MCR     4
#define REG_LSR     5
#define REG_SCRATCH 7

#define LCR_DLAB  0x80
#define LCR_8N1   0x03
#define LSR_READY 0x01
#define LSR_THRE  0x20
#define LSR_TEMT  0x40

#define CLOCK_BAUD 115200u
#define PATIENCE   5000000u /* polls, seconds: an emulator whose reader is slow must lose nothing */

static uint16_t port = 0x3f8;
static bool present;

static unsigned number(const char **s)
{
	unsigned base = 10, v = 0;

	if ((*s)[0] == '0' && (*s)[1] == 'x') {
		base = 16;
		*s += 2;
	}
	for (;; (*s)++) {
		unsigned d = (unsigned)(**s - '0');

		if (d > 9 && base == 16 && (**s | 32) >= 'a' && (**s | 32) <= 'f')
			d = (unsigned)((**s | 32) - 'a') + 10;
		if (d >= base)
			return v;
		v = v * base + d;
	}
}

/* [PORT,]BAUD[,FORMAT]; a port begins with 0x. Returns bits for LCR. */
static uint8_t parse(const char *spec, unsigned *baud)
{
	uint8_t lcr = LCR_8N1;

	*baud = CLOCK_BAUD;
	if (spec[0] == '0' && spec[1] == 'x') {
		port = (uint16_t)number(&spec);
		if (*spec == ',')
			spec++;
	}
	if (*spec >= '1' && *spec <= '9')
		*baud = number(&spec);
	if (*spec == ',' && spec[1] >= '5' && spec[1] <= '8') {
		lcr = (uint8_t)(spec[1] - '5');
		if (spec[2] == 'e')
			lcr |= 0x18;
		else if (spec[2] == 'o')
			lcr |= 0x08;
		if (spec[2] && spec[3] == '2')
			lcr |= 0x04;
	}
	return lcr;
}

bool uart_init(const char *spec)
{
	unsigned baud, divisor;
	uint8_t lcr = parse(spec, &baud);

	outb(port + REG_SCRATCH, 0x5a);
	present = inb(port + REG_SCRATCH) == 0x5a;
	if (!present)
		return false;
	divisor = baud && baud <= CLOCK_BAUD ? CLOCK_BAUD / baud : 1;
	outb(port + REG_IER, 0);
	outb(port + REG_LCR, LCR_DLAB | lcr);
	outb(port + REG_DATA, (uint8_t)divisor);
	outb(port + REG_IER, (uint8_t)(divisor >> 8));
	outb(port + REG_LCR, lcr);
	outb(port + REG_FCR, 0x07); /* FIFOs on and empty */
	outb(port + REG_MCR, 0x03); /* DTR, RTS */
	return true;
}

uint16_t uart_port(void)
{
	return port;
}

static void wait_for(uint8_t bit)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (inb(port + REG_LSR) & bit)
			return;
		cpu_relax();
	}
}

static void send(char c)
{
	static unsigned room; /* in the transmit FIFO of 16, since it was last seen empty */

	if (!room) {
		wait_for(LSR_THRE);
		room = 16;
	}
	room--;
	outb(port + REG_DATA, (uint8_t)c);
}

void uart_putc(char c)
{
	if (!present)
		return;
	if (c == '\n')
		send('\r');
	send(c);
}

int uart_getc(void)
{
	if (!present || !(inb(port + REG_LSR) & LSR_READY))
		return -1;
	return inb(port + REG_DATA);
}

void uart_flush(void)
{
	if (present)
		wait_for(LSR_TEMT);
}
