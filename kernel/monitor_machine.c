/* SPDX-License-Identifier: MIT */
/* The monitor's verbs for the machine and for watching it. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

#define CTRL_C       0x03
#define CTRL_BRACKET 0x1d

/* ---- info ---- */

struct info_figures {
	unsigned domains, vcpus;
	struct mm_stats mm;
	uint64_t up_s, cpu_mhz;
	const char *backend;
};

static void count_domain(struct domain *d, void *arg)
{
	struct info_figures *f = arg;

	f->domains++;
	f->vcpus += d->nr_vcpus;
}

static void info_json(const struct info_figures *f)
{
	struct json j;

	json_begin(&j);
	json_number(&j, "cpus", machine_cpus());
	json_number(&j, "cpu_mhz", f->cpu_mhz);
	json_string(&j, "backend", f->backend);
	json_number(&j, "uptime_s", f->up_s);
	json_number(&j, "uptime_ns", machine_ns());
	json_number(&j, "domains", f->domains);
	json_number(&j, "vcpus", f->vcpus);
	json_number(&j, "frames_total", f->mm.frames_total);
	json_number(&j, "frames_free", f->mm.frames_free);
	json_number(&j, "frames_reserve", f->mm.frames_reserve);
	json_number(&j, "frames_table", f->mm.frames_table);
	json_number(&j, "frames_private", f->mm.frames_private);
	json_number(&j, "frames_shared", f->mm.frames_shared);
	json_number(&j, "frames_service", f->mm.frames_service);
	json_number(&j, "frames_reserved", f->mm.frames_reserved);
	json_number(&j, "pages_saved", f->mm.pages_saved);
	json_bool(&j, "scan", sched_scan_on());
	json_string(&j, "dirty", dirty_name(mm_dirty_source()));
	monitor_json(&j);
}

/* A line a CPU: what it did with its time since the start. */
static void info_cpus(bool as_json)
{
	for (unsigned cpu = 0; cpu < machine_cpus(); cpu++) {
		struct sched_cpu_stats t = sched_cpu_stats(cpu);
		struct json j;

		if (!as_json) {
			log_print("cpu %-12u: %10lu ms guests, %lu ms idle, %lu ms scanner\n", cpu,
			          t.guest_ns / NS_PER_MS, t.idle_ns / NS_PER_MS,
			          t.scan_ns / NS_PER_MS);
			continue;
		}
		json_begin(&j);
		json_number(&j, "cpu", cpu);
		json_milli(&j, "guest_ms", t.guest_ns / 1000);
		json_milli(&j, "idle_ms", t.idle_ns / 1000);
		json_milli(&j, "scan_ms", t.scan_ns / 1000);
		json_number(&j, "switches", t.switches);
		monitor_json(&j);
	}
}

static void info_pages(const char *name, uint64_t pages, const char *gloss)
{
	char mib[24];

	log_print("%-16s: %10s MiB  %s\n", name, monitor_mib(mib, pages), gloss);
}

bool monitor_info(struct run *r)
{
	struct info_figures f = {.mm = mm_stats(),
	                         .up_s = machine_ns() / NS_PER_S,
	                         .cpu_mhz = machine_tsc_hz() / 1000000,
	                         .backend = startup_refused() ? "none" : hvm->name};

	domain_each(count_domain, &f);
	if (r->json) {
		info_json(&f);
		info_cpus(true);
		return true;
	}
	log_print("%-16s: %u at %lu MHz\n", "cpus", machine_cpus(), f.cpu_mhz);
	log_print("%-16s: %s\n", "virtualization", f.backend);
	if (startup_refused())
		log_print("%-16s: %s\n", "no guests", startup_refused());
	log_print("%-16s: %lu s\n", "uptime", f.up_s);
	log_print("%-16s: %u with %u vCPUs\n", "domains", f.domains, f.vcpus);
	info_pages("memory", f.mm.frames_total, "of the machine");
	info_pages("free", f.mm.frames_free, "");
	info_pages("reserve", f.mm.frames_reserve, "kept for copy-on-write breaks");
	info_pages("private", f.mm.frames_private, "held by one guest each");
	info_pages("shared", f.mm.frames_shared, "held by several, stored once");
	info_pages("saved", f.mm.pages_saved, "by sharing");
	info_pages("page tables", f.mm.frames_table, "of guests' memory");
	log_print("%-16s: %s; what was written is told by: %s\n", "scanner",
	          sched_scan_on() ? "on" : "off", dirty_name(mm_dirty_source()));
	info_cpus(false);
	return true;
}

/* ---- hwinfo, dmesg ---- */

static void print_line(const char *text)
{
	log_print("%s\n", text);
}

bool monitor_hwinfo(struct run *r)
{
	(void)r;
	machine_hwinfo(print_line);
	return true;
}

/* at[0]: where in the ring */
bool monitor_dmesg(struct run *r)
{
	char line[512]; /* as long as the log makes them */

	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++) {
		if (!log_next(&r->at[0], line, sizeof(line)))
			return true;
		log_print("%s\n", line);
	}
	return false;
}

/* ---- console ---- */

static bool console_end(const char *why)
{
	log_prompt(NULL, 0);
	log_focus(0);
	if (why)
		log_print("%s\n", why);
	return true;
}

/* What is typed goes to the guest, Ctrl-C too; its unfinished line stands as the prompt. */
static void console_turn(struct run *r, struct domain *d)
{
	char key = r->interrupted ? CTRL_C : (char)r->key, line[CONSOLE_LINE + 80];
	size_t cursor;

	if (r->interrupted || r->key >= 0)
		console_ring_type(d, &key, 1);
	r->interrupted = false;
	cursor = console_partial(d, line, sizeof(line));
	log_prompt(line, cursor);
}

/* at[0]: the domain's id; at[1]: when to end */
bool monitor_console(struct run *r)
{
	uint64_t seconds = UINT32_MAX;
	struct domain *d;

	r->later = true;
	if (r->calls == 0) {
		d = monitor_domain(r, r->word[1]);
		if (!d)
			return true;
		if (r->words > 2 && !monitor_number(r, r->word[2], "the seconds", &seconds))
			return true;
		r->at[0] = d->id;
		r->at[1] = machine_ns() + seconds * NS_PER_S;
		log_print("The console of %s; Ctrl-] leaves it.\n", d->name);
		log_focus(d->id);
		return false;
	}
	d = domain_find((domid_t)r->at[0]);
	if (!d || d->dying)
		return console_end("The domain is gone.");
	if (d->shutdown != SHUTDOWN_NONE)
		return console_end("The domain has shut down.");
	if (r->key == CTRL_BRACKET || machine_ns() >= r->at[1])
		return console_end(NULL);
	console_turn(r, d);
	return false;
}

/* ---- sleep, reboot, poweroff ---- */

/* at[0]: until when */
bool monitor_sleep(struct run *r)
{
	uint64_t ms;

	r->later = true;
	if (r->calls == 0) {
		if (!monitor_number(r, r->word[1], "the milliseconds", &ms))
			return true;
		r->at[0] = machine_ns() + ms * NS_PER_MS;
	}
	return machine_ns() >= r->at[0];
}

/* This does not come back, so it tells that it is done beforehand. */
bool monitor_poweroff(struct run *r)
{
	log_tag("done status=0 command=%s", r->verb->name);
	machine_poweroff();
}
