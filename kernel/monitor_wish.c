/* SPDX-License-Identifier: MIT */
/* The monitor's verbs that ask a guest for something. `list` shows whether it follows. */
#include "kernel/abi/quire.h"
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"

#define PAGES_PER_MIB 256u

/* To the nearest: shared_info takes the place of one page of a guest's memory. */
static uint64_t mib(uint64_t pages)
{
	return (pages + PAGES_PER_MIB / 2) / PAGES_PER_MIB;
}

static bool ended(struct run *r, const struct domain *d)
{
	if (d->shutdown == SHUTDOWN_NONE)
		return false;
	return monitor_fail(r, "%s has shut down already (%s); `destroy %s` frees it", d->name,
	                    domain_shutdown_name(d->shutdown), d->name);
}

/* ---- memory ---- */

bool monitor_mem_set(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);
	uint64_t n, least, most, free;

	if (!d || !monitor_number(r, r->word[2], "the memory in MiB", &n))
		return true;
	least = (d->space.min_pages + PAGES_PER_MIB - 1) / PAGES_PER_MIB;
	most = d->space.max_pages / PAGES_PER_MIB;
	if (n < least || n > most)
		return monitor_fail(r,
		                    "%s may have %lu MiB (its guaranteed `min`) to %lu MiB (its "
		                    "`maxmem`), so not %lu; it has %lu now",
		                    d->name, least, most, n, mib(d->space.memory_pages));
	if (d->shutdown != SHUTDOWN_NONE)
		return monitor_fail(r, "%s has shut down and will not answer", d->name);
	free = mm_stats().frames_free / PAGES_PER_MIB;
	if (n > mib(d->space.memory_pages) && n - mib(d->space.memory_pages) > free)
		log_print("only %lu MiB are free: %s will get what there is\n", free, d->name);
	if (!domain_listens(d, WISH_MEMORY))
		log_print("%s does not listen for a target (it watches no memory/target and bound "
		          "no control event); it will see it when it asks\n",
		          d->name);
	domain_set_limit(d, n * PAGES_PER_MIB);
	return true;
}

bool monitor_mem_max(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);
	uint64_t n, pages, has;

	if (!d || !monitor_number(r, r->word[2], "the memory in MiB", &n))
		return true;
	pages = n * PAGES_PER_MIB;
	if (n > d->config.maxmem_mib)
		return monitor_fail(
		    r,
		    "%s was made with maxmem=%u, and page tables for no more; %lu is "
		    "too much",
		    d->name, d->config.maxmem_mib, n);
	spin_lock(&d->space.lock);
	has = d->space.memory_pages;
	if (pages >= has)
		d->space.max_pages = pages;
	spin_unlock(&d->space.lock);
	if (pages < has)
		return monitor_fail(r, "%s has %lu MiB now; `mem-set %s %lu` first", d->name,
		                    mib(has), d->name, n);
	return true;
}

/* ---- its end ---- */

static bool ask_to_end(struct run *r, struct domain *d, uint32_t request)
{
	if (ended(r, d))
		return true;
	if (d->paused)
		log_print("%s is paused and hears of it when it is unpaused\n", d->name);
	else if (!domain_listens(d, WISH_SHUTDOWN))
		log_print("%s does not listen for it (it watches no control/shutdown and bound no "
		          "control event); `destroy %s` ends it\n",
		          d->name, d->name);
	domain_request_shutdown(d, request);
	return true;
}

bool monitor_shutdown(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);

	if (!d)
		return true;
	if (r->words > 2 && strcmp(r->word[2], "reboot"))
		return monitor_fail(r, "`%s`: only `reboot` may stand there", r->word[2]);
	return ask_to_end(r, d, r->words > 2 ? QUIRE_SHUTDOWN_REBOOT : QUIRE_SHUTDOWN_POWEROFF);
}

/* Without a domain, of the machine: that does not come back, so it tells that it is done. */
bool monitor_reboot(struct run *r)
{
	struct domain *d;

	if (r->words > 1) {
		d = monitor_domain(r, r->word[1]);
		return d ? ask_to_end(r, d, QUIRE_SHUTDOWN_REBOOT) : true;
	}
	log_tag("done status=0 command=%s", r->verb->name);
	machine_reboot();
}

/* ---- SysRq ---- */

bool monitor_sysrq(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);
	const char *key = r->word[2];

	if (!d || ended(r, d))
		return true;
	if (strlen(key) != 1 || key[0] <= ' ' || key[0] > '~')
		return monitor_fail(r,
		                    "one key, not `%s`: h tells a Linux guest's keys on its "
		                    "console",
		                    key);
	if (!domain_listens(d, WISH_SYSRQ))
		return monitor_fail(r, "%s does not listen for it (it watches no control/sysrq)",
		                    d->name);
	domain_sysrq(d, key[0]);
	return true;
}
