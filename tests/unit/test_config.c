/* SPDX-License-Identifier: MIT */
/*
 * The parser of domain descriptions. Each file of tests/host/samples begins
 * with what must be said of it, one comment a mistake:
 *
 *	# expect: LINE: SENTENCE	or	# expect: ok
 *
 * and tools/pack, which is the same parser in Python, must say the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/config.h"

#define SAMPLES "tests/host/samples"

struct said {
	char text[8192];
};

static void remember(void *arg, const char *sentence)
{
	struct said *s = arg;

	strncat(s->text, sentence, sizeof(s->text) - strlen(s->text) - 2);
	strcat(s->text, "\n");
}

static char *slurp(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(65536);

	assert_non_null(f);
	*bytes = fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

/* What the head of a sample wants to be said, as "PATH:LINE: SENTENCE\n" each. */
static void expected(const char *path, const char *text, struct said *s)
{
	const char *mark = "# expect: ";

	s->text[0] = '\0';
	while (!strncmp(text, mark, strlen(mark))) {
		const char *end = strchr(text, '\n');
		char line[1024];

		text += strlen(mark);
		if (strncmp(text, "ok\n", 3)) {
			snprintf(line, sizeof(line), "%s:%.*s", path, (int)(end - text), text);
			remember(s, line);
		}
		text = end + 1;
	}
}

static void for_each_sample(void (*f)(const char *path))
{
	DIR *d = opendir(SAMPLES);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[512];

		if (!strstr(e->d_name, ".cfg"))
			continue;
		snprintf(path, sizeof(path), SAMPLES "/%s", e->d_name);
		f(path);
		n++;
	}
	closedir(d);
	assert_true(n > 50);
}

static void parse_sample(const char *path)
{
	static struct domain_config out[255];
	struct said want = {""}, got = {""};
	struct config_sink sink = {remember, &got};
	struct config_list list = {out, 255, 0};
	unsigned errors;
	size_t bytes;
	char *text = slurp(path, &bytes), *exact;

	text[bytes] = '\0';
	expected(path, text, &want);
	/* A buffer of just the right size: a byte read past the end is seen. */
	exact = malloc(bytes);
	memcpy(exact, text, bytes);
	errors = config_parse(path, exact, bytes, &list, &sink);
	assert_string_equal(got.text, want.text);
	assert_int_equal(errors == 0, want.text[0] == '\0');
	free(exact);
	free(text);
}

static void each_sample_gets_its_sentences(void **state)
{
	(void)state;
	for_each_sample(parse_sample);
}

static void pack_sample(const char *path)
{
	char command[600];
	struct said want = {""}, got = {""};
	size_t bytes;
	char *text = slurp(path, &bytes);
	FILE *f;

	text[bytes] = '\0';
	expected(path, text, &want);
	snprintf(command, sizeof(command), "python3 tools/pack --check %s", path);
	f = popen(command, "r");
	assert_non_null(f);
	bytes = fread(got.text, 1, sizeof(got.text) - 1, f);
	got.text[bytes] = '\0';
	pclose(f);
	assert_string_equal(got.text, want.text);
	free(text);
}

static void the_packer_says_the_same(void **state)
{
	(void)state;
	for_each_sample(pack_sample);
}

struct parsed {
	unsigned domains, errors;
};

static struct parsed parse(const char *text, struct domain_config *out, unsigned max,
                           struct said *s)
{
	struct config_sink sink = {remember, s};
	struct config_list list = {out, max, 0};
	unsigned errors;

	s->text[0] = '\0';
	errors = config_parse("f", text, strlen(text), &list, &sink);
	return (struct parsed){list.n, errors};
}

static void every_key_reaches_its_field(void **state)
{
	struct domain_config c[2], one;
	struct said s;
	struct parsed r;

	(void)state;
	r = parse("name='n'\nkernel='k'\nramdisk='r'\nextra='a b'\nmemory=10\nmaxmem=20\nmin=3\n"
	          "shares=7\nvcpus=4\ncount=2\nshare_group='g'\nsuperpages=1\npaused=1\n",
	          c, 2, &s);
	assert_string_equal(s.text, "");
	assert_int_equal(r.domains, 1);
	assert_string_equal(c->name, "n");
	assert_string_equal(c->kernel, "k");
	assert_string_equal(c->ramdisk, "r");
	assert_string_equal(c->extra, "a b");
	assert_int_equal(c->memory_mib, 10);
	assert_int_equal(c->maxmem_mib, 20);
	assert_int_equal(config_min_mib(c), 3);
	assert_int_equal(config_shares(c), 7);
	assert_int_equal(c->vcpus, 4);
	assert_int_equal(c->count, 2);
	assert_string_equal(c->share_group, "g");
	assert_true(c->superpages);
	assert_true(c->paused);
	config_instance(c, 1, &one);
	assert_string_equal(one.name, "n-2");
	assert_int_equal(one.count, 1);
	assert_int_equal(one.memory_mib, 10);
}

