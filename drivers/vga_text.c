/* SPDX-License-Identifier: MIT */
/* The text page of a VGA: a character and its colours in 16 bits. */
#include "arch/x86_64/cpu.h"
#include "drivers/console.h"

#define COLOURS 0x0700 /* light grey on black */

static volatile uint16_t *cells;
static unsigned columns, rows, column, row;

static void cursor(void)
{
	unsigned at = row * columns + column;

	outw(0x3d4, (uint16_t)(0x0e | (at & 0xff00)));
	outw(0x3d4, (uint16_t)(0x0f | at << 8));
}

static void blank(unsigned line)
{
	for (unsigned i = 0; i < columns; i++)
		cells[line * columns + i] = COLOURS | ' ';
}

static void scroll(void)
{
	for (unsigned i = 0; i < (rows - 1) * columns; i++)
		cells[i] = cells[i + columns];
	blank(rows - 1);
}

void vga_text_init(volatile uint16_t *memory, unsigned c, unsigned r)
{
	cells = memory;
	columns = c;
	rows = r;
	for (unsigned i = 0; i < rows; i++)
		blank(i);
}

static void newline(void)
{
	column = 0;
	if (++row == rows) {
		row--;
		scroll();
	}
}

void vga_text_putc(char c)
{
	switch (c) {
	case '\n':
		newline();
		break;
	case '\r':
		column = 0;
		break;
	case '\b':
		column -= column > 0;
		break;
	default:
		if ((unsigned char)c < ' ')
			return;
		cells[row * columns + column] = COLOURS | (unsigned char)c;
		if (++column == columns)
			newline();
	}
	cursor();
}
