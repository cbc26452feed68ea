/* SPDX-License-Identifier: MIT */
/*
 * What guests print. Bytes are gathered into lines, and a line is shown whole,
 * behind "(dID NAME) ": so no guest can begin a line of its own, overwrite one or
 * move the cursor. What is not printable ASCII, and the backslash, becomes \xNN.
 *
 * Within its unfinished line a guest may edit, as its shell does for whoever types
 * there (`console` in the monitor): carriage return, backspace and the few escape
 * sequences of line_edit() move in our buffer, never on the screen; other sequences,
 * as for colours, are dropped.
 *
 * A guest may print BYTES_PER_SECOND in the long run and BURST_BYTES at once;
 * lines beyond that are dropped, counted, and reported once, with the next
 * line that may be shown.
 */
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define BYTES_PER_SECOND UINT64_C(8192)
#define BURST_BYTES      CONSOLE_BURST
#define RESUME_BYTES     UINT64_C(4096) /* once lines were dropped, until so many may be shown */
#define LINES_AT_ONCE    8u  /* of an entry: with each the operator's prompt is drawn again */
#define LINE_OVERHEAD    48u /* what a line costs beside its text: prefix, line end */

#define NS_PER_BYTE (UINT64_C(1000000000) / BYTES_PER_SECOND)

static void budget_refill(struct domain *d)
{
	uint64_t now = machine_ns();
	uint64_t bytes;

	if (!d->log_budget_ns) { /* the first line of this domain */
		d->log_budget = BURST_BYTES;
		d->log_budget_ns = now;
		return;
	}
	bytes = (now - d->log_budget_ns) / NS_PER_BYTE;
	d->log_budget_ns += bytes * NS_PER_BYTE;
	d->log_budget = min_u64(BURST_BYTES, d->log_budget + bytes);
}

uint64_t console_used(struct domain *d)
{
	uint64_t used;

	spin_lock(&d->console_lock);
	budget_refill(d);
	used = BURST_BYTES - d->log_budget;
	spin_unlock(&d->console_lock);
	return used;
}

static void line_end(struct domain *d)
{
	uint64_t cost = d->line_len + LINE_OVERHEAD;

	d->line[d->line_len] = '\0';
	budget_refill(d);
	if (cost > d->log_budget || (d->log_dropped && d->log_budget < RESUME_BYTES)) {
		d->log_dropped += d->line_len + 1;
		d->log_dropped_all += d->line_len + 1;
	} else {
		d->log_budget -= cost;
		if (d->log_dropped)
			log_warn("domain %u (%s) prints too much: %lu bytes were dropped", d->id,
			         d->name, d->log_dropped);
		d->log_dropped = 0;
		log_guest(d->id, d->name, d->line);
	}
	d->line_len = d->line_at = 0;
}

/* Over what stands at the cursor, as a terminal does it. */
static void line_add(struct domain *d, const char *text, unsigned n)
{
	if (d->line_at + n + 1 > sizeof(d->line))
		line_end(d);
	memcpy(d->line + d->line_at, text, n);
	d->line_at += n;
	if (d->line_len < d->line_at)
		d->line_len = d->line_at;
}

static void line_text(struct domain *d, unsigned char c)
{
	char escaped[8] = {(char)c};

	if (c < ' ' || c > '~' || c == '\\')
		text_format(escaped, sizeof(escaped), "\\x%02x", c);
	line_add(d, escaped, (unsigned)strlen(escaped));
}

/* ---- escape sequences: ESC [ number letter (ECMA-48, 5.4) ---- */

#define ESCAPE_MAX 16u /* bytes of a sequence */

static void line_erase(struct domain *d)
{
	d->line_len = d->line_at;
}

/* n characters at the cursor go; what is behind them moves up. */
static void line_delete(struct domain *d, unsigned n)
{
	unsigned behind = d->line_len - d->line_at;

	n = n < behind ? n : behind;
	memmove(d->line + d->line_at, d->line + d->line_at + n, behind - n);
	d->line_len -= n;
}

/* Room for n characters at the cursor, as far as the line has any. */
static void line_insert(struct domain *d, unsigned n)
{
	unsigned room = (unsigned)sizeof(d->line) - 1 - d->line_len;

	n = n < room ? n : room;
	memmove(d->line + d->line_at + n, d->line + d->line_at, d->line_len - d->line_at);
	memset(d->line + d->line_at, ' ', n);
	d->line_len += n;
}

static void line_edit(struct domain *d, unsigned char letter)
{
	unsigned n = d->escape_number ? d->escape_number : 1;
	unsigned behind = d->line_len - d->line_at;

	switch (letter) {
	case 'C': /* forward, back */
		d->line_at += n < behind ? n : behind;
		break;
	case 'D':
		d->line_at -= n < d->line_at ? n : d->line_at;
		break;
	case 'J': /* erase to the end */
	case 'K':
		if (!d->escape_number)
			line_erase(d);
		break;
	case 'P':
		line_delete(d, n);
		break;
	case '@':
		line_insert(d, n);
		break;
	}
}

/* One byte of a sequence that has begun; false: it is no part of one. */
static bool line_escape(struct domain *d, unsigned char c)
{
	if (d->escape == 1 && c != '[') {
		d->escape = 0;
		line_text(d, 0x1b);
		return false;
	}
	if (d->escape++ == 1)
		return true;
	if (c >= '0' && c <= '9' && d->escape_number < CONSOLE_LINE)
		d->escape_number = d->escape_number * 10 + (c - '0');
	else if (c == ';')
		d->escape_number = 0;
	if (c >= '@' && c <= '~')
		line_edit(d, c);
	if (c < ' ' || c >= '@' || d->escape == ESCAPE_MAX)
		d->escape = 0;
	return c >= ' ' && c <= '~';
}

static void line_byte(struct domain *d, unsigned char c)
{
	if (d->escape && line_escape(d, c))
		return;
	switch (c) {
	case '\n':
		line_end(d);
		break;
	case '\r':
		d->line_at = 0;
		break;
	case '\b':
		d->line_at -= d->line_at > 0;
		break;
	case '\t':
		line_add(d, " ", 1);
		break;
	case '\a':
		break;
	case 0x1b:
		d->escape = 1;
		d->escape_number = 0;
		break;
	default:
		line_text(d, c);
	}
}

size_t console_chunk(const char *bytes, size_t n)
{
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		if (bytes[i] == '\n' && ++lines == LINES_AT_ONCE)
			return i + 1;
	return n;
}

void console_write(struct domain *d, const char *bytes, size_t n)
{
	spin_lock(&d->console_lock);
	for (size_t i = 0; i < n; i++)
		line_byte(d, (unsigned char)bytes[i]);
	spin_unlock(&d->console_lock);
}

void console_flush(struct domain *d)
{
	spin_lock(&d->console_lock);
	if (d->line_len)
		line_end(d);
	spin_unlock(&d->console_lock);
}

size_t console_partial(struct domain *d, char *text, size_t bytes)
{
	size_t cursor;

	spin_lock(&d->console_lock);
	d->line[d->line_len] = '\0';
	cursor = (size_t)text_format(text, bytes, "(d%u %s) ", d->id, d->name) + d->line_at;
	text_format(text + cursor - d->line_at, bytes - (cursor - d->line_at), "%s", d->line);
	spin_unlock(&d->console_lock);
	return cursor;
}
