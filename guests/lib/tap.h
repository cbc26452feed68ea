/* SPDX-License-Identifier: MIT */
/*
 * Test results on the console, in TAP. tap_done() prints the plan if none was
 * printed at the start, and ends the guest: power-off if all is ok, crash else.
 */
#ifndef GUEST_TAP_H
#define GUEST_TAP_H

#include <stdbool.h>

void tap_plan(unsigned tests);
/* Returns `passed`, so that a test can stop early. */
bool tap_ok(bool passed, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* got == want, and says both if not. */
bool tap_is(long got, long want, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void tap_skip(const char *what, const char *why);
void tap_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned tap_failures(void);
void tap_done(void) __attribute__((noreturn));

#endif
