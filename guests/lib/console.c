/* SPDX-License-Identifier: MIT */
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"

void print(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = text_format(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (hypercall_present()) {
		hypercall_console(line, (unsigned)n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		outb(0xe9, (uint8_t)line[i]);
}
