/* SPDX-License-Identifier: MIT */
#include "guests/bench/samples.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

static uint64_t samples[SAMPLES], empty;

void sample_init(void)
{
	empty = UINT64_MAX;
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t t = rdtsc();

		t = rdtsc() - t;
		empty = t < empty ? t : empty;
	}
}

void sample_take(unsigned i, uint64_t ticks)
{
	samples[i] = ticks > empty ? ticks - empty : 0;
}

static void sort(uint64_t *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		uint64_t x = v[i];
		unsigned k = i;

		for (; k > 0 && v[k - 1] > x; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

void sample_report(const char *name, unsigned n, uint64_t each)
{
	sort(samples, n);
	for (unsigned i = 0; i < n; i++)
		samples[i] /= each;
	tap_diag("bench name=%s value=%lu min=%lu max=%lu runs=%u", name, samples[n / 2],
	         samples[0], samples[n - 1], n);
	tap_ok(samples[n / 2] > 0, "%s was measured", name);
}
