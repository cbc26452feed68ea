/* SPDX-License-Identifier: MIT */
#include "guests/lib/console.h"
#include "guests/lib/options.h"
#include "guests/lib/shutdown.h"

static char line[512];

void options_init(const char *cmdline)
{
	unsigned i;

	for (i = 0; i < sizeof(line) - 1 && cmdline[i]; i++)
		line[i] = cmdline[i];
	line[i] = 0;
}

/* The text behind `key=`, or the end of the word `key`; NULL if there is none. */
static const char *find(const char *key)
{
	for (const char *p = line; *p;) {
		const char *k = key;

		while (*p == ' ')
			p++;
		while (*k && *p == *k)
			p++, k++;
		if (!*k && (*p == '=' || *p == ' ' || !*p))
			return *p == '=' ? p + 1 : p;
		while (*p && *p != ' ')
			p++;
	}
	return 0;
}

bool option_flag(const char *key)
{
	return find(key) != 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

uint64_t option_u64(const char *key, uint64_t otherwise)
{
	const char *p = find(key);
	unsigned base = 10;
	uint64_t v = 0;

	if (!p)
		return otherwise;
	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	for (; *p && *p != ' '; p++) {
		if (digit(*p) >= (int)base) {
			print("not ok - option %s is not a number\n", key);
			guest_shutdown(GUEST_CRASH);
		}
		v = v * base + (uint64_t)digit(*p);
	}
	return v;
}

bool option_is(const char *key, const char *text)
{
	const char *p = find(key);

	if (!p)
		return false;
	while (*text && *p == *text)
		p++, text++;
	return !*text && (*p == ' ' || !*p);
}
