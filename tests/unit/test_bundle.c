/* SPDX-License-Identifier: MIT */
/* Boot modules: each kind is recognised, and what cannot be used is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/bundle.h"

static char said[4096];
static struct domain_config configs[8];

static void remember(void *arg, const char *sentence)
{
	(void)arg;
	strcat(said, sentence);
	strcat(said, "\n");
}

struct opened {
	unsigned domains, errors;
};

static struct opened open_modules(const struct boot_module *m, unsigned n)
{
	static struct boot_info bi;
	const struct config_sink sink = {remember, NULL};
	struct config_list list = {configs, 8, 0};
	unsigned errors;

	said[0] = '\0';
	bi.nr_modules = n;
	memcpy(bi.modules, m, n * sizeof(*m));
	errors = bundle_open(&bi, &list, &sink);
	return (struct opened){list.n, errors};
}

/* A bundle as tools/pack writes it, from a config and two files. */
static void what_pack_writes_is_read(void **state)
{
	static uint8_t archive[65536];
	struct boot_module m = {.data = archive, .cmdline = "bundle"};
	struct opened r;
	const void *data;
	uint64_t bytes;
	FILE *f;

	(void)state;
	f = popen(
	    "d=$(mktemp -d) && cd $d && printf 'name=\"a\"\\nkernel=\"sub/k.elf\"\\nmemory=4\\n"
	    "ramdisk=\"r\"\\n' > c.cfg && printf disk > r && mkdir sub && python3 -c '\n"
	    "import struct,sys\n"
	    "n=struct.pack(\"<III4sI\",4,4,18,b\"Xen\\0\",0)\n"
	    "h=b\"\\x7fELF\\1\\1\\1\"+bytes(9)+struct.pack(\"<HHIIIIIHHHHHH\",2,3,1,0,52,0,0,52,32,"
	    "2,0,0,0)\n"
	    "p=struct.pack(\"<8I\",1,0,0,0,116,116,0,0)+struct.pack(\"<8I\",4,116,0,0,20,20,0,4)\n"
	    "open(\"sub/k.elf\",\"wb\").write(h+p+n)' && \"$OLDPWD\"/tools/pack --out b c.cfg && "
	    "cat b; rm -r $d",
	    "r");
	assert_non_null(f);
	m.bytes = fread(archive, 1, sizeof(archive), f);
	assert_int_equal(pclose(f), 0);
	r = open_modules(&m, 1);
	assert_string_equal(said, "");
	assert_int_equal(r.domains, 1);
	assert_string_equal(configs[0].name, "a");
	assert_true(bundle_find(configs[0].kernel, &data, &bytes)); /* by its base name */
	assert_int_equal(bytes, 136);
	assert_true(bundle_find("r", &data, &bytes));
	assert_memory_equal(data, "disk", 4);
	assert_false(bundle_find("c.cfg", &data, &bytes));
	assert_string_equal(bundle_name(0), "k.elf");
	assert_string_equal(bundle_name(1), "r");
	assert_null(bundle_name(2));
}

static void single_modules(void **state)
{
	const struct boot_module m[] = {
	    {"KERNEL",	                                    6,  "kernel name=a memory=64 \"extra=x y\""},
	    {"DISK",	                                      4,  "ramdisk name=a"                       },
	    {"name='c'\nkernel='kernel of module 1'\nmemory=4\n", 46, "config"                               },
	};
	struct opened r = open_modules(m, 3);
	const void *data;
	uint64_t bytes;

	(void)state;
	assert_string_equal(said, "");
	assert_int_equal(r.domains, 2);
	assert_string_equal(configs[0].extra, "x y");
	assert_true(bundle_find(configs[0].kernel, &data, &bytes));
	assert_memory_equal(data, "KERNEL", 6);
	assert_true(bundle_find(configs[0].ramdisk, &data, &bytes));
	assert_memory_equal(data, "DISK", 4);
	assert_string_equal(configs[1].name, "c");
}

static void what_cannot_be_used_is_told(void **state)
{
	static const struct {
		struct boot_module m;
		const char *said;
	} rows[] = {
	    {{"x", 1, ""},
	     "boot module 1 is not used: its command line should begin with bundle, config, kernel "
	     "or "
	     "ramdisk\n"	                                                                          },
	    {{"x", 1, "bundle"},
	     "boot module 1 is called a bundle, but is no cpio archive (tools/pack makes one)\n"          },
	    {{"x", 1, "ramdisk name=a"},
	     "boot module 1: `ramdisk name=NAME` must name a domain whose kernel came before it\n"        },
	    {{"x", 1, "kernel name=a"},              "boot module 1: domain \"a\" has no `memory`\n"      },
	    {{"x", 1, "kernel name=a memory=4 x=1"}, "boot module 1: there is no key `x`\n"               },
	    {{"memory=4\n", 9, "config"},            "config:1: `memory` stands before the first `name`\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct opened r = open_modules(&rows[i].m, 1);

		assert_string_equal(said, rows[i].said);
		assert_int_equal(r.domains, 0);
		assert_true(r.errors > 0);
	}
}

/* What the packer says of a config in a folder with `k`, made by the shell command `make_k`. */
static void pack_says(const char *make_k, const char *config, const char *words)
{
	char command[600], heard_text[600] = "";
	FILE *f;

	snprintf(command, sizeof(command),
	         "d=$(mktemp -d); printf '%s' > $d/c.cfg; (cd $d; %s); "
	         "tools/pack --out $d/b $d/c.cfg 2>&1; echo \"exit $?\"; "
	         "test ! -e $d/b || echo written; rm -r $d",
	         config, make_k);
	f = popen(command, "r");
	assert_non_null(f);
	heard_text[fread(heard_text, 1, sizeof(heard_text) - 1, f)] = '\0';
	pclose(f);
	if (!strstr(heard_text, words) || !strstr(heard_text, "exit 1\n") ||
	    strstr(heard_text, "written"))
		fail_msg("`%s` is not in:\n%s", words, heard_text);
}

/* What the boot would refuse is refused by the build, with file and line, and nothing is written.
 */
static void the_packer_refuses(void **state)
{
	const char *config = "name=\"a\"\nmemory=4\nkernel=\"k\"\n";

	(void)state;
	pack_says("true", config, "c.cfg:3: there is no file \"k\" (looked in ");
	pack_says("echo hello > k", config, "c.cfg:3: \"k\" is not an ELF file");
	pack_says("head -c 100 /bin/true > k", config, "c.cfg:3: \"k\" is cut off");
	pack_says("cp /bin/true k", config, "c.cfg:3: \"k\" has no PVH entry");
	pack_says("true", "name=\"a\"\n", "c.cfg:1: domain \"a\" has no `kernel`");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_pack_writes_is_read),
	    cmocka_unit_test(single_modules),
	    cmocka_unit_test(what_cannot_be_used_is_told),
	    cmocka_unit_test(the_packer_refuses),
	};

	return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
