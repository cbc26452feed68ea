/* SPDX-License-Identifier: MIT */
/*
 * Which hash, and which layout of the index: the native measurement behind
 * mm/hash.c and mm/index.c (docs/hash-and-index.md has the decision).
 *
 * Only ratios within one run count: each round times every candidate in turn over
 * the same cold memory, and divides by a plain read of that memory. Built
 * -mgeneral-regs-only, as the hypervisor is. Instructions are counted by single steps.
 *
 *	bench-hash OUTPUT.jsonl [MIB [ROUNDS]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mm/core.h"
#include "mm/hash.h"
#include "mm/index.h"

#define WORDS      (PAGE_SIZE / 8)
#define MAX_ROUNDS 99

typedef unsigned __int128 u128;

/* ---- the world under mm/hash.c and mm/index.c ---- */

struct mm_core mm;
/* Of the hypervisor's stack protector (-mstack-protector-guard=global). */
uintptr_t __stack_chk_guard = 0x5bd1e995a5a5a500u;
static struct space owner = {.domid = 1, .share_group = 1};
static uint64_t random_state = 88172645463325252u;

uint64_t env_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

struct space *space_find(domid_t domid)
{
	return domid == 1 ? &owner : NULL;
}

void lock_take(struct spinlock *l, unsigned rank)
{
	(void)rank;
	spin_lock(l);
}

void lock_drop(struct spinlock *l, unsigned rank)
{
	(void)rank;
	spin_unlock(l);
}

void env_relax(void)
{
}

void env_panic(const char *fmt, ...)
{
	fputs(fmt, stderr);
	abort();
}

/* ---- candidates: a page to 64 bits ---- */

static uint64_t key[2 * WORDS];
static u128 key128[WORDS + 1];

static uint64_t read_page(const uint64_t *m)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (unsigned i = 0; i < WORDS; i += 8) { /* one word of each line */
		a += m[i];
		b += m[i + 2];
		c += m[i + 4];
		d += m[i + 6];
	}
	return a + b + c + d;
}

static uint64_t nh(const uint64_t *m)
{
	struct hash_sum s = hash_page(m);

	return hash_sum_fold(s);
}

/* Multilinear with 128-bit keys: strongly universal by itself, twice the products and more. */
static uint64_t multilinear(const uint64_t *m)
{
	u128 sum = key128[WORDS];

	for (unsigned i = 0; i < WORDS; i++)
		sum += key128[i] * m[i];
	return (uint64_t)(sum >> 64);
}

/* Multilinear over 32-bit words with 64-bit keys: 32 bits, proven, one stage. */
static uint64_t multilinear32(const uint64_t *m)
{
	uint64_t sum = 1;

	for (unsigned i = 0; i < WORDS; i++)
		sum += key[2 * i] * (uint32_t)m[i] + key[2 * i + 1] * (m[i] >> 32);
	return sum >> 32;
}

static uint64_t mum_mix(uint64_t a, uint64_t b)
{
	u128 p = (u128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Multiply and fold (as wyhash): fast, no proof; a zero factor loses the other one. */
static uint64_t mum(const uint64_t *m)
{
	uint64_t h = key[0], g = key[1];

	for (unsigned i = 0; i < WORDS; i += 4) {
		h = mum_mix(m[i] ^ key[2], m[i + 1] ^ h);
		g = mum_mix(m[i + 2] ^ key[3], m[i + 3] ^ g);
	}
	return h ^ g;
}

#define XXH_P1 UINT64_C(0x9E3779B185EBCA87)
#define XXH_P2 UINT64_C(0xC2B2AE3D27D4EB4F)

static uint64_t xxh_round(uint64_t acc, uint64_t v)
{
	acc += v * XXH_P2;
	return (acc << 31 | acc >> 33) * XXH_P1;
}

/* The inner loop of xxHash64, which KSM uses; no secret key. */
static uint64_t xxh64_like(const uint64_t *m)
{
	uint64_t a = XXH_P1, b = XXH_P2, c = 0, d = 1;

	for (unsigned i = 0; i < WORDS; i += 4) {
		a = xxh_round(a, m[i]);
		b = xxh_round(b, m[i + 1]);
		c = xxh_round(c, m[i + 2]);
		d = xxh_round(d, m[i + 3]);
	}
	return a ^ b ^ c ^ d;
}

static const struct candidate {
	const char *name;
	uint64_t (*page)(const uint64_t *m);
	bool proven;
} candidates[] = {
    {"read",           read_page,     false},
    {"nh",             nh,            true },
    {"multilinear128", multilinear,   true },
    {"multilinear32",  multilinear32, true },
    {"mum",            mum,           false},
    {"xxh64",          xxh64_like,    false},
};
#define CANDIDATES ARRAY_SIZE(candidates)

/* ---- measuring ---- */

static volatile uint64_t sink;
static FILE *out;
static char conditions[256];

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int order_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, const char *unit, double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), order_double);
	printf("%-28s %9.3f %9.3f %9.3f  %s\n", name, v[0], v[n / 2], v[n - 1], unit);
	fprintf(out,
	        "{\"schema\":1,\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"min\":%.4f,"
	        "\"max\":%.4f,\"runs\":%u,\"conditions\":\"%s\"}\n",
	        name, v[n / 2], unit, v[0], v[n - 1], n, conditions);
}

