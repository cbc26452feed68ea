/* SPDX-License-Identifier: MIT */
/* What a guest prints comes out in whole lines, escaped, prefixed and within its budget. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "kernel/domain.h"
#include "kernel/log.h"

/* The world around console.c and log.c: a clock, and a console that we read. */
static char heard[300000];
static size_t heard_bytes;
static uint64_t now_ns = 1;

void machine_putc(char c)
{
	heard[heard_bytes++] = c;
	heard[heard_bytes] = '\0';
}

bool machine_output_pump(void)
{
	return false;
}

size_t machine_output_room(void)
{
	return SIZE_MAX;
}

uint64_t machine_ns(void)
{
	return now_ns;
}

void env_relax(void)
{
}

static int fresh(void **state)
{
	static struct domain d;

	memset(&d, 0, sizeof(d));
	d.id = 3;
	strcpy(d.name, "web");
	*state = &d;
	heard_bytes = 0;
	heard[0] = '\0';
	log_prompt(NULL, 0);
	log_focus(0);
	return 0;
}

static void say(struct domain *d, const char *text)
{
	console_write(d, text, strlen(text));
}

static void lines_are_whole_and_prefixed(void **state)
{
	struct domain *d = *state;

	say(d, "hel");
	assert_string_equal(heard, "");
	say(d, "lo\r\nok 1 - x\nrest");
	assert_string_equal(heard, "(d3 web) hello\n(d3 web) ok 1 - x\n");
	console_flush(d);
	console_flush(d);
	assert_string_equal(heard, "(d3 web) hello\n(d3 web) ok 1 - x\n(d3 web) rest\n");
}

/* A few lines at once: 256 bytes can be as many lines, and each redraws what the operator types. */
static void few_lines_at_once(void **state)
{
	(void)state;
	assert_int_equal(console_chunk("", 0), 0);
	assert_int_equal(console_chunk("ab\ncd", 5), 5);
	assert_int_equal(console_chunk("\n\n\n\n\n\n\nx\ny\n", 11), 9);
}

/* No byte of a guest can end a line, return to its begin or move the cursor; \ is escaped
 * too, so that an escaped text can be told from a guest that prints backslashes. */
static void every_byte_is_escaped(void **state)
{
	struct domain *d = *state;

	console_write(d, "a\0\x1b(\x7f\x80\xff\\\tb\r\n", 12);
	assert_string_equal(heard, "(d3 web) a\\x00\\x1b(\\x7f\\x80\\xff\\x5c b\n");
}

