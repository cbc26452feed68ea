/* SPDX-License-Identifier: MIT */
/* One JSON object on one line, for `--json`. Pure. */
#ifndef KERNEL_JSON_H
#define KERNEL_JSON_H

#include "mm/leaf/types.h"

#define JSON_SCHEMA 1

struct json {
	char text[1536];
	size_t used;
	bool cut; /* it did not fit: json_end gives {"schema":1,"error":...} */
};

void json_begin(struct json *j);
void json_number(struct json *j, const char *key, uint64_t value);
/* value / 1000, with three decimals */
void json_milli(struct json *j, const char *key, uint64_t value);
void json_string(struct json *j, const char *key, const char *value);
void json_bool(struct json *j, const char *key, bool value);
/* The finished line, without newline. */
const char *json_end(struct json *j);

#endif
