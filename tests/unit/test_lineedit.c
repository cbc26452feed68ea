/* SPDX-License-Identifier: MIT */
/* The line editor: each key does what its row says, and no input breaks the line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lineedit.h"

#define UP    "\x1b[A"
#define DOWN  "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT  "\x1b[D"

static enum lineedit_event type(struct lineedit *e, const char *keys)
{
	enum lineedit_event last = LINEEDIT_NONE;

	for (; *keys; keys++)
		last = lineedit_byte(e, (unsigned char)*keys);
	return last;
}

/* What is typed; the line then, with | where the cursor is. */
static void each_key(void **state)
{
	static const char *const rows[][2] = {
	    {"list",	                 "list|"  },
	    {"lst" LEFT LEFT "i",            "li|st"  },
	    {"list" LEFT LEFT RIGHT,         "lis|t"  },
	    {"list" RIGHT RIGHT,             "list|"  },
	    {LEFT "a",	               "a|"     },
	    {"list\x01x",                    "x|list" },
	    {"list\x01\x05x",                "listx|" },
	    {"list\x1b[Hx\x1b[Fy",           "xlisty|"},
	    {"list\x1b[1~x\x1b[4~y",         "xlisty|"},
	    {"list\x1bOHx\x1bOFy",           "xlisty|"},
	    {"list\x02\x02x",                "lix|st" },
	    {"list\x01\x06x",                "lx|ist" },
	    {"list\x7f\x08",                 "li|"    },
	    {"list\x01\x7f",                 "|list"  },
	    {"list\x01\x04",                 "|ist"   },
	    {"list\x01\x1b[3~",              "|ist"   },
	    {"list\x04",                     "list|"  },
	    {"one two" LEFT LEFT "\x0b",     "one t|" },
	    {"one two" LEFT LEFT "\x15",     "|wo"    },
	    {"one two\x17",                  "one |"  },
	    {"one two  \x17\x17",            "|"      },
	    {"one two" LEFT "\x17",          "one |o" },
	    {"abc\x03"
	     "d",	       "d|"     },
	    {"a\x1b[5~b\x1b[15~c\x1b[1;5Cd", "abcd|"  },
	    {"a\x1b"
	     "xb",	      "ab|"    },
	    {"a\x80\xff\x01\x05\x0c\x1d"
	     "b",	       "ab|"    },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lineedit e = {.length = 0};
		char shown[LINEEDIT_BYTES + 2];

		type(&e, rows[i][0]);
		memcpy(shown, e.text, e.cursor);
		shown[e.cursor] = '|';
		strcpy(shown + e.cursor + 1, e.text + e.cursor);
		assert_string_equal(shown, rows[i][1]);
		assert_int_equal(strlen(e.text), e.length);
	}
}

static void events(void **state)
{
	struct lineedit e = {.length = 0};

	(void)state;
	assert_int_equal(type(&e, "a"), LINEEDIT_CHANGED);
	assert_int_equal(type(&e, "\t"), LINEEDIT_COMPLETE);
	assert_int_equal(type(&e, "\r"), LINEEDIT_LINE);
	assert_int_equal(type(&e, "\n"), LINEEDIT_NONE); /* CR LF is one Enter */
	assert_int_equal(type(&e, "\n"), LINEEDIT_LINE);
	assert_int_equal(type(&e, "\x03"), LINEEDIT_CANCEL);
	assert_int_equal(type(&e, LEFT), LINEEDIT_NONE);
}

static void enter(struct lineedit *e, const char *line)
{
	type(e, line);
	assert_int_equal(type(e, "\r"), LINEEDIT_LINE);
	lineedit_next(e);
	assert_string_equal(e->text, "");
}

static void history_goes_back_and_forth(void **state)
{
	struct lineedit e = {.length = 0};

	(void)state;
	assert_int_equal(type(&e, UP), LINEEDIT_NONE);
	enter(&e, "one");
	enter(&e, "two");
	enter(&e, "two"); /* repeated: kept once */
	enter(&e, "");    /* empty: not kept */
	type(&e, "thr");
	type(&e, UP);
	assert_string_equal(e.text, "two");
	type(&e, UP);
	assert_string_equal(e.text, "one");
	assert_int_equal(type(&e, UP), LINEEDIT_NONE);
	assert_string_equal(e.text, "one");
	type(&e, DOWN DOWN);
	assert_string_equal(e.text, "thr"); /* what was being typed is still there */
	assert_int_equal(type(&e, DOWN), LINEEDIT_NONE);
	type(&e, "\x10");
	assert_string_equal(e.text, "two");
	type(&e, "!\r");
	lineedit_next(&e);
	type(&e, "\x10\x10");
	assert_string_equal(e.text, "two"); /* an edited line does not change the old one */
}

static void history_keeps_the_newest(void **state)
{
	struct lineedit e = {.length = 0};
	char line[3] = "a";

	(void)state;
	for (unsigned i = 0; i < LINEEDIT_HISTORY + 5; i++) {
		line[0] = (char)('a' + i);
		enter(&e, line);
	}
	for (unsigned i = 0; i < LINEEDIT_HISTORY; i++)
		assert_int_equal(type(&e, UP), LINEEDIT_CHANGED);
	assert_string_equal(e.text, "f");
	assert_int_equal(type(&e, UP), LINEEDIT_NONE);
}

static void a_full_line_takes_no_more(void **state)
{
	struct lineedit e = {.length = 0};

	(void)state;
	for (unsigned i = 0; i < LINEEDIT_BYTES + 100; i++)
		type(&e, "x");
	assert_int_equal(e.length, LINEEDIT_BYTES - 1);
	assert_int_equal(type(&e, "y"), LINEEDIT_NONE);
	type(&e, "\x01");
	lineedit_insert(&e, "abc");
	assert_int_equal(e.length, LINEEDIT_BYTES - 1);
	assert_int_equal(e.text[0], 'x');
}

/* Whatever is typed, the line stays printable, ended and as long as it says. */
static void random_keys_do_no_harm(void **state)
{
	struct lineedit e = {.length = 0};

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 300000; i++) {
		int c = rand() % 4 ? rand() % 256 : "\x1b[ABCD~\r\x0b\x17\x7f"[rand() % 12];

		if (lineedit_byte(&e, (unsigned char)c) == LINEEDIT_LINE)
			lineedit_next(&e);
		assert_true(e.cursor <= e.length && e.length < LINEEDIT_BYTES);
		assert_int_equal(strlen(e.text), e.length);
		for (size_t k = 0; i % 1000 == 0 && k < e.length; k++)
			assert_in_range(e.text[k], ' ', '~');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_key),
	    cmocka_unit_test(events),
	    cmocka_unit_test(history_goes_back_and_forth),
	    cmocka_unit_test(history_keeps_the_newest),
	    cmocka_unit_test(a_full_line_takes_no_more),
	    cmocka_unit_test(random_keys_do_no_harm),
	};

	return cmocka_run_group_tests_name("lineedit", tests, NULL, NULL);
}