/* Within its unfinished line a guest may edit, as a shell does. Nothing of it moves the screen. */
static void an_unfinished_line_is_edited(void **state)
{
	static const struct {
		const char *said, *shown;
	} rows[] = {
	    {"abc\rX",               "Xbc"   },
	    {"abc\b \b",             "ab "   },
	    {"abc\b\x1b[K",          "ab"    },
	    {"abc\b\x1b[J",          "ab"    },
	    {"abc\x1b[2Dx",          "axc"   },
	    {"abc\r\x1b[Cx",         "axc"   },
	    {"abc\x1b[999Dx",        "xbc"   },
	    {"abc\x1b[999Cx",        "abcx"  },
	    {"abcd\r\x1b[2P",        "cd"    },
	    {"abcd\r\x1b[99P",       ""      },
	    {"ab\r\x1b[2@",          "  ab"  },
	    {"\x1b[1;31mred\x1b[0m", "red"   },
	    {"a\x1b[2Jb\x1b[6nc",    "abc"   },
	    {"\b\b\b\b\ra\ab",       "ab"    },
	    {"\x1b[?25lx",           "x"     },
	    {"\x1b\x1b[Kx",          "\\x1bx"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expected[64];

		fresh(state);
		say(*state, rows[i].said);
		assert_string_equal(heard, "");
		say(*state, "\n");
		snprintf(expected, sizeof(expected), "(d3 web) %s\n", rows[i].shown);
		assert_string_equal(heard, expected);
	}
}

/* A sequence that never ends does not swallow the rest; the end of a line ends it. */
static void an_endless_sequence(void **state)
{
	say(*state, "\x1b[12\nsecond\n\x1b[;;;;;;;;;;;;;;;;;;;;;;;;x\n");
	assert_non_null(strstr(heard, "(d3 web) \n(d3 web) second\n"));
	assert_non_null(strstr(heard, ";x\n"));
	heard_bytes = 0;
	say(*state,
	    "\x1b[99999999999999999999@\x1b[99999@\x1b[99999@x\n"); /* as long as a line can be */
	for (char *line = strtok(heard, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) < 9 + CONSOLE_LINE);
}

/* What `console` shows of a line that is not finished: prefix, text, and where the cursor is. */
static void a_partial_line(void **state)
{
	char text[CONSOLE_LINE + 80];

	say(*state, "login: roo\b");
	assert_int_equal(console_partial(*state, text, sizeof(text)), strlen("(d3 web) login: ro"));
	assert_string_equal(text, "(d3 web) login: roo");
}

static void no_guest_forges_a_tag(void **state)
{
	struct domain *d = *state;

	say(d, "\n@quire panic x\n(quire) error\r@quire done status=0\n");
	for (char *line = strtok(heard, "\n"); line; line = strtok(NULL, "\n"))
		assert_memory_equal(line, "(d3 web) ", 9);
}

static void long_lines_are_cut_into_several(void **state)
{
	struct domain *d = *state;
	char text[1000];

	memset(text, 0x01, sizeof(text));
	console_write(d, text, sizeof(text)); /* 4000 characters when escaped */
	say(d, "\n");
	for (char *line = strtok(heard, "\n"); line; line = strtok(NULL, "\n")) {
		assert_memory_equal(line, "(d3 web) ", 9);
		assert_true(strlen(line) < 9 + CONSOLE_LINE);
	}
}

/* A flood is dropped, counted, and told once when the guest has calmed down. */
static void a_flood_is_limited(void **state)
{
	struct domain *d = *state;
	size_t shown;

	for (unsigned i = 0; i < 10000; i++)
		say(d, "flood flood flood flood\n");
	shown = heard_bytes;
	assert_true(shown > 20000 && shown < 70000);
	now_ns += UINT64_C(1000000000);
	heard_bytes = 0;
	say(d, "calm\n");
	assert_non_null(strstr(heard, "domain 3 (web) prints too much: "));
	assert_non_null(strstr(heard, "(d3 web) calm\n"));
	heard_bytes = 0;
	say(d, "calm\n");
	assert_string_equal(heard, "(d3 web) calm\n");
	/* In the long run no more than the rate. */
	heard_bytes = 0;
	for (unsigned i = 0; i < 10 * 1000; i++) {
		now_ns += 1000000; /* ten seconds, a line each millisecond */
		say(d, "flood flood flood flood\n");
	}
	assert_true(heard_bytes < 10 * 8192 + 8192);
}

static void the_prompt_stays_below(void **state)
{
	struct domain *d = *state;

	log_prompt("quire> li", 8);
	heard_bytes = 0;
	say(d, "x\n");
	assert_string_equal(heard, "\r\x1b[K(d3 web) x\nquire> li\x1b[1D");
	heard_bytes = 0;
	log_prompt("quire> li", 9);
	log_prompt("quire> lis", 10); /* only what was added is drawn */
	assert_string_equal(heard, "\r\x1b[Kquire> lis");
	log_prompt(NULL, 0);
	heard_bytes = 0;
	say(d, "y\n");
	assert_string_equal(heard, "(d3 web) y\n");
}

static void focus_shows_one_guest_and_tags(void **state)
{
	struct domain *d = *state;

	log_focus(4);
	say(d, "hidden\n");
	log_info("hidden");
	log_tag("shutdown domain=3");
	log_error("seen");
	assert_string_equal(heard, "@quire shutdown domain=3\n(quire) error: seen\n");
	log_focus(3);
	say(d, "shown\n");
	assert_non_null(strstr(heard, "shown"));
	/* The prompt is its unfinished line then, and goes when the line is finished. */
	log_prompt("(d3 web) he", 11);
	heard_bytes = 0;
	say(d, "hello\n");
	assert_string_equal(heard, "\r\x1b[K(d3 web) hello\n");
}

/* A line of ours is one line, whatever text is in it. */
static void our_lines_hold_no_control_characters(void **state)
{
	(void)state;
	log_info("a\n@quire panic\rb\x1b[A");
	log_tag("x\ny");
	assert_string_equal(heard, "(quire) a?@quire panic?b?[A\n@quire x?y\n");
}

static unsigned walk(char *first, char *last)
{
	uint64_t cursor = 0;
	char line[400];
	unsigned n = 0;

	while (log_next(&cursor, line, sizeof(line))) {
		if (!n++)
			strcpy(first, line);
		strcpy(last, line);
	}
	return n;
}

/* The ring keeps whole lines, the newest 64 KiB of them, and shows no tag. */
static void the_ring_keeps_the_newest(void **state)
{
	char first[400] = "", last[400] = "";

	(void)state;
	now_ns = UINT64_C(12000345000);
	for (unsigned i = 0; i < 5000; i++)
		log_line(LOG_DEBUG, "line %u of many", i); /* above the console's level */
	log_tag("done status=0");
	assert_string_equal(heard, "@quire done status=0\n");
	assert_in_range(walk(first, last), 1000, 3000);
	assert_string_equal(last, "[   12.000345] (quire) line 4999 of many");
	assert_memory_equal(first, "[   12.000345] (quire) line ", 28);
	assert_memory_equal(first + strlen(first) - 8, " of many", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(lines_are_whole_and_prefixed, fresh),
	    cmocka_unit_test_setup(few_lines_at_once, fresh),
	    cmocka_unit_test_setup(every_byte_is_escaped, fresh),
	    cmocka_unit_test_setup(an_unfinished_line_is_edited, fresh),
	    cmocka_unit_test_setup(an_endless_sequence, fresh),
	    cmocka_unit_test_setup(a_partial_line, fresh),
	    cmocka_unit_test_setup(no_guest_forges_a_tag, fresh),
	    cmocka_unit_test_setup(long_lines_are_cut_into_several, fresh),
	    cmocka_unit_test_setup(a_flood_is_limited, fresh),
	    cmocka_unit_test_setup(the_prompt_stays_below, fresh),
	    cmocka_unit_test_setup(focus_shows_one_guest_and_tags, fresh),
	    cmocka_unit_test_setup(our_lines_hold_no_control_characters, fresh),
	    cmocka_unit_test_setup(the_ring_keeps_the_newest, fresh),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
