/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the monitor: what a verb is and what it may call.
 *
 * A verb is one function, called again and again until it says that it is
 * done. It never waits and prints at most a screenful a call, so guests go on
 * while it works. Between two calls any domain may have gone: remember ids,
 * not pointers.
 */
#ifndef KERNEL_MONITOR_H
#define KERNEL_MONITOR_H

#include "kernel/domain.h"
#include "kernel/json.h"
#include "kernel/lineedit.h"

#define MONITOR_WORDS 24
#define MONITOR_SLICE 24u /* lines that one call may print */

struct verb;

/* A command that runs. All but verb, words and json begins as zero. */
struct run {
	const struct verb *verb;
	int words;
	char *word[MONITOR_WORDS]; /* word[0] is the verb */
	const char *rest;          /* the line behind the verb, as typed */
	bool json;
	int status;       /* what `@quire done` will say; 0 good */
	int key;          /* a byte typed since the last call, or -1; verbs with keys only */
	bool interrupted; /* Ctrl-C was typed */
	bool later;       /* set by a call that waits for time to pass: no hurry with the next */
	unsigned calls;   /* before this one */
	void (*cancel)(void); /* set while something is half done: Ctrl-C calls it */
	uint64_t at[4];       /* the verb's own: where it is */
};

struct verb {
	const char *name, *arguments, *summary, *example;
	bool (*step)(struct run *r); /* true: done */
	int least, most;             /* words behind the verb */
	bool keys;                   /* takes what is typed while it runs */
};

extern const struct verb monitor_verbs[];
extern const unsigned monitor_nr_verbs;
const struct verb *monitor_verb(const char *name); /* NULL if there is none */
/* The verb that was most likely meant, or NULL. Pure. */
const struct verb *monitor_nearest(const char *name);

/* "VERB: sentence", status 1; returns true (done). */
bool monitor_fail(struct run *r, const char *fmt, ...) printf_like(2, 3);
/* The domain that a word names; NULL after a complaint. */
struct domain *monitor_domain(struct run *r, const char *word);
/* A decimal number below 2^32; false after a complaint. */
bool monitor_number(struct run *r, const char *word, const char *what, uint64_t *n);
/* Enough for this turn: a slow serial line makes every line of output dear. */
bool monitor_turn_over(void);
/* Pages as MiB with one decimal: "12.5". */
const char *monitor_mib(char buffer[24], uint64_t pages);
void monitor_json(struct json *j); /* ends and prints it */

/* The domain with the least id above `id`, or NULL: a walk that survives changes. */
struct domain *monitor_after(domid_t id);
uint64_t monitor_vcpu_ns(const struct vcpu *v); /* time on a CPU, up to now */
uint64_t monitor_domain_ns(const struct domain *d);
uint64_t monitor_domain_exits(const struct domain *d);
void monitor_state(const struct domain *d,
                   char out[8]); /* "r-----", as xl shows it; m: waits for memory */

/* monitor_domains.c */
bool monitor_list(struct run *r);
bool monitor_vcpu_list(struct run *r);
bool monitor_create(struct run *r);
bool monitor_pause(struct run *r);
bool monitor_unpause(struct run *r);
bool monitor_destroy(struct run *r);
bool monitor_wait(struct run *r);

/* monitor_wish.c */
bool monitor_mem_set(struct run *r);
bool monitor_mem_max(struct run *r);
bool monitor_shutdown(struct run *r);
bool monitor_reboot(struct run *r);
bool monitor_sysrq(struct run *r);

/* monitor_overcommit.c */
bool monitor_frames(struct run *r);
bool monitor_refuse(struct run *r);

/* monitor_squeeze.c */
bool monitor_compress(struct run *r);

/* monitor_reclaim.c */
bool monitor_reclaim(struct run *r);

/* monitor_memory.c */
bool monitor_sharing(struct run *r);
bool monitor_map(struct run *r);
bool monitor_settle(struct run *r);

/* monitor_audit.c */
bool monitor_audit(struct run *r);

/* monitor_scan.c */
bool monitor_scan(struct run *r);
/* For monitor_core.c. Take all figures, with every other CPU stopped; then print them as JSON. */
void monitor_instant(void *unused);
void monitor_sharing_total_json(void);
void monitor_sharing_json(const struct domain *d);
/* A slice of the map lines of [gfn, end); returns where the next begins, >= end at the end. */
uint64_t monitor_map_slice(struct domain *d, uint64_t gfn, uint64_t end);

/* monitor_table.c */
bool monitor_table_log(struct run *r);

/* monitor_core.c */
bool monitor_dump_core(struct run *r);

/* monitor_trace.c */
bool monitor_trace(struct run *r);

/* monitor_machine.c */
bool monitor_info(struct run *r);
bool monitor_hwinfo(struct run *r);
bool monitor_dmesg(struct run *r);
bool monitor_console(struct run *r);
bool monitor_sleep(struct run *r);
bool monitor_poweroff(struct run *r);

/* monitor_exits.c */
bool monitor_exits(struct run *r);

/* monitor_quota.c */
bool monitor_quota(struct run *r);

/* monitor_top.c */
bool monitor_top(struct run *r);

/* monitor_help.c */
bool monitor_help(struct run *r);

#endif
