/* SPDX-License-Identifier: MIT */
/*
 * The parser of domain descriptions.
 *
 *	line    = blank | key "=" value, then nothing or a comment
 *	value   = "text" | 'text' | decimal number
 *	comment = # to the end of the line
 *
 * A domain's block begins with its `name`. The keys are in config_keys.def. A
 * line with a mistake is reported and skipped; its block is left out.
 *
 * tools/pack does the same in Python when an image is built, from the same list
 * of keys and with the same sentences: tests/host/samples holds both to it.
 */
#include "kernel/config.h"

#include "kernel/log.h"
#include "kernel/string.h"
#include "mm/policy/reclaim.h"

enum key_kind { KEY_NAME, KEY_FILE, KEY_TEXT, KEY_NUMBER, KEY_FLAG };

struct key {
	const char *name;
	enum key_kind kind;
	uint32_t least, most; /* of a number's value, or of a text's length */
	size_t offset;
};

#define FIELD(f) offsetof(struct domain_config, f)

#define CONFIG_NAME(k, most)             {#k, KEY_NAME, 1, most, FIELD(k)},
#define CONFIG_FILE(k, most)             {#k, KEY_FILE, 1, most, FIELD(k)},
#define CONFIG_TEXT(k, most)             {#k, KEY_TEXT, 0, most, FIELD(k)},
#define CONFIG_NUMBER(k, f, least, most) {#k, KEY_NUMBER, least, most, FIELD(f)},
#define CONFIG_FLAG(k)                   {#k, KEY_FLAG, 0, 1, FIELD(k)},
static const struct key keys[] = {
#include "kernel/config_keys.def"
};
#undef CONFIG_NAME
#undef CONFIG_FILE
#undef CONFIG_TEXT
#undef CONFIG_NUMBER
#undef CONFIG_FLAG

/* The lengths in config_keys.def fit the fields. */
ASSERT_STATIC(sizeof(((struct domain_config *)0)->name) == 31 + 1);
ASSERT_STATIC(sizeof(((struct domain_config *)0)->share_group) == 31 + 1);
ASSERT_STATIC(sizeof(((struct domain_config *)0)->kernel) == 63 + 1);
ASSERT_STATIC(sizeof(((struct domain_config *)0)->ramdisk) == 63 + 1);
ASSERT_STATIC(sizeof(((struct domain_config *)0)->extra) == 255 + 1);
ASSERT_STATIC(MAX_VCPUS == 8);
ASSERT_STATIC(MAX_DOMAINS - 1 == 255);
ASSERT_STATIC(RECLAIM_SHARES_MOST == 1000000000);

#define MIN_NOT_GIVEN UINT32_MAX
#define SHARES_A_MIB  10u
#define VALUE_BYTES   320

/* One value as it was written. */
struct value {
	bool quoted;
	bool number; /* nothing but digits, not quoted */
	uint64_t n;
	char text[VALUE_BYTES];
	size_t length; /* as written, even if text was cut */
};

struct parser {
	const char *where; /* file name, or what the words belong to */
	unsigned line;     /* 0: words, no lines */
	const struct config_sink *sink;
	struct config_list *list;
	unsigned errors;

	struct domain_config block;
	bool in_block, bad_block;
	unsigned block_line;
	unsigned given[ARRAY_SIZE(keys)]; /* line of each key in this block; 0 not given */
};

static void complain(struct parser *p, unsigned line, const char *fmt, ...) printf_like(3, 4);

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* What is quoted was written by anyone; the sentence goes to a terminal. */
static void show_printable(char *s)
{
	for (; *s; s++)
		if (!is_printable(*s))
			*s = '?';
}

