/* SPDX-License-Identifier: MIT */
/* The text page of a VGA: a character and its colours in 16 bits. */
#include "arch/x86_64/cpu.h"
#include "drivers/console.h"
#include "mm/leaf/assert.h"

#define COLOURS 0x0700 /* light grey on black */

#define CELLS_MAX 2000u

static volatile uint16_t *cells;
static unsigned columns, rows, column, row;

/* What is on the screen: to read the card's memory takes a bus cycle each time. */
static uint16_t shadow[CELLS_MAX] __attribute__((aligned(8)));

static void put(unsigned at, uint16_t cell)
{
	shadow[at] = cell;
	cells[at] = cell;
}

static void cursor(void)
{
	unsigned at = row * columns + column;

	outw(0x3d4, (uint16_t)(0x0e | (at & 0xff00)));
	outw(0x3d4, (uint16_t)(0x0f | at << 8));
}

static void blank(unsigned line)
{
	for (unsigned i = 0; i < columns; i++)
		put(line * columns + i, COLOURS | ' ');
}

/* Four cells at a time. */
static void scroll(void)
{
	volatile uint64_t *card = (volatile uint64_t *)cells;
	uint64_t *four = (uint64_t *)shadow;

	for (unsigned i = 0; i < (rows - 1) * columns / 4; i++) {
		four[i] = four[i + columns / 4];
		card[i] = four[i];
	}
	blank(rows - 1);
}

void vga_text_init(volatile uint16_t *memory, unsigned c, unsigned r)
{
	ASSERT(c % 4 == 0 && c * r <= CELLS_MAX);
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
		put(row * columns + column, COLOURS | (unsigned char)c);
		if (++column == columns)
			newline();
	}
	cursor();
}
