/* SPDX-License-Identifier: MIT */
/*
 * What guests print. Bytes are gathered into lines, and a line is shown whole,
 * behind "(dID NAME) ": so no guest can begin a line of its own, overwrite one or
 * move the cursor. What is not printable ASCII, and the backslash, becomes \xNN.
 *
 * A guest may print BYTES_PER_SECOND in the long run and BURST_BYTES at once;
 * lines beyond that are dropped, counted, and reported once, with the next
 * line that may be shown.
 */
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define BYTES_PER_SECOND UINT64_C(8192)
#define BURST_BYTES      UINT64_C(65536)
#define RESUME_BYTES     UINT64_C(4096) /* once lines were dropped, until so many may be shown */
#define LINE_OVERHEAD    48u            /* what a line costs beside its text: prefix, line end */

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

static void line_end(struct domain *d)
{
	uint64_t cost = d->line_len + LINE_OVERHEAD;

	d->line[d->line_len] = '\0';
	budget_refill(d);
	if (cost > d->log_budget || (d->log_dropped && d->log_budget < RESUME_BYTES)) {
		d->log_dropped += d->line_len + 1;
	} else {
		d->log_budget -= cost;
		if (d->log_dropped)
			log_warn("domain %u (%s) prints too much: %lu bytes were dropped", d->id,
			         d->name, d->log_dropped);
		d->log_dropped = 0;
		log_guest(d->id, d->name, d->line);
	}
	d->line_len = 0;
}

static void line_add(struct domain *d, const char *text, unsigned n)
{
	if (d->line_len + n + 1 > sizeof(d->line))
		line_end(d);
	memcpy(d->line + d->line_len, text, n);
	d->line_len += n;
}

static void line_byte(struct domain *d, unsigned char c)
{
	char escaped[8] = {(char)c};

	if (c == '\n') {
		line_end(d);
	} else if (c == '\t') {
		line_add(d, " ", 1);
	} else if (c != '\r') {
		if (c < ' ' || c > '~' || c == '\\')
			text_format(escaped, sizeof(escaped), "\\x%02x", c);
		line_add(d, escaped, (unsigned)strlen(escaped));
	}
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