static void complain(struct parser *p, unsigned line, const char *fmt, ...)
{
	char sentence[400];
	va_list ap;
	int n;

	if (line)
		n = text_format(sentence, sizeof(sentence), "%s:%u: ", p->where, line);
	else
		n = text_format(sentence, sizeof(sentence), "%s: ", p->where);
	if (n >= 0 && (size_t)n < sizeof(sentence)) {
		va_start(ap, fmt);
		text_vformat(sentence + n, sizeof(sentence) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	show_printable(sentence);
	p->errors++;
	p->bad_block = true;
	if (p->sink && p->sink->complain)
		p->sink->complain(p->sink->arg, sentence);
}

/* ---- characters ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '-' || c == '.';
}

static void append(char *dst, size_t bytes, size_t *length, char c)
{
	if (*length + 1 < bytes) {
		dst[*length] = c;
		dst[*length + 1] = '\0';
	}
	++*length;
}

/* ---- one value into its field ---- */

static bool check_name(struct parser *p, const struct key *k, const struct value *v)
{
	bool digits = true;

	for (const char *c = v->text; *c; c++) {
		if (!is_name(*c)) {
			complain(p, p->line,
			         "`%s` may hold letters, digits and . _ - only, not \"%s\"",
			         k->name, v->text);
			return false;
		}
		digits = digits && is_digit(*c);
	}
	if (digits || !strcmp(v->text, "all")) {
		complain(p, p->line, "`%s` may not be \"%s\": %s", k->name, v->text,
		         digits ? "a number is taken for a domain's id"
		                : "the monitor means every domain by it");
		return false;
	}
	return true;
}

static bool check_text(struct parser *p, const struct key *k, const struct value *v)
{
	if (v->length < k->least) {
		complain(p, p->line, "`%s` is empty", k->name);
		return false;
	}
	if (v->length > k->most) {
		complain(p, p->line, "`%s` is longer than %u characters", k->name, k->most);
		return false;
	}
	for (const char *c = v->text; *c; c++) {
		if (!is_printable(*c)) {
			complain(p, p->line, "`%s` holds a character that cannot be printed",
			         k->name);
			return false;
		}
	}
	if (k->kind == KEY_FILE && v->text[v->length - 1] == '/') {
		complain(p, p->line, "`%s` names a folder, not a file", k->name);
		return false;
	}
	return k->kind != KEY_NAME || check_name(p, k, v);
}

static void set_text(struct parser *p, const struct key *k, const struct value *v, bool words)
{
	if (!v->quoted && !words) {
		complain(p, p->line, "the value of `%s` must stand in quotes", k->name);
		return;
	}
	if (check_text(p, k, v))
		memcpy((char *)&p->block + k->offset, v->text, v->length + 1);
}

static void set_number(struct parser *p, const struct key *k, const struct value *v)
{
	char *field = (char *)&p->block + k->offset;
	uint32_t n;

	if (!v->number) {
		complain(p, p->line, "`%s` takes a number without quotes", k->name);
		return;
	}
	if (v->n < k->least || v->n > k->most) {
		complain(p, p->line, "`%s` must be between %u and %u", k->name, k->least, k->most);
		return;
	}
	n = (uint32_t)v->n;
	if (k->kind == KEY_FLAG)
		*(bool *)field = n;
	else
		memcpy(field, &n, sizeof(n));
}

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

/* words: `key=value` of a module or of `create`, where quotes are the shell's affair. */
static void set_key(struct parser *p, const struct key *k, const struct value *v, bool words)
{
	size_t i = (size_t)(k - keys);

	if (p->given[i]) {
		if (words)
			complain(p, 0, "`%s` is given twice", k->name);
		else
			complain(p, p->line, "`%s` is given twice, first in line %u", k->name,
			         p->given[i]);
		return;
	}
	p->given[i] = p->line ? p->line : 1;
	if (k->kind == KEY_NUMBER || k->kind == KEY_FLAG)
		set_number(p, k, v);
	else
		set_text(p, k, v, words);
}

/* ---- a block ---- */

static void block_begin(struct parser *p)
{
	memset(&p->block, 0, sizeof(p->block));
	memset(p->given, 0, sizeof(p->given));
	p->block.vcpus = 1;
	p->block.count = 1;
	p->block.min_mib = MIN_NOT_GIVEN;
	p->in_block = true;
	p->bad_block = false;
	p->block_line = p->line;
}

uint32_t config_min_mib(const struct domain_config *c)
{
	return c->min_mib == MIN_NOT_GIVEN ? c->memory_mib / 4 : c->min_mib;
}

uint32_t config_shares(const struct domain_config *c)
{
	return c->shares ? c->shares : c->memory_mib * SHARES_A_MIB;
}

/* What only the whole block can show. Returns whether it is good. */
static bool block_end(struct parser *p)
{
	struct domain_config *b = &p->block;

	p->in_block = false;
	if (p->bad_block)
		return false;
	if (!b->kernel[0])
		complain(p, p->block_line, "domain \"%s\" has no `kernel`", b->name);
	if (!b->memory_mib)
		complain(p, p->block_line, "domain \"%s\" has no `memory`", b->name);
	if (p->bad_block)
		return false;
	if (!b->maxmem_mib)
		b->maxmem_mib = b->memory_mib;
	if (b->maxmem_mib < b->memory_mib)
		complain(p, p->block_line,
		         "domain \"%s\": `maxmem` (%u) is less than `memory` (%u)", b->name,
		         b->maxmem_mib, b->memory_mib);
	if (config_min_mib(b) > b->memory_mib)
		complain(p, p->block_line, "domain \"%s\": `min` (%u) is more than `memory` (%u)",
		         b->name, b->min_mib, b->memory_mib);
	return !p->bad_block;
}

void config_instance(const struct domain_config *c, unsigned i, struct domain_config *out)
{
	*out = *c;
	out->count = 1;
	if (c->count > 1)
		text_format(out->name, sizeof(out->name), "%s-%u", c->name, i + 1);
}

/* Whether domain_config c makes a domain of that name. */
static bool makes_name(const struct domain_config *c, const char *name)
{
	size_t n = strlen(c->name);
	uint32_t i = 0;

	if (c->count <= 1)
		return !strcmp(c->name, name);
	if (strncmp(c->name, name, n) || name[n] != '-' || !is_digit(name[n + 1]) ||
	    name[n + 1] == '0')
		return false;
	for (name += n + 1; is_digit(*name) && i <= c->count; name++)
		i = i * 10 + (uint32_t)(*name - '0');
	return !*name && i <= c->count;
}

/* Names made by count must fit, and no two domains have one name. */
static bool names_are_good(struct parser *p)
{
	const struct domain_config *b = &p->block;
	unsigned n = p->list ? p->list->n : 0;
	struct domain_config one;
	char longest[64];

	text_format(longest, sizeof(longest), "%s-%u", b->name, b->count);
	if (b->count > 1 && strlen(longest) >= DOMAIN_NAME_LEN) {
		complain(p, p->block_line, "the name \"%s\" is longer than %u characters", longest,
		         DOMAIN_NAME_LEN - 1);
		return false;
	}
	for (unsigned i = 0; i < b->count; i++) {
		config_instance(b, i, &one);
		for (unsigned j = 0; j < n; j++) {
			if (makes_name(&p->list->at[j], one.name)) {
				complain(p, p->block_line, "there is a domain \"%s\" already",
				         one.name);
				return false;
			}
		}
	}
	return true;
}

/* ---- the config file ---- */

/* The value at s; returns what follows it, or NULL after a complaint. */
static const char *read_value(struct parser *p, const char *s, const char *end, struct value *v)
{
	char quote = s < end && (*s == '"' || *s == '\'') ? *s : '\0';

	memset(v, 0, sizeof(*v));
	if (quote) {
		v->quoted = true;
		for (s++; s < end && *s != quote; s++)
			append(v->text, sizeof(v->text), &v->length, *s ? *s : '\x01');
		if (s == end) {
			complain(p, p->line, "a quote is not closed");
			return NULL;
		}
		return s + 1;
	}
	v->number = true;
	for (; s < end && !is_space(*s) && *s != '#'; s++) {
		v->number = v->number && is_digit(*s);
		if (v->number && v->n < UINT32_MAX)
			v->n = v->n * 10 + (uint64_t)(*s - '0');
		append(v->text, sizeof(v->text), &v->length, *s ? *s : '\x01');
	}
	if (!v->length) {
		complain(p, p->line, "nothing stands after `=`");
		return NULL;
	}
	return s;
}

static const char *skip_space(const char *s, const char *end)
{
	while (s < end && is_space(*s))
		s++;
	return s;
}

/* Splits a line into key and value. False if there is nothing in it, or a mistake. */
static bool read_line(struct parser *p, const char *s, const char *end, char key[VALUE_BYTES],
                      struct value *v)
{
	size_t length = 0;

	s = skip_space(s, end);
	if (s == end || *s == '#')
		return false;
	key[0] = '\0';
	for (; s < end && is_name(*s); s++)
		append(key, VALUE_BYTES, &length, *s);
	s = skip_space(s, end);
	if (!length || s == end || *s != '=') {
		complain(p, p->line, "a line must read `key = value`");
		return false;
	}
	s = read_value(p, skip_space(s + 1, end), end, v);
	if (!s)
		return false;
	s = skip_space(s, end);
	if (s < end && *s != '#') {
		complain(p, p->line, "something stands after the value of `%s`", key);
		return false;
	}
	return true;
}

static void store(struct parser *p)
{
	struct config_list *l = p->list;

	if (!p->in_block || !block_end(p) || !names_are_good(p))
		return;
	if (l->n == l->max)
		complain(p, p->block_line, "there are more than %u domains", l->max);
	else
		l->at[l->n++] = p->block;
}

static void take_line(struct parser *p, const char *s, const char *end)
{
	char key[VALUE_BYTES];
	struct value v;
	const struct key *k;

	if (!read_line(p, s, end, key, &v))
		return;
	k = find_key(key);
	if (!k) {
		complain(p, p->line, "there is no key `%s`", key);
		return;
	}
	if (k == find_key("name")) {
		store(p);
		block_begin(p);
	} else if (!p->in_block) {
		complain(p, p->line, "`%s` stands before the first `name`", key);
		return;
	}
	set_key(p, k, &v, false);
}

unsigned config_parse(const char *file, const char *text, size_t bytes, struct config_list *list,
                      const struct config_sink *sink)
{
	struct parser p = {.where = file, .sink = sink, .list = list};
	const char *end = text + bytes;

	while (text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));

		if (!line_end)
			line_end = end;
		p.line++;
		take_line(&p, text, line_end);
		text = line_end < end ? line_end + 1 : end;
	}
	store(&p);
	return p.errors;
}

