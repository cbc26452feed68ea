/* SPDX-License-Identifier: MIT */
/* A tracer for test_monitor.c's world (monitor_world.h). */
#ifndef TESTS_UNIT_MONITOR_TRACE_WORLD_H
#define TESTS_UNIT_MONITOR_TRACE_WORLD_H

#include "kernel/tracer.h"

bool tracer_active;
static uint64_t tracer_ms;
static unsigned tracer_left; /* polls until all is out */

const char *tracer_start(uint64_t ms)
{
	if (ms == 7)
		return "not today";
	tracer_ms = ms;
	tracer_active = true;
	tracer_left = 3;
	return NULL;
}

void tracer_stop(void)
{
}

bool tracer_poll_slow(void)
{
	tracer_active = --tracer_left;
	return tracer_active;
}

struct tracer_view tracer_look(void)
{
	return (struct tracer_view){.on = tracer_active,
	                            .ms = tracer_ms,
	                            .ticks = 11,
	                            .records = 22,
	                            .bytes = 33,
	                            .lost = 44,
	                            .waiting = 55,
	                            .port = "port of the tests"};
}

#endif