static void what_is_not_given_has_a_value(void **state)
{
	struct domain_config c[1], one;
	struct said s;

	(void)state;
	parse("name='n'\nkernel='k'\nmemory=10\n", c, 1, &s);
	assert_int_equal(c->maxmem_mib, 10);
	assert_int_equal(config_min_mib(c), 2);
	assert_int_equal(config_shares(c), 100);
	assert_int_equal(c->vcpus, 1);
	assert_string_equal(c->share_group, "");
	assert_false(c->superpages || c->paused);
	config_instance(c, 0, &one);
	assert_string_equal(one.name, "n");
}

static void a_bad_block_leaves_the_others(void **state)
{
	struct domain_config c[3];
	struct said s;
	struct parsed r;

	(void)state;
	r = parse("name='a'\nkernel='k'\nmemory=9\nname='b'\nkernel='k'\nmemory=0\nname='c'\n"
	          "kernel='k'\nmemory=9\n",
	          c, 3, &s);
	assert_int_equal(r.domains, 2);
	assert_int_equal(r.errors, 1);
	assert_string_equal(c[1].name, "c");
	r = parse("name='a'\nkernel='k'\nmemory=9\nname='b'\nkernel='k'\nmemory=9\n", c, 1, &s);
	assert_int_equal(r.domains, 1);
	assert_string_equal(s.text, "f:4: there are more than 1 domains\n");
}

static bool words(const char *text, const char *kernel, struct domain_config *c, struct said *s)
{
	struct config_sink sink = {remember, s};

	s->text[0] = '\0';
	return config_parse_words("create", text, kernel, c, &sink);
}

static void words_know_the_same_keys(void **state)
{
	struct domain_config c;
	struct said s;

	(void)state;
	assert_true(words(" name=a  kernel=k memory=64 \"extra=x y\" vcpus=2 ", NULL, &c, &s));
	assert_string_equal(c.extra, "x y");
	assert_int_equal(c.vcpus, 2);
	assert_true(words("name=a memory=64 extra=\"x y\"'z'\\ w", "module 1", &c, &s));
	assert_string_equal(c.kernel, "module 1");
	assert_string_equal(c.extra, "x yz w");
}

static void wrong_words_are_explained(void **state)
{
	static const char *const rows[][2] = {
	    {"kernel=k memory=4",                  "create: `name=` is needed\n"                      },
	    {"name=a memory=4",                    "create: domain \"a\" has no `kernel`\n"           },
	    {"name=a kernel=k",                    "create: domain \"a\" has no `memory`\n"           },
	    {"name=a kernel=k memory=0",           "create: `memory` must be between 2 and 16776192\n"},
	    {"name=a kernel=k memory=x",           "create: `memory` takes a number without quotes\n" },
	    {"name=a kernel=k memory=",            "create: `memory` takes a number without quotes\n" },
	    {"name=a name=b kernel=k memory=4",    "create: `name` is given twice\n"                  },
	    {"name=a kernel=k memory=4 color=red", "create: there is no key `color`\n"                },
	    {"hello",	                      "create: `hello` should read `key=value`\n"        },
	    {"name=a kernel=k memory=4 maxmem=3",
	     "create: domain \"a\": `maxmem` (3) is less than `memory` (4)\n"                         },
	    {"name=3 kernel=k memory=4",
	     "create: `name` may not be \"3\": a number is taken for a domain's id\n"                 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct domain_config c = {.name = "untouched"};
		struct said s;

		assert_false(words(rows[i][0], NULL, &c, &s));
		assert_string_equal(s.text, rows[i][1]);
		assert_string_equal(c.name, "untouched");
	}
}

static void a_word_too_long_is_refused(void **state)
{
	char text[2000] = "name=a kernel=k memory=4 extra=";
	struct domain_config c;
	struct said s;

	(void)state;
	memset(text + strlen(text), 'x', 1500);
	assert_false(words(text, NULL, &c, &s));
	assert_string_equal(s.text, "create: the value of `extra` is too long\n");
}

/* What a sentence quotes cannot steer the operator's terminal. */
static void a_sentence_is_printable(void **state)
{
	struct domain_config c;
	struct said s;

	(void)state;
	assert_false(words("\x1b[2J\xc1", NULL, &c, &s));
	assert_non_null(strstr(s.text, "create: `?[2J?` should read `key=value`\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_sample_gets_its_sentences),
	    cmocka_unit_test(the_packer_says_the_same),
	    cmocka_unit_test(every_key_reaches_its_field),
	    cmocka_unit_test(what_is_not_given_has_a_value),
	    cmocka_unit_test(a_bad_block_leaves_the_others),
	    cmocka_unit_test(words_know_the_same_keys),
	    cmocka_unit_test(wrong_words_are_explained),
	    cmocka_unit_test(a_word_too_long_is_refused),
	    cmocka_unit_test(a_sentence_is_printable),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