/* ---- words ---- */

bool config_next_word(const char **words, char *dst, size_t bytes)
{
	const char *s = *words;
	char quote = '\0';
	size_t n = 0;

	dst[0] = '\0';
	while (is_space(*s) || *s == '\n')
		s++;
	if (!*s)
		return false;
	for (; *s && (quote || !(is_space(*s) || *s == '\n')); s++) {
		if (!quote && (*s == '"' || *s == '\''))
			quote = *s;
		else if (*s == quote)
			quote = '\0';
		else if (*s == '\\' && s[1])
			append(dst, bytes, &n, *++s);
		else
			append(dst, bytes, &n, *s);
	}
	*words = s;
	return true;
}

static void take_word(struct parser *p, char *word, size_t bytes)
{
	char *equals = strchr(word, '=');
	const struct key *k;
	struct value v = {.number = true};

	if (!equals) {
		complain(p, 0, "`%s` should read `key=value`", word);
		return;
	}
	*equals = '\0';
	k = find_key(word);
	if (!k) {
		complain(p, 0, "there is no key `%s`", word);
		return;
	}
	if (strlen(equals + 1) + 1 + (size_t)(equals + 1 - word) >= bytes) {
		complain(p, 0, "the value of `%s` is too long", word);
		return;
	}
	for (const char *s = equals + 1; *s; s++) {
		v.number = v.number && is_digit(*s);
		if (v.number && v.n < UINT32_MAX)
			v.n = v.n * 10 + (uint64_t)(*s - '0');
		append(v.text, sizeof(v.text), &v.length, *s);
	}
	v.number = v.number && v.length;
	set_key(p, k, &v, true);
}

bool config_parse_words(const char *where, const char *words, const char *given_kernel,
                        struct domain_config *out, const struct config_sink *sink)
{
	struct parser p = {.where = where, .sink = sink};
	char word[VALUE_BYTES];

	block_begin(&p);
	while (config_next_word(&words, word, sizeof(word)))
		take_word(&p, word, sizeof(word));
	if (!p.bad_block && !p.block.name[0])
		complain(&p, 0, "`name=` is needed");
	if (given_kernel)
		text_format(p.block.kernel, sizeof(p.block.kernel), "%s", given_kernel);
	if (!block_end(&p) || !names_are_good(&p))
		return false;
	*out = p.block;
	return true;
}
