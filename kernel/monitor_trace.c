/* SPDX-License-Identifier: MIT */
/* The monitor's verb for the trace. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"
#include "kernel/tracer.h"

static void trace_show(bool as_json)
{
	struct tracer_view v = tracer_look();
	struct json j;

	if (!as_json) {
		log_print(
		    "trace: %s, to the %s; a tick every %lu ms, %lu so far; %lu records in %lu "
		    "bytes, %lu waiting, %lu lost\n",
		    v.on ? "on" : "off", v.port, v.ms, v.ticks, v.records, v.bytes, v.waiting,
		    v.lost);
		return;
	}
	json_begin(&j);
	json_bool(&j, "on", v.on);
	json_string(&j, "port", v.port);
	json_number(&j, "tick_ms", v.ms);
	json_number(&j, "ticks", v.ticks);
	json_number(&j, "records", v.records);
	json_number(&j, "bytes", v.bytes);
	json_number(&j, "waiting", v.waiting);
	json_number(&j, "lost", v.lost);
	monitor_json(&j);
}

static bool trace_on_verb(struct run *r)
{
	uint64_t ms = TRACER_DEFAULT_MS;
	const char *why;

	if (r->words > 2 && !monitor_number(r, r->word[2], "a number of milliseconds", &ms))
		return true;
	why = tracer_start(ms);
	return why ? monitor_fail(r, "%s", why) : true;
}

/* Done when all that was recorded has left the machine. */
static bool trace_off_verb(struct run *r)
{
	if (r->calls == 0)
		tracer_stop();
	(void)tracer_poll();
	if (tracer_active && !r->interrupted)
		return false;
	trace_show(r->json);
	return true;
}

bool monitor_trace(struct run *r)
{
	if (r->words == 1) {
		trace_show(r->json);
		return true;
	}
	if (!strcmp(r->word[1], "on"))
		return trace_on_verb(r);
	if (!strcmp(r->word[1], "off"))
		return trace_off_verb(r);
	return monitor_fail(r, "`on` or `off`, not `%s`", r->word[1]);
}
