/* SPDX-License-Identifier: MIT */
/*
 * The operator's prompt.
 *
 * monitor_poll() is called again and again from CPU 0's loop. It takes what was
 * typed, and then either edits the line or gives the command that runs one more
 * turn. So guests run between any two turns, and a command that waits (`wait`,
 * `top`, `console`) is only a command that is not done yet.
 *
 * Each command ends with the line `@quire done status=N command=VERB`.
 */
#include "kernel/monitor.h"

#include "kernel/config.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define PROMPT       "quire> "
#define TYPED_AHEAD  128u
#define BYTES_A_TURN 32u
#define CTRL_C       3
#define TURN_NS      UINT64_C(4000000) /* turns are some 10 ms apart */

static struct lineedit edit;
static struct run run;
static bool running, started;
static uint64_t turn_began;
static char command[LINEEDIT_BYTES];                  /* the line, as typed */
static char word_text[MONITOR_WORDS][LINEEDIT_BYTES]; /* its words */
static unsigned char ahead[TYPED_AHEAD];              /* typed while a command ran */
static unsigned ahead_read, ahead_write;

/* ---- what verbs call ---- */

bool monitor_fail(struct run *r, const char *fmt, ...)
{
	char sentence[400];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	log_print("%s: %s\n", r->verb->name, sentence);
	r->status = 1;
	return true;
}

struct naming {
	char text[200];
	size_t used;
};

static void add_name(struct domain *d, void *arg)
{
	struct naming *n = arg;
	size_t left = sizeof(n->text) - n->used;
	int more =
	    text_format(n->text + n->used, left, "%s%s (%u)", n->used ? ", " : "", d->name, d->id);

	if ((size_t)more < left)
		n->used += (size_t)more;
	else
		n->text[n->used] = '\0';
}

struct domain *monitor_domain(struct run *r, const char *word)
{
	struct domain *d = domain_find_name(word);
	struct naming n = {.used = 0};

	if (d)
		return d;
	domain_each(add_name, &n);
	if (n.used)
		monitor_fail(r, "there is no domain `%s`; there are %s", word, n.text);
	else
		monitor_fail(r, "there is no domain `%s`; in fact there is none (`help create`)",
		             word);
	return NULL;
}

bool monitor_number(struct run *r, const char *word, const char *what, uint64_t *n)
{
	const char *c = word;

	for (*n = 0; *c >= '0' && *c <= '9' && *n <= UINT32_MAX; c++)
		*n = *n * 10 + (uint64_t)(*c - '0');
	if (*word && !*c && *n <= UINT32_MAX)
		return true;
	monitor_fail(r, "%s must be a number%s, not `%s`", what,
	             *n > UINT32_MAX ? " of at most 4294967295" : "", word);
	return false;
}

const char *monitor_mib(char buffer[24], uint64_t pages)
{
	text_format(buffer, 24, "%lu.%lu", pages / 256, pages % 256 * 10 / 256);
	return buffer;
}

void monitor_json(struct json *j)
{
	log_print("%s\n", json_end(j));
}

struct domain *monitor_after(domid_t id)
{
	struct domain *d = NULL;

	for (unsigned i = id + 1u; i < MAX_DOMAINS && !d; i++)
		d = domain_find((domid_t)i);
	return d;
}

uint64_t monitor_vcpu_ns(const struct vcpu *v)
{
	uint64_t now = machine_ns(), since = v->started_ns;

	return v->ran_ns + (v->running && now > since ? now - since : 0);
}

uint64_t monitor_domain_ns(const struct domain *d)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < d->nr_vcpus; i++)
		ns += d->vcpus[i] ? monitor_vcpu_ns(d->vcpus[i]) : 0;
	return ns;
}

uint64_t monitor_domain_exits(const struct domain *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->nr_vcpus; i++)
		n += d->vcpus[i] ? d->vcpus[i]->exits_total : 0;
	return n;
}

void monitor_state(const struct domain *d, char out[8])
{
	bool any_running = false, all_blocked = true, waits = false;

	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		const struct vcpu *v = d->vcpus[i];

		any_running |= v && v->running;
		all_blocked &= !v || v->state == VCPU_BLOCKED || v->state == VCPU_DOWN;
		waits |= v && v->state == VCPU_MEMORY;
	}
	all_blocked &= d->shutdown == SHUTDOWN_NONE;
	text_format(out, 8, "%c%c%c%c%c%c", any_running ? 'r' : '-',
	            waits         ? 'm'
	            : all_blocked ? 'b'
	                          : '-',
	            d->paused ? 'p' : '-', d->shutdown != SHUTDOWN_NONE ? 's' : '-',
	            d->shutdown == SHUTDOWN_CRASH_ ? 'c' : '-', d->dying ? 'd' : '-');
}

/* ---- one command ---- */

/* Finds the words of the line; `--json` is taken out wherever it stands. */
static void split(void)
{
	const char *rest = command;
	char *word;

	run = (struct run){.key = -1};
	while (run.words < MONITOR_WORDS) {
		word = word_text[run.words];
		if (!config_next_word(&rest, word, LINEEDIT_BYTES))
			break;
		if (run.words == 0)
			run.rest = rest;
		if (!strcmp(word, "--json"))
			run.json = true;
		else
			run.word[run.words++] = word;
	}
}

static void prompt_show(void)
{
	char line[LINEEDIT_BYTES + sizeof(PROMPT)];

	text_format(line, sizeof(line), PROMPT "%s", edit.text);
	log_prompt(line, strlen(PROMPT) + edit.cursor);
}

