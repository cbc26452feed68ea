/* SPDX-License-Identifier: MIT */
#include "guests/lib/console.h"
#include "guests/lib/shutdown.h"
#include "guests/lib/tap.h"

static unsigned planned, done, failed;

void tap_plan(unsigned tests)
{
	planned = tests;
	print("1..%u\n", tests);
}

static void result(bool passed, const char *fmt, va_list ap)
{
	char text[160];
	size_t n = text_format(text, sizeof(text) - 1, fmt, ap);

	text[n] = 0;
	done++;
	failed += !passed;
	print("%s %u - %s\n", passed ? "ok" : "not ok", done, text);
}

bool tap_ok(bool passed, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	result(passed, fmt, ap);
	va_end(ap);
	return passed;
}

bool tap_is(long got, long want, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	result(got == want, fmt, ap);
	va_end(ap);
	if (got != want)
		tap_diag("got %ld, wanted %ld", got, want);
	return got == want;
}

void tap_skip(const char *what, const char *why)
{
	done++;
	print("ok %u - %s # SKIP %s\n", done, what, why);
}

void tap_diag(const char *fmt, ...)
{
	char text[220];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = text_format(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	text[n] = 0;
	print("# %s\n", text);
}

unsigned tap_failures(void)
{
	return failed;
}

void tap_done(void)
{
	if (!planned)
		print("1..%u\n", done);
	else if (planned != done)
		print("not ok - %u tests were planned, %u ran\n", planned, done);
	guest_shutdown(failed || (planned && planned != done) ? GUEST_CRASH : GUEST_POWEROFF);
}
