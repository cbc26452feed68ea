/* SPDX-License-Identifier: MIT */
/*
 * The operator's console: serial line, screen and keyboard behind one putc and
 * one getc. Each device is polled; none raises interrupts. Only the serial line keeps its output in a queue.
 */
#ifndef DRIVERS_CONSOLE_H
#define DRIVERS_CONSOLE_H

#include "arch/x86_64/boot_found.h"

/* Serial and VGA text, as soon as the command line is known. */
void console_init(void);
/* The screen that the boot loader left, once device memory can be mapped. */
void console_screen(const struct fb_info *fb);
void console_putc(char c);
int console_getc(void);
/* See kernel/machine.h, machine_output_*. */
void console_queue(bool on);
bool console_pump(void);
size_t console_room(void);
/* Wait until the last character has left the machine; no queue any more. */
void console_drain(void);
/* "serial 0x3f8, VGA text" */
const char *console_describe(void);

/* ---- uart16550.c ---- */
/* spec: the value of com1=, "115200,8n1" or "0x2f8,115200,8n1". False: nobody at that port. */
bool uart_init(const char *spec);
void uart_putc(char c);
int uart_getc(void);
void uart_queue(bool on);
bool uart_pump(void);
size_t uart_room(void);
void uart_flush(void);
uint16_t uart_port(void);

/* ---- ps2.c ---- */
void ps2_init(void);
int ps2_getc(void);

/* ---- vga_text.c ---- */
void vga_text_init(volatile uint16_t *memory, unsigned columns, unsigned rows);
void vga_text_putc(char c);

/* ---- framebuffer.c ---- */
bool framebuffer_init(const struct fb_info *fb);
void framebuffer_putc(char c);

/* ---- font.c: 5 x 8 dots in rows from the top, bit 4 at the left; from ' ' to '~' ---- */
#define FONT_FIRST 0x20
#define FONT_LAST  0x7e
#define FONT_ROWS  8
extern const uint8_t font[FONT_LAST - FONT_FIRST + 1][FONT_ROWS];

#endif
