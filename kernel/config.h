/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of domains, in xl.cfg's words. Three forms, one table of keys:
 * a config file, the words of a boot module, the words after `create`.
 * Pure: text in, structures and sentences out.
 */
#ifndef KERNEL_CONFIG_H
#define KERNEL_CONFIG_H

#include "kernel/domain.h"

/* Called once for each mistake, with a whole sentence ("FILE:LINE: ..."). */
typedef void config_complain(void *arg, const char *sentence);

struct config_sink {
	config_complain *complain;
	void *arg;
};

/* Where descriptions are stored: at[0 .. n-1], each without a mistake. */
struct config_list {
	struct domain_config *at;
	unsigned max, n;
};

/*
 * Parse a config file of `bytes` bytes, and add what it describes to the list.
 * Blocks with a mistake are reported and left out. `file` stands in the
 * sentences. Returns the number of mistakes.
 */
unsigned config_parse(const char *file, const char *text, size_t bytes, struct config_list *list,
                      const struct config_sink *sink);

/*
 * Parse `key=value key="value with spaces" ...`. `where` stands in the
 * sentences. `given_kernel`: the kernel comes with the words (a boot module);
 * NULL: the key is needed. False if anything was wrong.
 */
bool config_parse_words(const char *where, const char *words, const char *given_kernel,
                        struct domain_config *out, const struct config_sink *sink);

/* The next word of *words, quotes and backslashes resolved, into dst; false at the end. */
bool config_next_word(const char **words, char *dst, size_t bytes);

/* Description i (from 0) of the c->count domains that c stands for: with a count, NAME-1 .. NAME-N.
 */
void config_instance(const struct domain_config *c, unsigned i, struct domain_config *out);

/* What was not given: maxmem is memory, min a quarter of it. */
uint32_t config_min_mib(const struct domain_config *c);
/* Its shares of memory: if not given, ten for each MiB of `memory`, as ESX has it. */
uint32_t config_shares(const struct domain_config *c);

#endif