/* Instructions of one call, by single steps of a child. */
static uint64_t count_steps(uint64_t (*f)(const uint64_t *), const uint64_t *page)
{
	uint64_t steps = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		sink = f ? f(page) : 0;
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(child, &status, 0);
	do {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL))
			break;
		waitpid(child, &status, 0);
		steps++;
	} while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return steps;
}

static void count_instructions(const uint64_t *page)
{
	uint64_t nothing = count_steps(NULL, page);

	for (unsigned c = 0; c < CANDIDATES; c++) {
		char name[64];
		double n = (double)(count_steps(candidates[c].page, page) - nothing);

		snprintf(name, sizeof(name), "%s.instructions", candidates[c].name);
		report(name, "instructions/page", &n, 1);
	}
}

static double time_pages(const struct candidate *c, const uint64_t *memory, uint64_t pages)
{
	double begin = seconds();
	uint64_t h = 0;

	for (uint64_t p = 0; p < pages; p++) {
		const char *next = (const char *)(memory + (p + 1) * WORDS);

		if (c->page != read_page && p + 1 < pages)
			for (unsigned line = 0; line < PAGE_SIZE; line += 64)
				__builtin_prefetch(next + line);
		h += c->page(memory + p * WORDS);
	}
	sink = h;
	return seconds() - begin;
}

static void bench_hashes(const uint64_t *memory, uint64_t pages, unsigned rounds, bool warm)
{
	double ratio[CANDIDATES][MAX_ROUNDS], base[MAX_ROUNDS];
	uint64_t some = warm ? 64 : pages, repeat = warm ? pages / 64 : 1;

	for (unsigned r = 0; r < rounds; r++)
		for (unsigned c = 0; c < CANDIDATES; c++) {
			double t = 0;

			for (uint64_t i = 0; i < repeat; i++)
				t += time_pages(&candidates[c], memory, some);
			if (c == 0)
				base[r] = t;
			ratio[c][r] = t / base[r];
		}
	for (unsigned c = 1; c < CANDIDATES; c++) {
		char name[64];

		snprintf(name, sizeof(name), "%s.%s", candidates[c].name, warm ? "warm" : "cold");
		report(name, warm ? "x warm read" : "x cold read", ratio[c], rounds);
	}
	for (unsigned r = 0; r < rounds; r++)
		base[r] = base[r] * 1e9 / (double)(some * repeat);
	report(warm ? "read.warm" : "read.cold", "ns/page", base, rounds);
}

/* ---- index layouts ---- */

/* Buckets of four {fingerprint, frame} in a line half, linear to the next bucket when full. */
struct slot4 {
	uint32_t fingerprint[4], mfn[4];
};

static struct slot4 *table4;
static uint64_t table4_mask;

static bool open_insert(uint32_t fingerprint, uint32_t mfn)
{
	for (uint64_t b = fingerprint & table4_mask;; b = (b + 1) & table4_mask)
		for (unsigned i = 0; i < 4; i++)
			if (!table4[b].mfn[i]) {
				table4[b].fingerprint[i] = fingerprint;
				table4[b].mfn[i] = mfn;
				return true;
			}
}

static uint32_t open_lookup(uint32_t fingerprint)
{
	for (uint64_t b = fingerprint & table4_mask;; b = (b + 1) & table4_mask)
		for (unsigned i = 0; i < 4; i++) {
			if (!table4[b].mfn[i])
				return 0;
			if (table4[b].fingerprint[i] == fingerprint)
				return table4[b].mfn[i];
		}
}

static uint32_t *heads;
static uint32_t *fingerprints; /* of frame i: fingerprints[i] */

