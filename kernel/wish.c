/* SPDX-License-Identifier: MIT */
/*
 * What the operator wants of a guest: less memory, an end, a SysRq key. We can but ask.
 * A guest is told in two ways: through xenstore, where an unmodified kernel looks
 * (memory/target, control/shutdown, control/sysrq), and by hypercall 50, which
 * our own guests use. Whether it follows is read off what it does, never
 * off what it says: how many pages it has, and whether it has ended.
 */
#include "kernel/abi/quire.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/xenstore.h"
#include "mm/fund.h"

#define KIB_PER_PAGE  (PAGE_SIZE / 1024u)
#define PAGES_PER_MIB (1048576u / PAGE_SIZE)
#define NS_PER_S      UINT64_C(1000000000)
/* Longer than that without a step, and we say that it does not follow. */
#define PATIENCE_NS (5 * NS_PER_S)
/* A guest's own count differs from ours by what it never saw: shared_info's page, holes. */
#define CLOSE_PAGES PAGES_PER_MIB

#define PATH_TARGET   "memory/target"
#define PATH_SHUTDOWN "control/shutdown"
#define PATH_SYSRQ    "control/sysrq"

/* ---- asking ---- */

/* Read back: it stands there, unless the guest has taken it already, and emptied the node. */
static bool wish_stands(struct domain *d, const char *path, const char *value)
{
	char back[24] = "";

	return xenstore_read(d, path, back, sizeof(back)) && (!back[0] || !strcmp(back, value));
}

static void wish_tell(struct domain *d, const char *path, const char *value)
{
	if (!d->store)
		return;
	if (!xenstore_write(d, path, value) || !wish_stands(d, path, value))
		log_warn("domain %u (%s): its xenstore has no room for %s", d->id, d->name, path);
}

void domain_set_target(struct domain *d, uint64_t pages)
{
	char kib[24];

	d->target_pages = pages;
	d->target_ns = machine_ns();
	fund_lend(&d->space, pages < d->space.memory_pages);
	vcpu_wake_memory_waiters();
	text_format(kib, sizeof(kib), "%lu", pages * KIB_PER_PAGE);
	wish_tell(d, PATH_TARGET, kib);
	if (d->control_port)
		evtchn_send_port(d, d->control_port);
}

void domain_set_limit(struct domain *d, uint64_t pages)
{
	d->limit_pages = pages;
	domain_set_target(d, pages);
}

void domain_request_shutdown(struct domain *d, uint32_t request)
{
	d->shutdown_request = request;
	d->shutdown_ns = machine_ns();
	wish_tell(d, PATH_SHUTDOWN, request == QUIRE_SHUTDOWN_REBOOT ? "reboot" : "poweroff");
	if (d->control_port)
		evtchn_send_port(d, d->control_port);
}

void domain_sysrq(struct domain *d, char letter)
{
	const char text[2] = {letter, '\0'};

	d->sysrq_ns = machine_ns();
	wish_tell(d, PATH_SYSRQ, text);
}

bool domain_listens(struct domain *d, enum domain_wish wish)
{
	static const char *const path[] = {[WISH_MEMORY] = PATH_TARGET,
	                                   [WISH_SHUTDOWN] = PATH_SHUTDOWN,
	                                   [WISH_SYSRQ] = PATH_SYSRQ};

	return xenstore_watched(d, path[wish]) || (wish != WISH_SYSRQ && d->control_port);
}

/* ---- whether it follows ---- */

static uint64_t wish_seconds(uint64_t since_ns)
{
	return (machine_ns() - since_ns) / NS_PER_S;
}

/* It has not looked as long as the word stands there (drivers/xen/manage.c of Linux). */
static bool wish_unread(struct domain *d, const char *path)
{
	char text[2] = "";

	return xenstore_read(d, path, text, sizeof(text)) && text[0];
}

static bool wish_lags_shutdown(struct domain *d, char *text, size_t bytes)
{
	if (!d->shutdown_request)
		return false;
	text_format(text, bytes, "does not follow: asked to %s %lu s ago, %s",
	            d->shutdown_request == QUIRE_SHUTDOWN_REBOOT ? "reboot" : "power off",
	            wish_seconds(d->shutdown_ns),
	            wish_unread(d, PATH_SHUTDOWN) ? "has not looked" : "still runs");
	return true;
}

static bool wish_lags_memory(struct domain *d, char *text, size_t bytes)
{
	uint64_t now = d->space.memory_pages, target = d->target_pages;
	uint64_t step_ns = max_u64(d->target_ns, __atomic_load_n(&d->balloon_ns, __ATOMIC_RELAXED));

	if (max_u64(now, target) - min_u64(now, target) <= CLOSE_PAGES)
		return false;
	text_format(text, bytes, "%s: asked for %lu MiB %lu s ago, has %lu",
	            machine_ns() > step_ns + PATIENCE_NS ? "does not follow" : "is on its way",
	            target / PAGES_PER_MIB, wish_seconds(d->target_ns),
	            (now + PAGES_PER_MIB / 2) / PAGES_PER_MIB);
	return true;
}

/* What a key does is the guest's affair; that it was taken is seen. */
static bool wish_lags_sysrq(struct domain *d, char *text, size_t bytes)
{
	if (!d->sysrq_ns || !wish_unread(d, PATH_SYSRQ))
		return false;
	text_format(text, bytes, "does not follow: SysRq pressed %lu s ago, has not looked",
	            wish_seconds(d->sysrq_ns));
	return true;
}

bool domain_lags(struct domain *d, char *text, size_t bytes)
{
	text[0] = '\0';
	if (d->dying || d->shutdown != SHUTDOWN_NONE)
		return false;
	return wish_lags_shutdown(d, text, bytes) || wish_lags_memory(d, text, bytes) ||
	       wish_lags_sysrq(d, text, bytes);
}
