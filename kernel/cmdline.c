/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's command line. It is kept as it came and searched again at each
 * question: there are few questions, all at boot, and none needs memory. A value
 * that makes no sense is as good as none: whoever asks gives the default, and
 * cmdline_check() tells the operator, once the console is there.
 */
#include "kernel/cmdline.h"

#include "kernel/string.h"

#include "kernel/log.h"
#include "mm/leaf/bits.h"

/* Every key that means something, and what its value must be (docs/command-line.md). */
enum value_form { ANY, NUMBER, SWITCH };
static const struct {
	const char *key;
	enum value_form form;
} known[] = {
    {"console",        ANY   },
    {"com1",           ANY   },
    {"loglvl",         ANY   },
    {"noreboot",       SWITCH},
    {"sync_console",   SWITCH},
    {"maxcpus",        NUMBER},
    {"smt",            SWITCH},
    {"reserve",        ANY   },
    {"compress",       SWITCH},
    {"dirty",          ANY   },
    {"scan.on",        SWITCH},
    {"scan.policy",    ANY   },
    {"scan.cpu",       NUMBER},
    {"scan.pages",     NUMBER},
    {"guests.first",   NUMBER},
    {"trace.port",     NUMBER},
    {"reclaim.on",     SWITCH},
    {"reclaim.tau",    ANY   },
    {"reclaim.levels", ANY   },
    {"reclaim.round",  ANY   },
    {"reclaim.period", ANY   },
    {"reclaim.sample", ANY   },
};

static char line[CMDLINE_MAX];
static bool cut;

struct word {
	const char *key, *value; /* value: NULL if bare */
	size_t key_len, value_len;
};

void cmdline_set(const char *text)
{
	size_t n = strnlen(text, sizeof(line));

	cut = n == sizeof(line);
	if (cut)
		n--;
	memcpy(line, text, n);
	line[n] = 0;
}

const char *cmdline_text(void)
{
	return line;
}

/* The word at or behind *at; false at the end. */
static bool word_next(const char **at, struct word *w)
{
	const char *p = *at;
	bool quoted = false;

	while (*p == ' ' || *p == '\t')
		p++;
	if (!*p)
		return false;
	*w = (struct word){.key = p};
	for (; *p && (quoted || (*p != ' ' && *p != '\t')); p++) {
		if (*p == '"')
			quoted = !quoted;
		if (*p == '=' && !w->value && !quoted) {
			w->key_len = (size_t)(p - w->key);
			w->value = p + 1;
		}
	}
	if (w->value)
		w->value_len = (size_t)(p - w->value);
	else
		w->key_len = (size_t)(p - w->key);
	if (w->value && w->value_len >= 2 && w->value[0] == '"' &&
	    w->value[w->value_len - 1] == '"') {
		w->value++;
		w->value_len -= 2;
	}
	*at = p;
	return true;
}

static bool is_key(const struct word *w, const char *key)
{
	return w->key_len == strlen(key) && !memcmp(w->key, key, w->key_len);
}

static bool find(const char *key, struct word *found)
{
	const char *at = line;
	struct word w;
	bool any = false;

	while (word_next(&at, &w)) {
		if (is_key(&w, key)) {
			*found = w;
			any = true;
		}
	}
	return any;
}

bool cmdline_get(const char *key, char *dst, size_t bytes)
{
	struct word w;
	size_t n;

	if (!bytes || !find(key, &w))
		return false;
	n = min_u64(w.value_len, bytes - 1);
	if (n)
		memcpy(dst, w.value, n);
	dst[n] = 0;
	return true;
}

/* 1 for yes, 0 for no, -1 for neither. */
static int parse_switch(const char *s, size_t n)
{
	static const char *const words[2][5] = {
	    {"0",  "off", "no",  "false"},
            { "", "1",  "on", "yes",  "true"}
        };

	for (int yes = 0; yes < 2; yes++)
		for (size_t i = 0; i < ARRAY_SIZE(words[yes]) && words[yes][i]; i++)
			if (n == strlen(words[yes][i]) && (!n || !memcmp(s, words[yes][i], n)))
				return yes;
	return -1;
}

bool cmdline_bool(const char *key, bool otherwise)
{
	struct word w;
	int yes = find(key, &w) ? parse_switch(w.value, w.value_len) : -1;

	return yes < 0 ? otherwise : yes;
}

/* Decimal or 0x...; false unless all of it is a number that fits. */
static bool parse_number(const char *s, size_t n, uint64_t *value)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (n > 2 && s[0] == '0' && (s[1] | 32) == 'x') {
		base = 16;
		s += 2;
		n -= 2;
	}
	if (!n)
		return false;
	for (; n; n--, s++) {
		unsigned d = 99;

		if (*s >= '0' && *s <= '9')
			d = (unsigned)(*s - '0');
		else if ((*s | 32) >= 'a' && (*s | 32) <= 'f')
			d = (unsigned)((*s | 32) - 'a') + 10;
		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*value = v;
	return true;
}

uint64_t cmdline_number(const char *key, uint64_t otherwise)
{
	struct word w;
	uint64_t v;

	if (!find(key, &w) || !parse_number(w.value, w.value_len, &v))
		return otherwise;
	return v;
}

uint64_t cmdline_share(const char *key, uint64_t whole, uint64_t otherwise)
{
	struct word w;
	uint64_t v;

	if (!find(key, &w) || !w.value_len)
		return otherwise;
	if (w.value[w.value_len - 1] != '%')
		return parse_number(w.value, w.value_len, &v) ? min_u64(v, whole) : otherwise;
	if (!parse_number(w.value, w.value_len - 1, &v))
		return otherwise;
	v = min_u64(v, 100);
	return whole / 100 * v + whole % 100 * v / 100;
}

/* What is wrong with a word, as the end of a sentence; NULL: nothing. */
static const char *word_trouble(const struct word *w)
{
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!is_key(w, known[i].key))
			continue;
		if (known[i].form == NUMBER && !parse_number(w->value, w->value_len, &v))
			return "is not a number";
		if (known[i].form == SWITCH && parse_switch(w->value, w->value_len) < 0)
			return "is neither on nor off";
		return NULL;
	}
	return "is not known";
}

void cmdline_check(void (*f)(const char *sentence))
{
	const char *at = line, *trouble;
	struct word w;
	char text[120];

	if (cut)
		f("the command line is too long: its end is not used");
	while (word_next(&at, &w)) {
		trouble = word_trouble(&w);
		if (!trouble)
			continue;
		text_format(text, sizeof(text), "command line: %.*s %s",
		            (int)min_u64(w.key_len, 60), w.key, trouble);
		f(text);
	}
}