static uint32_t chain_lookup(uint32_t fingerprint)
{
	uint32_t m = heads[fingerprint & table4_mask];

	while (m && mm.frames[m].fingerprint != fingerprint)
		m = mm.frames[m].link;
	return m;
}

static uint32_t index_lookup_one(uint32_t fingerprint)
{
	struct index_found f = index_lookup(fingerprint, 1);

	return f.n ? (uint32_t)f.match[0].mfn.n : 0;
}

static double time_lookups(uint32_t (*f)(uint32_t), uint64_t n, bool hit)
{
	double begin = seconds();
	uint64_t x = 12345, found = 0;

	for (uint64_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		found += f(hit ? fingerprints[1 + (x >> 33) % (n - 1)] : (uint32_t)(x >> 32)) != 0;
	}
	sink = found;
	return (seconds() - begin) * 1e9 / (double)n;
}

static void bench_layouts(uint64_t n, unsigned rounds, double cold_read_ns)
{
	static const struct {
		const char *name;
		uint32_t (*f)(uint32_t);
	} layout[] = {
	    {"chain",                chain_lookup    },
	    {"open4",                open_lookup     },
	    {"index_lookup, locked", index_lookup_one}
        };
	double v[MAX_ROUNDS];

	mm.frames = calloc(n, sizeof(struct frame));
	mm.nr_frames = n;
	heads = calloc(n, sizeof(*heads));
	fingerprints = calloc(n, sizeof(*fingerprints));
	table4 = aligned_alloc(64, n / 2 * sizeof(*table4)); /* load 1/2 */
	memset(table4, 0, n / 2 * sizeof(*table4));
	index_init(heads, n);
	for (uint64_t i = 1; i < n; i++) {
		fingerprints[i] = (uint32_t)env_random();
		atomic_store(&mm.frames[i].bits, FRAME_PRIVATE);
		atomic_store(&mm.frames[i].owner, 1);
		index_insert_hint(MFN(i), fingerprints[i], 1);
		table4_mask = n / 2 - 1;
		open_insert(fingerprints[i], (uint32_t)i);
	}
	for (unsigned hit = 0; hit < 2; hit++)
		for (unsigned l = 0; l < ARRAY_SIZE(layout); l++) {
			char name[64];

			table4_mask = (layout[l].f == open_lookup ? n / 2 : n) - 1;
			for (unsigned r = 0; r < rounds; r++)
				v[r] = time_lookups(layout[l].f, n, hit) / cold_read_ns;
			snprintf(name, sizeof(name), "%s.%s", layout[l].name, hit ? "hit" : "miss");
			report(name, "x cold read", v, rounds);
		}
	v[0] = 4;
	report("chain.bytes", "bytes/frame", v, 1);
	v[0] = 16;
	report("open4.bytes", "bytes/frame", v, 1);
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 0) : 256, pages = mib * 256;
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 9;
	uint64_t *memory;
	double read[MAX_ROUNDS];

	if (argc < 2 || !(out = fopen(argv[1], "w")) || !pages || !rounds || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: bench-hash OUTPUT.jsonl [MIB [ROUNDS]]\n");
		return 1;
	}
	snprintf(conditions, sizeof(conditions),
	         "native, gcc %s -O2 -mgeneral-regs-only, one thread, %llu MiB of random pages of "
	         "4 KiB, next page prefetched, %ld CPUs",
	         __VERSION__, (unsigned long long)mib, sysconf(_SC_NPROCESSORS_ONLN));
	printf("# %s\n%-28s %9s %9s %9s\n", conditions, "#", "min", "median", "max");
	hash_init();
	for (unsigned i = 0; i < 2 * WORDS; i++)
		key[i] = env_random();
	for (unsigned i = 0; i <= WORDS; i++)
		key128[i] = (u128)env_random() << 64 | env_random();
	memory = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
	for (uint64_t i = 0; i < pages * WORDS; i++)
		memory[i] = env_random();
	count_instructions(memory);
	bench_hashes(memory, pages, rounds, false);
	bench_hashes(memory, pages, rounds, true);
	for (unsigned r = 0; r < rounds; r++)
		read[r] = time_pages(&candidates[0], memory, pages) * 1e9 / (double)pages;
	qsort(read, rounds, sizeof(*read), order_double);
	bench_layouts(1u << 20, rounds, read[rounds / 2]);
	fclose(out);
	free(memory);
	return 0;
}
