/* SPDX-License-Identifier: MIT */
/*
 * From boot modules to running domains: build each, say what fails, go on. They
 * start together when all are built: none has a head start, and none waits for a CPU
 * that is still busy building.
 */
#include "kernel/bundle.h"
#include "kernel/log.h"

#define MAX_DESCRIPTIONS (MAX_DOMAINS - 1)

static const char *why_refused;

const char *startup_refused(void)
{
	return why_refused;
}

static void tell(void *arg, const char *sentence)
{
	(void)arg;
	log_error("%s", sentence);
}

/* Every domain that one description stands for; returns how many were made. */
static unsigned build(const struct domain_config *c)
{
	static struct domain_config one;
	struct domain *d;
	unsigned made = 0;

	for (unsigned i = 0; i < c->count; i++) {
		char why[CREATE_WHY] = "";

		config_instance(c, i, &one);
		one.paused = true;
		d = domain_create(&one, why, sizeof(why));
		if (!d) {
			log_error("domain \"%s\" cannot be started: %s", one.name, why);
			while (domain_reap())
				; /* the next one may need its memory, and nobody waits for a CPU */
			continue;
		}
		d->config.paused = c->paused;
		made++;
	}
	return made;
}

static void start(struct domain *d, void *arg)
{
	(void)arg;
	if (!d->config.paused)
		domain_unpause(d);
}

void startup_domains(const struct boot_info *bi, const char *refused)
{
	static struct domain_config configs[MAX_DESCRIPTIONS];
	const struct config_sink sink = {tell, NULL};
	struct config_list list = {.at = configs, .max = MAX_DESCRIPTIONS};
	unsigned made = 0;

	why_refused = refused;
	bundle_open(bi, &list, &sink);
	if (refused) {
		log_tag("refused %s", refused);
		log_error("no guest can run here: %s", refused);
	} else {
		for (unsigned i = 0; i < list.n; i++)
			made += build(&configs[i]);
	}
	log_tag("ready cpus=%u backend=%s domains=%u", machine_cpus(), refused ? "none" : hvm->name,
	        made);
	domain_each(start, NULL);
}
