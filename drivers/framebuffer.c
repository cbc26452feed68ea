/* SPDX-License-Identifier: MIT */
/*
 * Text on a linear frame buffer. Reading device memory is slow, so what each
 * cell shows is kept here, and a scroll redraws only the cells that change.
 */
#include "arch/x86_64/paging.h"
#include "drivers/console.h"
#include "kernel/string.h"

#define CELL_WIDTH  8u
#define CELL_HEIGHT 16u
_Static_assert(CELL_HEIGHT == 2 * FONT_ROWS, "two pixels a dot");
#define MAX_COLUMNS 256u
#define MAX_ROWS    128u

static struct fb_info fb;
static volatile uint8_t *memory;
static unsigned columns, rows, column, row;
static char shown[MAX_ROWS][MAX_COLUMNS];

/* A grey of 0 .. 255 in the pixel format of this screen. */
static uint32_t colour(uint32_t grey)
{
	return grey >> (8 - fb.red_bits) << fb.red_shift |
	       grey >> (8 - fb.green_bits) << fb.green_shift |
	       grey >> (8 - fb.blue_bits) << fb.blue_shift;
}

static void pixel(volatile uint8_t *at, uint32_t v)
{
	if (fb.bits == 32) {
		*(volatile uint32_t *)at = v;
		return;
	}
	for (unsigned i = 0; i < fb.bits / 8u; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

/* The dots of a row of pixels, from bit 6 at the left: each dot is two pixels high. */
static uint8_t dots(char c, unsigned y)
{
	if (c < FONT_FIRST || c > FONT_LAST)
		return 0;
	return (uint8_t)(font[c - FONT_FIRST][y / 2] << 1);
}

static void draw(unsigned r, unsigned c)
{
	uint32_t ink = colour(0xc0), step = fb.bits / 8u;

	for (unsigned y = 0; y < CELL_HEIGHT; y++) {
		volatile uint8_t *at = memory + (uint64_t)(r * CELL_HEIGHT + y) * fb.pitch_bytes +
		                       c * CELL_WIDTH * step;
		uint8_t bits = dots(shown[r][c], y);

		for (unsigned x = 0; x < CELL_WIDTH; x++)
			pixel(at + x * step, bits & 0x40 >> x ? ink : 0);
	}
}

static void set(unsigned r, unsigned c, char ch)
{
	if (shown[r][c] == ch)
		return;
	shown[r][c] = ch;
	draw(r, c);
}

bool framebuffer_init(const struct fb_info *info)
{
	uint64_t bytes = (uint64_t)info->pitch_bytes * info->height;

	if ((info->bits != 15 && info->bits != 16 && info->bits != 24 && info->bits != 32) ||
	    info->red_bits > 8 || info->green_bits > 8 || info->blue_bits > 8 ||
	    info->width < CELL_WIDTH || info->height < CELL_HEIGHT || bytes > BIT(30) ||
	    (uint64_t)info->width * ((info->bits + 7) / 8) > info->pitch_bytes)
		return false;
	fb = *info;
	fb.bits = (uint8_t)align_up(fb.bits, 8);
	memory = mmio_map(fb.base, bytes, MAP_WRITE | MAP_WC);
	if (!memory)
		return false;
	columns = (unsigned)min_u64(fb.width / CELL_WIDTH, MAX_COLUMNS);
	rows = (unsigned)min_u64(fb.height / CELL_HEIGHT, MAX_ROWS);
	memset(shown, ' ', sizeof(shown));
	for (unsigned y = 0; y < fb.height; y++)
		for (unsigned x = 0; x < fb.pitch_bytes; x += 4)
			*(volatile uint32_t *)(memory + (uint64_t)y * fb.pitch_bytes + x) = 0;
	return true;
}

static void newline(void)
{
	column = 0;
	if (++row < rows)
		return;
	row = rows - 1;
	for (unsigned r = 0; r < rows; r++)
		for (unsigned c = 0; c < columns; c++)
			set(r, c, r + 1 < rows ? shown[r + 1][c] : ' ');
}

void framebuffer_putc(char c)
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
		set(row, column, c);
		if (++column == columns)
			newline();
	}
}
