/* SPDX-License-Identifier: MIT */
/*
 * The modules that the boot loader put into memory. By the first word of the
 * module's command line, or by what is in it:
 *
 *	bundle			a cpio archive: quire.cfg and the files that it names
 *	config			a config file
 *	kernel name=a ...	one domain: this kernel, the other words as in a config
 *	ramdisk name=a		the ramdisk of that domain
 *
 * Modules stay mapped for good, so a file is a name and a pointer.
 */
#include "kernel/bundle.h"

#include "kernel/cpio.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define CONFIG_FILE_NAME "quire.cfg"
#define NAME_BYTES       64

struct file {
	char name[NAME_BYTES];
	const void *data;
	uint64_t bytes;
};

static struct file files[BUNDLE_MAX_FILES];
static unsigned nr_files;

/* All that bundle_open's helpers need. */
struct opening {
	struct config_list *list;
	const struct config_sink *sink;
	unsigned errors;
};

static void complain(struct opening *o, const char *fmt, ...) printf_like(2, 3);

static void complain(struct opening *o, const char *fmt, ...)
{
	char sentence[300];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	o->errors++;
	o->sink->complain(o->sink->arg, sentence);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct file *find(const char *name)
{
	for (unsigned i = 0; i < nr_files; i++)
		if (!strcmp(files[i].name, base_name(name)))
			return &files[i];
	return NULL;
}

bool bundle_find(const char *name, const void **data, uint64_t *bytes)
{
	struct file *f = find(name);

	if (!f)
		return false;
	*data = f->data;
	*bytes = f->bytes;
	return true;
}

const char *bundle_name(unsigned i)
{
	return i < nr_files ? files[i].name : NULL;
}

static void add_file(struct opening *o, const char *name, const void *data, uint64_t bytes)
{
	if (strlen(name) >= NAME_BYTES) {
		complain(o, "the file name \"%s\" is longer than %d characters", name,
		         NAME_BYTES - 1);
	} else if (find(name)) {
		complain(o, "there are two files \"%s\"; the second one is not used", name);
	} else if (nr_files == BUNDLE_MAX_FILES) {
		complain(o, "there are more than %u files; \"%s\" is not used", BUNDLE_MAX_FILES,
		         name);
	} else {
		text_format(files[nr_files].name, NAME_BYTES, "%s", name);
		files[nr_files].data = data;
		files[nr_files++].bytes = bytes;
	}
}

static void add_config(struct opening *o, const char *name, const void *text, uint64_t bytes)
{
	o->errors += config_parse(name, text, bytes, o->list, o->sink);
}

static void add_archive(struct opening *o, const struct boot_module *m)
{
	struct cpio_reader r = cpio_open(m->data, m->bytes);
	struct cpio_file f;

	while (cpio_next(&r, &f)) {
		if (!strcmp(f.name, CONFIG_FILE_NAME))
			add_config(o, f.name, f.data, f.bytes);
		else
			add_file(o, f.name, f.data, f.bytes);
	}
	if (r.error)
		complain(o, "the bundle cannot be read to its end: %s", r.error);
}

/* `kernel name=a memory=64 ...`: the module is the kernel. */
static void add_kernel(struct opening *o, const struct boot_module *m, unsigned number,
                       const char *words)
{
	char name[NAME_BYTES], where[32];

	text_format(where, sizeof(where), "boot module %u", number);
	text_format(name, sizeof(name), "kernel of module %u", number);
	if (o->list->n == o->list->max) {
		complain(o, "%s: there are more than %u domains", where, o->list->max);
		return;
	}
	if (!config_parse_words(where, words, name, &o->list->at[o->list->n], o->sink)) {
		o->errors++;
		return;
	}
	add_file(o, name, m->data, m->bytes);
	o->list->n++;
}

/* `ramdisk name=a`: goes to the domain that was described with that name. */
static void add_ramdisk(struct opening *o, const struct boot_module *m, unsigned number,
                        const char *words)
{
	char word[80], name[NAME_BYTES];
	struct domain_config *c = NULL;

	if (config_next_word(&words, word, sizeof(word)) && !strncmp(word, "name=", 5))
		for (unsigned i = 0; i < o->list->n; i++)
			if (!strcmp(o->list->at[i].name, word + 5))
				c = &o->list->at[i];
	if (!c) {
		complain(o,
		         "boot module %u: `ramdisk name=NAME` must name a domain whose kernel "
		         "came before it",
		         number);
		return;
	}
	text_format(name, sizeof(name), "ramdisk of module %u", number);
	text_format(c->ramdisk, sizeof(c->ramdisk), "%s", name);
	add_file(o, name, m->data, m->bytes);
}

static void add_module(struct opening *o, const struct boot_module *m, unsigned number)
{
	const char *words = m->cmdline;
	char kind[32];

	config_next_word(&words, kind, sizeof(kind));
	if (!strcmp(kind, "kernel"))
		add_kernel(o, m, number, words);
	else if (!strcmp(kind, "ramdisk"))
		add_ramdisk(o, m, number, words);
	else if (!strcmp(kind, "config"))
		add_config(o, "config", m->data, m->bytes);
	else if (cpio_is(m->data, m->bytes))
		add_archive(o, m);
	else if (!strcmp(kind, "bundle"))
		complain(o,
		         "boot module %u is called a bundle, but is no cpio archive (tools/pack "
		         "makes one)",
		         number);
	else
		complain(o,
		         "boot module %u is not used: its command line should begin with "
		         "bundle, config, kernel or ramdisk",
		         number);
}

unsigned bundle_open(const struct boot_info *bi, struct config_list *list,
                     const struct config_sink *sink)
{
	struct opening o = {.list = list, .sink = sink};

	nr_files = 0;
	for (unsigned i = 0; i < bi->nr_modules; i++)
		add_module(&o, &bi->modules[i], i + 1);
	return o.errors;
}
