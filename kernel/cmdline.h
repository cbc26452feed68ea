/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own command line: words separated by spaces, `key` or
 * `key=value`; a value with spaces stands in double quotes.
 */
#ifndef KERNEL_CMDLINE_H
#define KERNEL_CMDLINE_H

#include "mm/leaf/types.h"

#define CMDLINE_MAX 1024

/* Keep a copy. Longer lines are cut; cmdline_check says so. */
void cmdline_set(const char *text);
/* All of it, as kept. */
const char *cmdline_text(void);

/* The last value of a key into dst, cut to fit; "" for a bare key. False if not given. */
bool cmdline_get(const char *key, char *dst, size_t bytes);
/* Given bare, or as 1, on, yes, true: true. As 0, off, no, false: false. Else `otherwise`. */
bool cmdline_bool(const char *key, bool otherwise);
/* Decimal, or hexadecimal after 0x; anything else gives `otherwise`. */
uint64_t cmdline_number(const char *key, uint64_t otherwise);
/* A number of pages, or a percentage ("2%") of `whole`; never more than whole. */
uint64_t cmdline_share(const char *key, uint64_t whole, uint64_t otherwise);

/* Call f with a sentence for each key that nobody knows, each value that is no number where
 * one is needed, and each that is neither on nor off. */
void cmdline_check(void (*f)(const char *sentence));

#endif
