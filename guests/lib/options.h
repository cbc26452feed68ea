/* SPDX-License-Identifier: MIT */
/* The guest's command line (`extra` of its config): words `key=value` or `flag`. */
#ifndef GUEST_OPTIONS_H
#define GUEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

void options_init(const char *cmdline);
bool option_flag(const char *key);
uint64_t option_u64(const char *key, uint64_t otherwise); /* decimal or 0x */
/* The value is `text`. */
bool option_is(const char *key, const char *text);

#endif
