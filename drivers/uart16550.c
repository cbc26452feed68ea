/* SPDX-License-Identifier: MIT */
/*
 * A 16550 UART at any port, polled (National Semiconductor PC16550D data sheet).
 *
 * A byte takes it 87 us at 115200 baud, a line ten milliseconds. While guests run nobody waits so long: bytes
 * go into a queue, and CPU 0 sends what the FIFO takes, again and again (uart_pump). Who finds the queue full
 * waits, so nothing is lost. Before guests run and once the machine ends, each byte is sent before uart_putc returns.
 * All but uart_room under the log's lock, or alone in a panic.
 */
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

#define CLOCK_BAUD  115200u
#define FIFO_BYTES  16u
#define QUEUE_BYTES 32768u   /* a power of two */
#define PATIENCE    5000000u /* polls, seconds: an emulator whose reader is slow must lose nothing */

static uint16_t port = 0x3f8;
static bool present;

static char queue[QUEUE_BYTES];
static unsigned queue_begin, queue_end; /* bytes ever sent and ever put */
static bool queueing;
static unsigned room; /* in the transmit FIFO, since it was last seen empty */

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

static void send(void)
{
	room--;
	outb(port + REG_DATA, (uint8_t)queue[queue_begin++ % QUEUE_BYTES]);
}

/* Wait until the FIFO is empty, and fill it. */
static void send_some(void)
{
	if (!room)
		wait_for(LSR_THRE);
	for (room = room ? room : FIFO_BYTES; room && queue_begin != queue_end;)
		send();
}

static void send_all(void)
{
	while (queue_begin != queue_end)
		send_some();
}

bool uart_pump(void)
{
	while (queue_begin != queue_end) {
		if (!room && (inb(port + REG_LSR) & LSR_THRE))
			room = FIFO_BYTES;
		if (!room)
			return true;
		send();
	}
	return false;
}

static void put(char c)
{
	if (queue_end - queue_begin == QUEUE_BYTES)
		send_some();
	queue[queue_end++ % QUEUE_BYTES] = c;
	/* On an emulator that takes all at once there is never a queue. */
	if (!queueing)
		send_all();
	else if (room || queue_end % FIFO_BYTES == 0)
		(void)uart_pump();
}

void uart_putc(char c)
{
	if (!present)
		return;
	if (c == '\n')
		put('\r');
	put(c);
}

void uart_queue(bool on)
{
	queueing = on;
	if (!on)
		send_all();
}

size_t uart_room(void)
{
	return QUEUE_BYTES - (__atomic_load_n(&queue_end, __ATOMIC_RELAXED) -
	                      __atomic_load_n(&queue_begin, __ATOMIC_RELAXED));
}

int uart_getc(void)
{
	if (!present || !(inb(port + REG_LSR) & LSR_READY))
		return -1;
	return inb(port + REG_DATA);
}

void uart_flush(void)
{
	if (!present)
		return;
	uart_queue(false);
	wait_for(LSR_TEMT);
}
