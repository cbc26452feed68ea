/* SPDX-License-Identifier: MIT */
/* See machine.h. Weak, so that a test may have its own of any of these. */
#include <stdlib.h>
#include <string.h>
#include "mm/env.h"
#include "tests/host/machine.h"

#define weak __attribute__((weak))

uint64_t host_now_ns[HOST_MAX_CPUS];
uint64_t host_timer_ns[HOST_MAX_CPUS];
unsigned host_cpus = 1;
char host_console[65536];
static size_t console_used;

void host_machine_reset(unsigned cpus)
{
	memset(host_now_ns, 0, sizeof(host_now_ns));
	memset(host_timer_ns, 0xff, sizeof(host_timer_ns));
	host_cpus = cpus;
	console_used = 0;
	host_console[0] = '\0';
}

weak unsigned machine_cpu(void)
{
	return env_cpu();
}

weak unsigned machine_cpus(void)
{
	return host_cpus;
}

weak void machine_kick(unsigned cpu)
{
	env_kick(cpu);
}

weak void machine_relax(void)
{
}

weak void machine_irq_window(void)
{
}

/* Asleep until the timer rings. */
weak void machine_idle(void)
{
	uint64_t *now = &host_now_ns[machine_cpu()], timer = host_timer_ns[machine_cpu()];

	if (timer != UINT64_MAX && timer > *now)
		*now = timer;
}

weak uint64_t machine_ns(void)
{
	return host_now_ns[machine_cpu()];
}

weak uint64_t machine_tsc(void)
{
	return machine_ns() * (HOST_TSC_HZ / 1000000000);
}

weak uint64_t machine_ns_at(uint64_t tsc)
{
	return tsc / (HOST_TSC_HZ / 1000000000);
}

weak uint64_t machine_tsc_hz(void)
{
	return HOST_TSC_HZ;
}

weak bool machine_tsc_stable(void)
{
	return true;
}

weak uint64_t machine_wallclock_s(void)
{
	return 1700000000 + machine_ns() / 1000000000;
}

weak void machine_timer(uint64_t deadline_ns)
{
	host_timer_ns[machine_cpu()] = deadline_ns;
}

weak void machine_putc(char c)
{
	if (console_used + 1 < sizeof(host_console)) {
		host_console[console_used++] = c;
		host_console[console_used] = '\0';
	}
}

size_t host_output_room = SIZE_MAX; /* what the serial line's queue can take */

weak bool machine_output_pump(void)
{
	return host_output_room != SIZE_MAX;
}

weak size_t machine_output_room(void)
{
	return host_output_room;
}

weak int machine_getc(void)
{
	return -1;
}

uint8_t host_trace[1u << 20]; /* what left by the trace's port */
size_t host_trace_bytes, host_trace_takes = SIZE_MAX;

weak const char *machine_trace_port(void)
{
	return "port of the tests";
}

weak size_t machine_trace_send(const void *bytes, size_t n)
{
	n = n < host_trace_takes ? n : host_trace_takes;
	if (n > sizeof(host_trace) - host_trace_bytes)
		n = sizeof(host_trace) - host_trace_bytes;
	memcpy(host_trace + host_trace_bytes, bytes, n);
	host_trace_bytes += n;
	return n;
}

weak void machine_reboot(void)
{
	exit(2);
}

weak void machine_poweroff(void)
{
	exit(2);
}

weak uint64_t machine_random(void)
{
	return env_random();
}

weak const char *machine_symbol(uint64_t address)
{
	(void)address;
	return "?";
}

weak void machine_hwinfo(void (*line)(const char *text))
{
	line("a machine of the native tests");
}
