/* SPDX-License-Identifier: MIT */
/* The monitor's verb for the log of pages that hold guests' page tables (mm/guest_table.c). */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"
#include "mm/guest_table.h"

#define EVENTS_A_LINE 16u

struct table_batch {
	uint64_t next; /* the event to begin with, and then the one to go on with */
	unsigned n;
	struct guest_table_event event[EVENTS_A_LINE];
};

/* With the world stopped, or we might see an event half made. */
static void table_take(void *arg)
{
	struct table_batch *b = arg;

	while (b->n < EVENTS_A_LINE && guest_table_next(&b->next, &b->event[b->n]))
		b->n++;
}

/* A line of events, DOMAIN:GFN:WHAT:AGE:PASS; false: there are no more. */
static bool table_line(uint64_t *next)
{
	static const char what[] = {[GUEST_TABLE_BROKE] = 'b',
	                            [GUEST_TABLE_CONSTANT] = 'c',
	                            [GUEST_TABLE_PROTECTED] = 'p',
	                            [GUEST_TABLE_OVER] = 'o'};
	struct table_batch b = {.next = *next};
	char text[EVENTS_A_LINE * 28];
	size_t used = 0;

	sched_stopped(table_take, &b);
	*next = b.next;
	for (unsigned i = 0; i < b.n; i++) {
		const struct guest_table_event *e = &b.event[i];

		used += (size_t)text_format(text + used, sizeof(text) - used, " %u:%lx:%c:%u:%u",
		                            e->domid, e->gfn.n, what[e->what], e->age, e->pass);
		ASSERT(used < sizeof(text));
	}
	if (b.n)
		log_tag("table-log first=%lu%s", b.next - b.n, text);
	return b.n == EVENTS_A_LINE;
}

/* at[0]: the next event */
bool monitor_table_log(struct run *r)
{
	if (r->calls == 0 && r->words > 1 &&
	    !monitor_number(r, r->word[1], "the first event", &r->at[0]))
		return true;
	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++)
		if (!table_line(&r->at[0]))
			return true;
	return false;
}
