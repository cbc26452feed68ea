/* SPDX-License-Identifier: MIT */
/*
 * Any text as a config file and as the words of a boot module: each mistake is one whole
 * printable sentence, and what is stored is within the limits that the rest relies on.
 */
#include "kernel/config.h"
#include "tests/fuzz/fuzz.h"

static unsigned complaints;

static void hear(void *arg, const char *sentence)
{
	(void)arg;
	complaints++;
	MUST(!strncmp(sentence, "fuzz", 4));
	for (const char *c = sentence; *c; c++)
		MUST(*c >= ' ' && *c <= '~');
}

static const struct config_sink sink = {hear, NULL};

static void check(const struct domain_config *c)
{
	struct domain_config one;

	MUST(c->name[0] && memchr(c->name, 0, sizeof(c->name)));
	MUST(c->kernel[0] && memchr(c->kernel, 0, sizeof(c->kernel)));
	MUST(memchr(c->ramdisk, 0, sizeof(c->ramdisk)));
	MUST(memchr(c->extra, 0, sizeof(c->extra)));
	MUST(memchr(c->share_group, 0, sizeof(c->share_group)));
	MUST(c->memory_mib > 0 && c->maxmem_mib >= c->memory_mib);
	MUST(config_min_mib(c) <= c->memory_mib);
	MUST(c->vcpus >= 1 && c->vcpus <= MAX_VCPUS && c->count >= 1);
	config_instance(c, c->count - 1, &one);
	MUST(memchr(one.name, 0, sizeof(one.name)));
}

static void check_words(const char *words)
{
	struct domain_config c;
	bool ok;

	complaints = 0;
	ok = config_parse_words("fuzz", words, NULL, &c, &sink);
	MUST(ok == !complaints);
	if (ok)
		check(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct domain_config at[8];
	struct config_list list = {at, 8, 0};
	char *words = malloc(n + 1);

	complaints = 0;
	MUST(config_parse("fuzz", (const char *)bytes, n, &list, &sink) == complaints);
	MUST(list.n <= list.max);
	for (unsigned i = 0; i < list.n; i++)
		check(&at[i]);
	if (n)
		memcpy(words, bytes, n);
	words[n] = '\0';
	check_words(words);
	free(words);
	return 0;
}
