/* SPDX-License-Identifier: MIT */
/*
 * The boot list of the kernel: from a machine in hand to the run loop. A
 * machine on which no guest can run still gets its monitor, which can say why.
 */
#include "arch/x86_64/hvm.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/spec.h"
#include "kernel/boot_info.h"
#include "kernel/cmdline.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/overcommit.h"
#include "kernel/squeeze.h"
#include "kernel/machine.h"
#include "kernel/pace.h"
#include "kernel/reclaim.h"
#include "mm/scan.h"

static const char *refused; /* why no guest can run here; NULL: they can */

static void log_level_from_cmdline(void)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	char v[16];

	if (!cmdline_get("loglvl", v, sizeof(v)))
		return;
	if (!__builtin_strcmp(v, "all")) {
		log_set_level(LOG_DEBUG);
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!__builtin_strcmp(v, names[i])) {
			log_set_level((enum log_level)i);
			return;
		}
	log_warn("command line: loglvl is one of error, warn, info, debug, all; not \"%s\"", v);
}

static void scan_policy_from_cmdline(const char *name)
{
	const struct scan_policy *p = scan_find_policy(name);

	if (!p)
		log_warn("command line: there is no scan.policy \"%s\"; \"%s\" stays", name,
		         scan_policy_name());
	else if (scan_use(p) != MM_OK)
		log_warn("command line: no memory for what scan.policy \"%s\" keeps, %lu KiB; "
		         "\"%s\" stays",
		         name, scan_policy_bytes(p) / 1024, scan_policy_name());
}

static void scan_from_cmdline(void)
{
	uint64_t pages;
	char v[32];

	sched_set_scan(cmdline_bool("scan.on", true));
	scan_set_clock(machine_tsc_hz() / 1000);
	if (cmdline_get("scan.policy", v, sizeof(v)))
		scan_policy_from_cmdline(v);
	if (cmdline_get("scan.cpu", v, sizeof(v))) {
		uint64_t percent = cmdline_number("scan.cpu", 101);

		if (percent <= 100)
			sched_set_scan_share((uint32_t)percent * (PACE_WHOLE / 100));
		else
			log_warn(
			    "command line: scan.cpu is 0 to 100 (per cent); it stays as it was");
	}
	if (!cmdline_get("scan.pages", v, sizeof(v)))
		return;
	pages = cmdline_number("scan.pages", 0);
	if (pages >= 1 && pages <= SCHED_SCAN_PAGES_MAX)
		sched_set_scan_pages((unsigned)pages);
	else
		log_warn("command line: scan.pages is 1 to %u; it stays as it was",
		         SCHED_SCAN_PAGES_MAX);
}

/* CPUs that only work for Quire: the monitor, the scanner, taking domains down. */
static void guests_from_cmdline(void)
{
	char v[16];

	if (cmdline_get("guests.first", v, sizeof(v)) &&
	    !sched_set_first_cpu((unsigned)cmdline_number("guests.first", UINT32_MAX)))
		log_warn("command line: guests.first is the number of one of the %u CPUs; all run "
		         "guests",
		         machine_cpus());
}

/* The best source that the CPU has, unless the command line wants another that it has. */
static enum dirty_source dirty_from_cmdline(void)
{
	unsigned there = hvm->dirty_sources();
	enum dirty_source best = dirty_best(there);
	char v[16];

	if (!cmdline_get("dirty", v, sizeof(v)))
		return best;
	for (unsigned i = 0; i < DIRTY_SOURCES; i++)
		if (!__builtin_strcmp(v, dirty_name(i)) && there & BIT(i))
			return i;
	log_warn("command line: dirty is one of%s%s%s on this CPU, not \"%s\"; %s it is",
	         there & BIT(DIRTY_FLAGS) ? " flags," : "", there & BIT(DIRTY_LOG) ? " pml," : "",
	         there & BIT(DIRTY_PROTECT) ? " wp" : "", v, dirty_name(best));
	return best;
}

/* VMX or SVM on this CPU; the boot CPU goes first and decides for all. */
static const char *virt_on(void)
{
	const char *why = hvm->cpu_on();

	this_cpu()->virt_on = !why;
	return why;
}

/* NULL, or why no guest can run here. */
static const char *virt_start(void)
{
	const char *why = hvm_choose();
	const struct pte_format *format;
	enum dirty_source source;

	if (why)
		return why;
	source = dirty_from_cmdline();
	format = hvm->dirty_use(source);
	why = virt_on();
	if (why)
		return why;
	mm_set_format(format, source);
	mm_set_large_nx(spec_current()->actions & DO_LARGE_NX);
	return NULL;
}

void kernel_main(const struct boot_info *bi)
{
	log_level_from_cmdline();
	scan_from_cmdline();
	refused = virt_start(); /* which back end, and so which page-table format */
	sched_init();           /* before there is a vCPU to run */
	guests_from_cmdline();  /* on which CPUs */
	overcommit_init();      /* how large the reserve may become */
	squeeze_init();         /* and whether cold pages are compressed */
	reclaim_init();         /* what is asked of guests when memory is short */
	reclaim_set_compressor(squeeze_ask);
	machine_release_cpus();       /* each comes to kernel_main_ap */
	startup_domains(bi, refused); /* what the config asks for; the ready line */
	machine_output_queue(!cmdline_bool("sync_console", false));
	sched_run(); /* guests, and the monitor between them */
}

void kernel_main_ap(void)
{
	const char *why = refused ? NULL : virt_on();

	if (why)
		env_panic("CPU %u cannot do what CPU 0 can: %s", machine_cpu(), why);
	sched_run();
}
