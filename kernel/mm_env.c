/* SPDX-License-Identifier: MIT */
/*
 * The memory core's questions (mm/env.h), answered by the machine. What is done
 * to whole pages is in mm_page.c, env_panic in arch/x86_64/panic.c.
 */
#include "mm/env.h"

#include <stdarg.h>

#include "arch/x86_64/paging.h"
#include "kernel/inject.h"
#include "kernel/log.h"
#include "kernel/machine.h"

void *env_frame(mfn_t mfn)
{
	return phys_to_virt(mfn_to_addr(mfn));
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
	return inject_refuses();
}
