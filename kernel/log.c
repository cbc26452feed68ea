/* SPDX-License-Identifier: MIT */
/*
 * Lines to the operator, and the ring that keeps the last 64 KiB of them.
 *
 * Everything that reaches the console passes here under one lock, so lines of
 * different CPUs never mix. A line holds no control characters: whoever made
 * it, it cannot start another line and so cannot forge a prefix.
 *
 * While the operator types, the prompt stands in the last line. A line that is
 * logged then goes above it: carriage return, erase, the line, the prompt again.
 *
 * Interrupt handlers do not log. Only a panic may come while this CPU holds the
 * lock; log_panic_mode() makes the lock a no-op for good.
 */
#include "kernel/log.h"

#include "kernel/machine.h"
#include "kernel/string.h"
#include "mm/leaf/lock.h"

#define RING_BYTES   65536u
#define LINE_BYTES   512u
#define PROMPT_BYTES 320u
#define PRINT_BYTES  2048u
/* Bytes that are left of the queue for lines of our own, and those that guests have begun. */
#define CROWDED 8192u

static struct spinlock lock;
static bool panicking;
static enum log_level console_level = LOG_INFO;
static domid_t focus;

static char ring[RING_BYTES]; /* lines, each ended by '\n' */
static uint64_t ring_end;     /* bytes ever written; the next goes to ring_end % RING_BYTES */

static char prompt[PROMPT_BYTES];
static size_t prompt_cursor;
static bool prompt_shown;

static void log_lock(void)
{
	if (!panicking)
		spin_lock(&lock);
}

static void log_unlock(void)
{
	if (!panicking)
		spin_unlock(&lock);
}

static void put(const char *text)
{
	for (; *text; text++)
		machine_putc(*text);
}

static void prompt_draw(void)
{
	size_t n = strlen(prompt);
	char back[16];

	put(prompt);
	if (prompt_cursor < n) {
		text_format(back, sizeof(back), "\x1b[%zuD", n - prompt_cursor);
		put(back);
	}
}

/* Show the new prompt; text that was only added to costs only what was added. */
static void prompt_change(const char *text, size_t cursor)
{
	size_t n = strlen(prompt);
	bool grows = prompt_shown && prompt_cursor == n && !strncmp(text, prompt, n) &&
	             cursor == strlen(text);

	if (prompt_shown && !grows)
		put("\r\x1b[K");
	text_format(prompt, sizeof(prompt), "%s", text);
	prompt_cursor = cursor;
	if (grows)
		put(prompt + n);
	else
		prompt_draw();
	prompt_shown = true;
}

static void put_line(const char *line)
{
	if (prompt_shown)
		put("\r\x1b[K");
	put(line);
	machine_putc('\n');
	if (prompt_shown)
		prompt_draw();
}

static void ring_put(const char *text)
{
	for (; *text; text++)
		ring[ring_end++ % RING_BYTES] = *text;
}

/* Lines in the ring begin with the time, so replaying them forges no prefix either. */
static void ring_line(const char *line)
{
	char stamp[32];
	uint64_t us = machine_ns() / 1000;

	text_format(stamp, sizeof(stamp), "[%5u.%06u] ", (unsigned)(us / 1000000),
	            (unsigned)(us % 1000000));
	ring_put(stamp);
	ring_put(line);
	ring[ring_end++ % RING_BYTES] = '\n';
}

/* A line is one line, whatever is in it. */
static void clean(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || (unsigned char)*line == 0x7f)
			*line = '?';
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const word[] = {
	    [LOG_ERROR] = "error: ", [LOG_WARN] = "warning: ", [LOG_INFO] = "", [LOG_DEBUG] = ""};
	static char line[LINE_BYTES];
	va_list ap;
	int n;

	log_lock();
	n = text_format(line, sizeof(line), "(quire) %s", word[level]);
	va_start(ap, fmt);
	text_vformat(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	clean(line);
	ring_line(line);
	if (level <= (focus ? LOG_ERROR : console_level))
		put_line(line);
	log_unlock();
}

void log_tag(const char *fmt, ...)
{
	static char line[LINE_BYTES];
	va_list ap;
	int n;

	log_lock();
	n = text_format(line, sizeof(line), "@quire ");
	va_start(ap, fmt);
	text_vformat(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	clean(line);
	put_line(line);
	log_unlock();
}

void log_guest(domid_t id, const char *name, const char *text)
{
	static char line[LINE_BYTES];

	log_lock();
	text_format(line, sizeof(line), "(d%u %s) %s", id, name, text);
	clean(line);
	ring_line(line);
	/* With the focus on it, the prompt is this guest's unfinished line: it is finished now. */
	if (focus == id && prompt_shown) {
		put("\r\x1b[K");
		prompt_shown = false;
	}
	if (!focus || focus == id)
		put_line(line);
	log_unlock();
}

void log_print(const char *fmt, ...)
{
	static char text[PRINT_BYTES];
	va_list ap;

	log_lock();
	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(text);
	log_unlock();
}

void log_focus(domid_t id)
{
	focus = id;
}

void log_prompt(const char *text, size_t cursor)
{
	log_lock();
	if (text) {
		prompt_change(text, cursor);
	} else {
		if (prompt_shown)
			machine_putc('\n');
		prompt_shown = false;
	}
	log_unlock();
}

void log_panic_mode(void)
{
	panicking = true;
	if (prompt_shown)
		machine_putc('\n');
	prompt_shown = false;
	focus = 0;
}

bool log_pump(void)
{
	bool left;

	if (!spin_trylock(&lock))
		return true;
	left = machine_output_pump();
	log_unlock();
	return left;
}

bool log_crowded(void)
{
	return machine_output_room() < CROWDED;
}

void log_set_level(enum log_level level)
{
	console_level = level;
}

static char ring_at(uint64_t position)
{
	return ring[position % RING_BYTES];
}

bool log_next(uint64_t *cursor, char *line, size_t bytes)
{
	size_t n = 0;

	log_lock();
	if (ring_end > RING_BYTES && *cursor < ring_end - RING_BYTES) {
		*cursor = ring_end - RING_BYTES;
		/* The oldest line has lost its head: begin with the one after it. */
		while (*cursor < ring_end && ring_at((*cursor)++) != '\n')
			;
	}
	if (*cursor >= ring_end) {
		log_unlock();
		return false;
	}
	for (char c; *cursor < ring_end && (c = ring_at((*cursor)++)) != '\n';)
		if (n + 1 < bytes)
			line[n++] = c;
	line[n] = '\0';
	log_unlock();
	return true;
}

void log_each(void (*line)(const char *text))
{
	static char text[LINE_BYTES];
	uint64_t cursor = 0;

	while (log_next(&cursor, text, sizeof(text)))
		line(text);
}
