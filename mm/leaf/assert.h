/* SPDX-License-Identifier: MIT */
/*
 * Assertions: the sentence that you would have written as a comment. They stay
 * in release builds. A false one is a bug of ours and stops the machine; a
 * guest must never be able to make one false.
 */
#ifndef MM_LEAF_ASSERT_H
#define MM_LEAF_ASSERT_H

#include "mm/leaf/types.h"

/* Supplied by the world around mm/ (see mm/env.h). Does not return. */
void env_panic(const char *fmt, ...) printf_like(1, 2) noreturn_fn;

#define ASSERT(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			env_panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond);       \
	} while (0)

#define ASSERT_STATIC(cond) _Static_assert(cond, #cond)

#endif
