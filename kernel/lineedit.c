/* SPDX-License-Identifier: MIT */
/*
 * Keys as a VT100 sends them and as Emacs and readline name them:
 *
 *	arrows, Home, End, Delete	ESC [ A B C D H F, ESC [ number ~
 *	^A ^E ^B ^F	begin, end, left, right
 *	^P ^N		older, newer line
 *	^H DEL ^D	erase left, left, right
 *	^K ^U ^W	erase to the end, to the begin, the word on the left
 *	^C		drop the line
 *
 * Anything else below space and above ~ is ignored: what is echoed is printable.
 */
#include "kernel/lineedit.h"

#include "kernel/string.h"

#define CTRL(letter) ((letter)&0x1f)

/* Remove n characters at `at`. */
static enum lineedit_event erase(struct lineedit *e, size_t at, size_t n)
{
	if (!n)
		return LINEEDIT_NONE;
	memmove(e->text + at, e->text + at + n, e->length - at - n + 1);
	e->length -= n;
	e->cursor = at;
	return LINEEDIT_CHANGED;
}

static enum lineedit_event move_to(struct lineedit *e, size_t cursor)
{
	if (cursor == e->cursor || cursor > e->length)
		return LINEEDIT_NONE;
	e->cursor = cursor;
	return LINEEDIT_CHANGED;
}

static void set_line(struct lineedit *e, const char *text)
{
	e->length = e->cursor = strnlen(text, LINEEDIT_BYTES - 1);
	memmove(e->text, text, e->length);
	e->text[e->length] = '\0';
}

static enum lineedit_event browse(struct lineedit *e, unsigned back)
{
	unsigned kept = e->lines < LINEEDIT_HISTORY ? e->lines : LINEEDIT_HISTORY;

	if (back > kept)
		return LINEEDIT_NONE;
	if (!e->browsed)
		memcpy(e->kept, e->text, sizeof(e->kept));
	e->browsed = back;
	set_line(e, back ? e->history[(e->lines - back) % LINEEDIT_HISTORY] : e->kept);
	return LINEEDIT_CHANGED;
}

static enum lineedit_event older(struct lineedit *e)
{
	return browse(e, e->browsed + 1);
}

static enum lineedit_event newer(struct lineedit *e)
{
	return e->browsed ? browse(e, e->browsed - 1) : LINEEDIT_NONE;
}

static enum lineedit_event erase_word(struct lineedit *e)
{
	size_t at = e->cursor;

	while (at && e->text[at - 1] == ' ')
		at--;
	while (at && e->text[at - 1] != ' ')
		at--;
	return erase(e, at, e->cursor - at);
}

static enum lineedit_event erase_right(struct lineedit *e)
{
	return e->cursor < e->length ? erase(e, e->cursor, 1) : LINEEDIT_NONE;
}

void lineedit_insert(struct lineedit *e, const char *text)
{
	size_t n = strnlen(text, LINEEDIT_BYTES);
	size_t room = LINEEDIT_BYTES - 1 - e->length;

	if (n > room)
		n = room;
	memmove(e->text + e->cursor + n, e->text + e->cursor, e->length - e->cursor + 1);
	memcpy(e->text + e->cursor, text, n);
	e->cursor += n;
	e->length += n;
}

/* The letter that ends an escape sequence. */
static enum lineedit_event escaped(struct lineedit *e, unsigned char c)
{
	switch (c) {
	case 'A':
		return older(e);
	case 'B':
		return newer(e);
	case 'C':
		return move_to(e, e->cursor + 1);
	case 'D':
		return e->cursor ? move_to(e, e->cursor - 1) : LINEEDIT_NONE;
	case 'H':
		return move_to(e, 0);
	case 'F':
		return move_to(e, e->length);
	case '~':
		if (e->parameter == 3)
			return erase_right(e);
		if (e->parameter == 1 || e->parameter == 7)
			return move_to(e, 0);
		if (e->parameter == 4 || e->parameter == 8)
			return move_to(e, e->length);
		return LINEEDIT_NONE;
	default:
		return LINEEDIT_NONE;
	}
}

static enum lineedit_event in_escape(struct lineedit *e, unsigned char c)
{
	if (e->escape == 1 && (c == '[' || c == 'O')) {
		e->escape = c == '[' ? 2 : 3;
		e->parameter = 0;
		return LINEEDIT_NONE;
	}
	if (e->escape == 2 && c >= '0' && c <= '9') {
		e->parameter = (uint8_t)(e->parameter * 10 + (c - '0'));
		return LINEEDIT_NONE;
	}
	if (e->escape == 2 && c == ';')
		return LINEEDIT_NONE;
	if (e->escape == 1) {
		e->escape = 0;
		return LINEEDIT_NONE;
	}
	e->escape = 0;
	return escaped(e, c);
}

static enum lineedit_event control(struct lineedit *e, unsigned char c)
{
	switch (c) {
	case CTRL('A'):
		return move_to(e, 0);
	case CTRL('E'):
		return move_to(e, e->length);
	case CTRL('B'):
		return e->cursor ? move_to(e, e->cursor - 1) : LINEEDIT_NONE;
	case CTRL('F'):
		return move_to(e, e->cursor + 1);
	case CTRL('P'):
		return older(e);
	case CTRL('N'):
		return newer(e);
	case CTRL('D'):
		return erase_right(e);
	case CTRL('H'):
	case 0x7f:
		return e->cursor ? erase(e, e->cursor - 1, 1) : LINEEDIT_NONE;
	case CTRL('K'):
		return erase(e, e->cursor, e->length - e->cursor);
	case CTRL('U'):
		return erase(e, 0, e->cursor);
	case CTRL('W'):
		return erase_word(e);
	case CTRL('C'):
		set_line(e, "");
		e->browsed = 0;
		return LINEEDIT_CANCEL;
	case '\t':
		return LINEEDIT_COMPLETE;
	case 0x1b:
		e->escape = 1;
		return LINEEDIT_NONE;
	default:
		return LINEEDIT_NONE;
	}
}

enum lineedit_event lineedit_byte(struct lineedit *e, unsigned char c)
{
	char one[2] = {(char)c};
	bool second = c == '\n' && e->was_return;
	size_t before = e->length;

	e->was_return = c == '\r';
	if (second)
		return LINEEDIT_NONE;
	if (e->escape)
		return in_escape(e, c);
	if (c == '\r' || c == '\n')
		return LINEEDIT_LINE;
	if (c < ' ' || c == 0x7f)
		return control(e, c);
	if (c > '~')
		return LINEEDIT_NONE;
	lineedit_insert(e, one);
	return e->length != before ? LINEEDIT_CHANGED : LINEEDIT_NONE;
}

void lineedit_next(struct lineedit *e)
{
	const char *last = e->lines ? e->history[(e->lines - 1) % LINEEDIT_HISTORY] : "";

	if (e->length && strcmp(e->text, last))
		memcpy(e->history[e->lines++ % LINEEDIT_HISTORY], e->text, LINEEDIT_BYTES);
	e->browsed = 0;
	e->escape = 0;
	set_line(e, "");
}
