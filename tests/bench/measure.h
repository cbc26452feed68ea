/* SPDX-License-Identifier: MIT */
/* Clocks of the measurements, and how a figure is told: one line `NAME VALUE` on standard output.
 */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* CPU time of this thread, in ns: what other processes take is not in it. */
static inline uint64_t measure_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t measure_wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t measure_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* A cheap generator, the same in every program, so that both sides do the same. */
static inline uint64_t measure_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static inline void emit(const char *name, double value)
{
	printf("%s %.6g\n", name, value);
	fflush(stdout);
}

static inline void emit_count(const char *name, uint64_t value)
{
	printf("%s %llu\n", name, (unsigned long long)value);
	fflush(stdout);
}

#endif