/* The word is typed text: only letters and - reach a tagged line. */
static void done(const char *verb, int status)
{
	char name[24];
	size_t n = 0;

	for (; *verb && n + 1 < sizeof(name); verb++)
		name[n++] = (*verb >= 'a' && *verb <= 'z') || *verb == '-' ? *verb : '?';
	name[n] = '\0';
	log_tag("done status=%d command=%s", status, n ? name : "?");
	running = false;
	prompt_show();
}

static bool unknown(void)
{
	const struct verb *near = monitor_nearest(run.word[0]);

	if (near)
		log_print("There is no command `%s`; did you mean `%s`?\n", run.word[0],
		          near->name);
	else
		log_print("There is no command `%s`; `help` lists them.\n", run.word[0]);
	done(run.word[0], 1);
	return false;
}

static bool check_words(void)
{
	int given = run.words - 1;

	if (given >= run.verb->least && given <= run.verb->most)
		return true;
	log_print("usage: %s %s\n   eg: %s\n", run.verb->name, run.verb->arguments,
	          run.verb->example);
	done(run.verb->name, 1);
	return false;
}

/* A line was entered. */
static void begin(void)
{
	memcpy(command, edit.text, sizeof(command));
	lineedit_next(&edit);
	log_prompt(NULL, 0);
	split();
	if (!run.words) {
		prompt_show();
		return;
	}
	run.verb = monitor_verb(run.word[0]);
	running = run.verb ? check_words() : unknown();
}

bool monitor_turn_over(void)
{
	return machine_ns() - turn_began >= TURN_NS;
}

static void turn(void)
{
	turn_began = machine_ns();
	run.later = false;
	if (run.interrupted && !run.verb->keys) {
		if (run.cancel)
			run.cancel();
		log_focus(0);
		done(run.verb->name, 130); /* as a shell says of Ctrl-C */
		return;
	}
	if (run.verb->step(&run)) {
		done(run.verb->name, run.status);
		return;
	}
	run.calls++;
	run.key = -1;
}

/* ---- completion ---- */

struct completion {
	const char *start; /* what was typed of the word */
	size_t length;
	char common[LINEEDIT_BYTES]; /* what all candidates begin with */
	unsigned count;
	char listing[1024]; /* all candidates, as many as fit */
};

static void offer(struct completion *c, const char *candidate)
{
	size_t n = 0;

	if (strncmp(candidate, c->start, c->length))
		return;
	n = strlen(c->listing);
	text_format(c->listing + n, sizeof(c->listing) - n, "%s  ", candidate);
	n = 0;
	if (c->count++ == 0) {
		text_format(c->common, sizeof(c->common), "%s", candidate);
		return;
	}
	while (c->common[n] && c->common[n] == candidate[n])
		n++;
	c->common[n] = '\0';
}

static void offer_domain(struct domain *d, void *arg)
{
	offer(arg, d->name);
}

/* Verbs for the first word and after `help`, else names of domains. */
static void offer_all(struct completion *c, bool verbs)
{
	c->count = 0;
	for (unsigned i = 0; verbs && i < monitor_nr_verbs; i++)
		offer(c, monitor_verbs[i].name);
	if (!verbs)
		domain_each(offer_domain, c);
}

static void complete(void)
{
	struct completion c = {.start = edit.text};
	size_t at = edit.cursor;
	bool verbs;

	while (at && edit.text[at - 1] != ' ')
		at--;
	verbs = !at || !strncmp(edit.text, "help ", 5);
	c.start = edit.text + at;
	c.length = edit.cursor - at;
	offer_all(&c, verbs);
	if (!c.count)
		return;
	if (strlen(c.common) > c.length || c.count == 1) {
		char more[LINEEDIT_BYTES + 1];

		text_format(more, sizeof(more), "%s%s", c.common + c.length,
		            c.count == 1 ? " " : "");
		lineedit_insert(&edit, more);
	} else {
		log_prompt(NULL, 0);
		c.listing[0] = '\0';
		offer_all(&c, verbs);
		log_print("%s\n", c.listing);
	}
	prompt_show();
}

/* ---- what is typed ---- */

static void take(unsigned char c)
{
	switch (lineedit_byte(&edit, c)) {
	case LINEEDIT_CHANGED:
		prompt_show();
		break;
	case LINEEDIT_LINE:
		begin();
		break;
	case LINEEDIT_COMPLETE:
		complete();
		break;
	case LINEEDIT_CANCEL:
		log_prompt(NULL, 0);
		prompt_show();
		break;
	case LINEEDIT_NONE:
		break;
	}
}

/* A byte came while a command runs. What it does not want waits for the prompt. */
static void keep(unsigned char c)
{
	if (c == CTRL_C) {
		run.interrupted = true;
		ahead_read = ahead_write;
	} else if (run.verb->keys) {
		run.key = c;
	} else if (ahead_write - ahead_read < TYPED_AHEAD) {
		ahead[ahead_write++ % TYPED_AHEAD] = c;
	}
}

static int typed(void)
{
	if (!running && ahead_read != ahead_write)
		return ahead[ahead_read++ % TYPED_AHEAD];
	return machine_getc();
}

bool monitor_poll(void)
{
	int c;

	if (!started) {
		started = true;
		log_print("(quire) the monitor listens; `help` lists its commands\n");
		prompt_show();
	}
	for (unsigned i = 0; i < BYTES_A_TURN && (c = typed()) >= 0; i++) {
		if (running)
			keep((unsigned char)c);
		else
			take((unsigned char)c);
		if (running && run.verb->keys && run.key >= 0)
			break; /* one key a turn */
	}
	if (running)
		turn();
	return running && !run.later;
}
