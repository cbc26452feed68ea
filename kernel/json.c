/* SPDX-License-Identifier: MIT */
/* Building one JSON object (RFC 8259); only printable ASCII comes out. */
#include "kernel/json.h"

#include "kernel/log.h"
#include "kernel/string.h"

static void add(struct json *j, const char *fmt, ...) printf_like(2, 3);

static void add(struct json *j, const char *fmt, ...)
{
	size_t left = sizeof(j->text) - j->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = text_vformat(j->text + j->used, left, fmt, ap);
	va_end(ap);
	if ((size_t)n >= left)
		j->cut = true;
	else
		j->used += (size_t)n;
}

static void add_quoted(struct json *j, const char *s)
{
	add(j, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			add(j, "\\%c", c);
		else if (c < ' ' || c > '~')
			add(j, "\\u%04x", c);
		else
			add(j, "%c", c);
	}
	add(j, "\"");
}

void json_begin(struct json *j)
{
	j->used = 0;
	j->cut = false;
	add(j, "{\"schema\":%d", JSON_SCHEMA);
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	add(j, ",\"%s\":%lu", key, value);
}

void json_milli(struct json *j, const char *key, uint64_t value)
{
	add(j, ",\"%s\":%lu.%03lu", key, value / 1000, value % 1000);
}

void json_string(struct json *j, const char *key, const char *value)
{
	add(j, ",\"%s\":", key);
	add_quoted(j, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	add(j, ",\"%s\":%s", key, value ? "true" : "false");
}

const char *json_end(struct json *j)
{
	add(j, "}");
	if (j->cut)
		return "{\"schema\":1,\"error\":\"the object does not fit into a line\"}";
	return j->text;
}
