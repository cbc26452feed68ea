/* SPDX-License-Identifier: MIT */
/* A PS/2 keyboard through the 8042, polled: scan code set 1 as the 8042 translates it, US layout.
 */
#include "arch/x86_64/cpu.h"
#include "drivers/console.h"

#define PORT_DATA   0x60
#define PORT_STATUS 0x64

#define STATUS_FULL  0x01 /* a byte waits for us */
#define STATUS_MOUSE 0x20 /* and it is the mouse's */

enum { KEY_CTRL = 0x1d, KEY_LSHIFT = 0x2a, KEY_RSHIFT = 0x36, KEY_CAPS = 0x3a };

static const char plain[0x3a] =
    "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[0x3a] =
    "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static bool shift, control, caps, extended, present;
static char pending[4]; /* the rest of an escape sequence, last byte first */
static unsigned nr_pending;

void ps2_init(void)
{
	/* a machine without an 8042 reads as all ones */
	present = inb(PORT_STATUS) != 0xff;
	for (unsigned i = 0; present && i < 32 && (inb(PORT_STATUS) & STATUS_FULL); i++)
		inb(PORT_DATA);
}

/* Cursor keys as a terminal sends them: ESC [ letter. */
static int arrow(uint8_t code)
{
	static const struct {
		uint8_t code;
		char letter;
	} keys[] = {
	    {0x48, 'A'},
            {0x50, 'B'},
            {0x4d, 'C'},
            {0x4b, 'D'},
            {0x47, 'H'},
            {0x4f, 'F'}
        };

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].code != code)
			continue;
		pending[0] = keys[i].letter;
		pending[1] = '[';
		nr_pending = 2;
		return 27;
	}
	return code == 0x1c ? '\n' : -1; /* Enter of the number pad */
}

static int key(uint8_t code)
{
	char c;

	if (code >= sizeof(plain))
		return -1;
	c = (shift ? shifted : plain)[code];
	if (caps && (c | 32) >= 'a' && (c | 32) <= 'z')
		c ^= 32;
	if (control && (c | 32) >= 'a' && (c | 32) <= 'z')
		c &= 31;
	return c ? c : -1;
}

static int scancode(uint8_t byte)
{
	bool up = byte & 0x80, was_extended = extended;
	uint8_t code = byte & 0x7f;

	extended = byte == 0xe0;
	if (extended)
		return -1;
	switch (code) {
	case KEY_LSHIFT:
	case KEY_RSHIFT:
		if (!was_extended)
			shift = !up;
		return -1;
	case KEY_CTRL:
		control = !up;
		return -1;
	case KEY_CAPS:
		caps ^= !up;
		return -1;
	}
	if (up)
		return -1;
	return was_extended ? arrow(code) : key(code);
}

int ps2_getc(void)
{
	if (nr_pending)
		return pending[--nr_pending];
	while (present && (inb(PORT_STATUS) & STATUS_FULL)) {
		bool mouse = inb(PORT_STATUS) & STATUS_MOUSE;
		uint8_t byte = inb(PORT_DATA);
		int c = mouse ? -1 : scancode(byte);

		if (c >= 0)
			return c;
	}
	return -1;
}
