/* SPDX-License-Identifier: MIT */
/*
 * Which devices make up the console, and when: the serial port at once, so that the
 * first words of a boot that fails are heard; the screen as soon as device memory
 * can be mapped. What is printed goes to all of them, what is typed may come from any.
 */
#include "drivers/console.h"

#include "arch/x86_64/paging.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/string.h"

static bool serial, screen_wanted;
static void (*screen)(char c);

/* console=com1,vga: both unless it is given. */
static bool wanted(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p; p = strchr(p, ',')) {
		if (*p == ',')
			p++;
		if (!strncmp(p, name, n) && (p[n] == 0 || p[n] == ','))
			return true;
	}
	return false;
}

void console_init(void)
{
	char list[64] = "com1,vga", spec[32] = "115200,8n1";

	cmdline_get("console", list, sizeof(list));
	cmdline_get("com1", spec, sizeof(spec));
	screen_wanted = wanted(list, "vga");
	serial = wanted(list, "com1") && uart_init(spec);
	if (screen_wanted)
		ps2_init();
}

void console_screen(const struct fb_info *fb)
{
	if (!screen_wanted)
		return;
	if (fb->type == FB_RGB) {
		if (framebuffer_init(fb))
			screen = framebuffer_putc;
		return;
	}
	/* no word of the boot loader on a screen: the VGA text page of a BIOS machine */
	vga_text_init(mmio_map(0xb8000, 80 * 25 * 2, MAP_WRITE | MAP_UC), 80, 25);
	screen = vga_text_putc;
}

void console_putc(char c)
{
	if (serial)
		uart_putc(c);
	if (screen)
		screen(c);
}

int console_getc(void)
{
	int c = serial ? uart_getc() : -1;

	if (c < 0 && screen_wanted)
		c = ps2_getc();
	return c;
}

void console_queue(bool on)
{
	if (serial)
		uart_queue(on);
}

bool console_pump(void)
{
	return serial && uart_pump();
}

size_t console_room(void)
{
	return serial ? uart_room() : SIZE_MAX;
}

void console_drain(void)
{
	if (serial)
		uart_flush();
}

const char *console_describe(void)
{
	static char text[64];
	int n = 0;

	if (serial)
		n = text_format(text, sizeof(text), "serial port 0x%x", uart_port());
	if (screen)
		text_format(text + n, sizeof(text) - (size_t)n, "%s%s", n ? ", " : "",
		            screen == framebuffer_putc ? "framebuffer" : "VGA text");
	return text;
}
