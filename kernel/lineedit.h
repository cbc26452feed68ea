/* SPDX-License-Identifier: MIT */
/* The line that the operator types: editing keys and history. Pure: bytes in, a line out. */
#ifndef KERNEL_LINEEDIT_H
#define KERNEL_LINEEDIT_H

#include "mm/leaf/types.h"

#define LINEEDIT_BYTES   256u
#define LINEEDIT_HISTORY 16u

enum lineedit_event {
	LINEEDIT_NONE,     /* nothing to show */
	LINEEDIT_CHANGED,  /* the line or its cursor changed */
	LINEEDIT_LINE,     /* Enter: the line is complete */
	LINEEDIT_COMPLETE, /* Tab */
	LINEEDIT_CANCEL,   /* Ctrl-C: the line was dropped */
};

struct lineedit {
	char text[LINEEDIT_BYTES]; /* always ends in NUL */
	size_t length, cursor;
	char history[LINEEDIT_HISTORY][LINEEDIT_BYTES];
	unsigned lines;   /* ever entered; the newest is at (lines - 1) % LINEEDIT_HISTORY */
	unsigned browsed; /* how far back we are; 0: the line that is being typed */
	char kept[LINEEDIT_BYTES]; /* that line, while we browse */
	uint8_t escape;            /* 0 none, 1 after ESC, 2 after ESC [, 3 after ESC O */
	uint8_t parameter;         /* the number in ESC [ number ~ */
	bool was_return;           /* a LF right behind a CR is the same Enter */
};

enum lineedit_event lineedit_byte(struct lineedit *e, unsigned char c);
/* Begin the next line; the last one goes into the history unless empty or repeated. */
void lineedit_next(struct lineedit *e);
/* Insert at the cursor; what does not fit is left out. */
void lineedit_insert(struct lineedit *e, const char *text);

#endif
