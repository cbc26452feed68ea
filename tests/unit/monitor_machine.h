/* SPDX-License-Identifier: MIT */
/* The machine around the monitor (monitor_world.h): a clock, a console that is typed on and heard, and its end. */
#ifndef TESTS_UNIT_MONITOR_MACHINE_H
#define TESTS_UNIT_MONITOR_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "arch/x86_64/hvm.h"
#include "kernel/machine.h"

static char heard[1 << 16];
static size_t heard_bytes;
static const char *typing = "";
static uint64_t now_ns;
static jmp_buf *powered_off;

bool machine_output_pump(void)
{
	return false;
}

size_t machine_output_room(void)
{
	return SIZE_MAX;
}

void machine_putc(char c)
{
	heard[heard_bytes++] = c;
	heard[heard_bytes] = '\0';
}

int machine_getc(void)
{
	return *typing ? (unsigned char)*typing++ : -1;
}

uint64_t machine_ns(void)
{
	return now_ns;
}

unsigned machine_cpus(void)
{
	return 2;
}

uint64_t machine_tsc(void)
{
	return now_ns;
}

uint64_t machine_tsc_hz(void)
{
	return 1000000000;
}

void machine_reboot(void)
{
	longjmp(*powered_off, 2);
}

void machine_poweroff(void)
{
	longjmp(*powered_off, 1);
}

void machine_hwinfo(void (*line)(const char *text))
{
	line("cpu: made up");
}

void env_relax(void)
{
}

void env_panic(const char *fmt, ...)
{
	fail_msg("panic: %s", fmt);
	abort();
}

static void get_state(struct hvm_vcpu *v, struct guest_state *s)
{
	(void)v;
	*s = (struct guest_state){.cr0 = 0x80000011, .cr3 = 0x5000};
}

static const struct hvm_ops back_end = {.name = "none such", .vcpu_get_state = get_state};
const struct hvm_ops *hvm = &back_end;

#endif
