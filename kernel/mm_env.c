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

/* Eight words between two branches: a difference is mostly found in the first. */
bool env_page_equal(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	for (size_t i = 0; i < WORDS; i += 8) {
		uint64_t d = (x[i] ^ y[i]) | (x[i + 1] ^ y[i + 1]) | (x[i + 2] ^ y[i + 2]) |
		             (x[i + 3] ^ y[i + 3]) | (x[i + 4] ^ y[i + 4]) | (x[i + 5] ^ y[i + 5]) |
		             (x[i + 6] ^ y[i + 6]) | (x[i + 7] ^ y[i + 7]);

		if (d)
			return false;
	}
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
