/* SPDX-License-Identifier: MIT */
/* Text to the console: one hypercall a call, so that lines of two vCPUs do not mix. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>
#include <stddef.h>

/* d i u x c s p %, flags 0 and -, width, l ll z. At most 255 characters come out. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
size_t text_format(char *dst, size_t bytes, const char *fmt, va_list ap);

#endif
