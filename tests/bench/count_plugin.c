/* SPDX-License-Identifier: MIT */
/*
 * A plugin for QEMU's TCG: how many instructions a whole machine has executed
 * when a guest says "now", and how many of them were the hypervisor's.
 *
 * Time says nothing here, and the TSC counts idle time as well; this counts
 * each instruction as it is executed, of the firmware, the hypervisor and all
 * guests. What lies in lo..hi (linear addresses) is counted address by address:
 * that is Quire's image, which no kernel of ours shares a place with.
 *
 * "Now" is a NOP that no compiler makes (guests/linux/mark.S): 0f 1f 80 and a
 * displacement of "QMK" and a letter. At each, a line goes to the file `out`, of
 * what was executed before it:
 *
 *	mark LETTER total=N inside=N exits=N
 *
 * and at the end one more, with the word `end`. exits: how often the
 * instruction at `landing` was executed. profile=FILE: at the end the counts by
 * address, "ADDRESS COUNT" in hexadecimal and decimal.
 *
 * Debian packages the emulator with plugins enabled, but not their header; the
 * declarations are from QEMU's documentation, version 1 of the interface.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef uint64_t plugin_id;
typedef void tb_trans_fn(plugin_id id, struct qemu_plugin_tb *tb);
typedef void exec_fn(unsigned vcpu, void *arg);
typedef void exit_fn(plugin_id id, void *arg);
enum { OP_ADD_U64 = 0, NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, tb_trans_fn *fn);
void qemu_plugin_register_atexit_cb(plugin_id id, exit_fn *fn, void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *word,
                                                uint64_t value);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_fn *fn, int flags,
                                            void *arg);
int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);

extern int qemu_plugin_version;
int qemu_plugin_version = 1;

static const uint8_t mark[] = {0x0f, 0x1f, 0x80, 'Q', 'M', 'K'}; /* and the letter */

static uint64_t outside, lo, hi, landing;
static uint64_t *inside; /* a counter an address */
static FILE *out;
static const char *profile;

static uint64_t sum_inside(void)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < hi - lo; i++)
		sum += inside[i];
	return sum;
}

static void say(const char *what)
{
	uint64_t sum = sum_inside();
	uint64_t exits = landing >= lo && landing < hi ? inside[landing - lo] : 0;

	fprintf(out, "%s total=%" PRIu64 " inside=%" PRIu64 " exits=%" PRIu64 "\n", what,
	        outside + sum, sum, exits);
	fflush(out);
}

static void on_mark(unsigned vcpu, void *letter)
{
	char what[] = "mark ?";

	(void)vcpu;
	what[5] = (char)(uintptr_t)letter;
	say(what);
}

static bool is_mark(const struct qemu_plugin_insn *insn, char *letter)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != sizeof(mark) + 1 || memcmp(bytes, mark, sizeof(mark)))
		return false;
	*letter = (char)bytes[sizeof(mark)];
	return true;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb)
{
	char letter;

	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t at = qemu_plugin_insn_vaddr(insn);
		uint64_t *word = at >= lo && at < hi ? &inside[at - lo] : &outside;

		qemu_plugin_register_vcpu_insn_exec_inline(insn, OP_ADD_U64, word, 1);
		if (is_mark(insn, &letter))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, NO_REGISTERS,
			                                       (void *)(uintptr_t)letter);
	}
}

static void on_end(plugin_id id, void *arg)
{
	FILE *file = profile ? fopen(profile, "w") : NULL;

	(void)id;
	(void)arg;
	say("end");
	for (uint64_t i = 0; file && i < hi - lo; i++)
		if (inside[i])
			fprintf(file, "%" PRIx64 " %" PRIu64 "\n", lo + i, inside[i]);
	if (file)
		fclose(file);
}

/* name=value, as QEMU passes them on. */
static bool take(const char *argument)
{
	const char *value = strchr(argument, '=');

	if (!value++)
		return false;
	if (!strncmp(argument, "out=", 4))
		out = fopen(value, "w");
	else if (!strncmp(argument, "profile=", 8))
		profile = strdup(value);
	else if (!strncmp(argument, "lo=", 3))
		lo = strtoull(value, NULL, 0);
	else if (!strncmp(argument, "hi=", 3))
		hi = strtoull(value, NULL, 0);
	else if (!strncmp(argument, "landing=", 8))
		landing = strtoull(value, NULL, 0);
	else
		return false;
	return true;
}

int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (!take(argv[i])) {
			fprintf(stderr, "count plugin: what is \"%s\"?\n", argv[i]);
			return 1;
		}
	inside = calloc(hi - lo + 1, sizeof(*inside));
	if (!out || hi < lo || !inside) {
		fprintf(stderr, "count plugin: out=FILE is missing or cannot be written, or "
		                "lo..hi is no range\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
