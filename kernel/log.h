/* SPDX-License-Identifier: MIT */
/*
 * Lines to the operator and into the ring that `dmesg` prints. Every line of
 * the hypervisor begins with "(quire) ", every line of a guest with
 * "(dID NAME) ", and every line for tools with "@quire ": a guest's bytes are
 * escaped and prefixed, so it can forge none of these.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stdarg.h>
#include "mm/leaf/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One line, without newline. Lines above loglvl= go to the ring only. */
void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* A line for tools: prints "@quire " and the text, at every log level. */
void log_tag(const char *fmt, ...) printf_like(1, 2);

/* Text as it is (monitor output); newline not added, not kept in the ring. */
void log_print(const char *fmt, ...) printf_like(1, 2);

/* A line that a guest wrote: prefixed here; text must be escaped (kernel/console.c). */
void log_guest(domid_t id, const char *name, const char *text);
/* Show the lines of this domain only, and tags; 0: everything again. */
void log_focus(domid_t id);

/*
 * The line that the operator is typing, prompt included: a line that is logged
 * meanwhile is printed above it. `cursor` counts characters from its start.
 * NULL: the line is ended, no prompt is shown from now on (a command runs).
 */
void log_prompt(const char *text, size_t cursor);

/*
 * From now on no lock is waited for: the machine panics, and the CPU that
 * holds it may be stopped for good. Ends the line that was being typed.
 */
void log_panic_mode(void);

/*
 * The serial line's queue (machine_output_queue). log_pump: send what it takes at once; returns whether something
 * is left, or somebody is at it now. log_crowded: guests should print nothing more for the moment.
 */
bool log_pump(void);
bool log_crowded(void);

void log_set_level(enum log_level level);
/*
 * The next line of the ring, with its time of day since boot in front, at or
 * after *cursor (0: the oldest); false at the end. Lines lost to newer ones are skipped.
 */
bool log_next(uint64_t *cursor, char *line, size_t bytes);
/* Walk the ring, oldest line first. */
void log_each(void (*line)(const char *text));

/* Formatting into memory, freestanding: d i u x X p s c %, flags - 0 +, width,
 * precision, l ll z. Always ends in NUL; returns the length that was needed. */
int text_format(char *dst, size_t bytes, const char *fmt, ...) printf_like(3, 4);
int text_vformat(char *dst, size_t bytes, const char *fmt, va_list ap);

/* Letters to insert, drop or change to get from a to b (Levenshtein); b is at most
 * TEXT_DISTANCE_MAX long, or they are infinitely far. */
#define TEXT_DISTANCE_MAX 24u
unsigned text_distance(const char *a, const char *b);

#endif
