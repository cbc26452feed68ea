/* SPDX-License-Identifier: MIT */
/*
 * The memory core's questions (mm/env.h), answered by the machine. env_panic
 * is in arch/x86_64/panic.c.
 */
#include "mm/env.h"

#include <stdarg.h>

#include "arch/x86_64/paging.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"

#define WORDS (PAGE_SIZE / sizeof(uint64_t))

void *env_frame(mfn_t mfn)
{
	return phys_to_virt(mfn_to_addr(mfn));
}

void env_page_copy(void *dst, const void *src)
{
	memcpy(dst, src, PAGE_SIZE);
}

void env_page_zero(void *dst)
{
	memset(dst, 0, PAGE_SIZE);
}

#define DIFF(i) (x[i] ^ y[i])
#define DIFF8(i)                                                                                   \
	(DIFF(i) | DIFF((i) + 1) | DIFF((i) + 2) | DIFF((i) + 3) | DIFF((i) + 4) | DIFF((i) + 5) | \
	 DIFF((i) + 6) | DIFF((i) + 7))

/* Thirty-two words between two branches: whoever asks expects them to be equal. */
bool env_page_equal(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b, *end = x + WORDS;

	for (; x < end; x += 32, y += 32)
		if (DIFF8(0) | DIFF8(8) | DIFF8(16) | DIFF8(24))
			return false;
	return true;
}

void env_prefetch_page(const void *page)
{
	for (size_t i = 0; i < 4; i++)
		__builtin_prefetch((const char *)page + 64 * i);
}

unsigned env_cpu(void)
{
	return machine_cpu();
}

void env_kick(unsigned cpu)
{
	machine_kick(cpu);
}

void env_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void env_relax(void)
{
	machine_relax();
}

uint64_t env_cycles(void)
{
	return machine_tsc();
}

uint64_t env_random(void)
{
	return machine_random();
}

void env_log(const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info("%s", text);
}

void env_point(enum env_point p)
{
	(void)p;
}

bool env_refuse_alloc(void)
{
	return false;
}
