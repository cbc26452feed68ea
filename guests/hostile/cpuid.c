/* SPDX-License-Identifier: MIT */
/* CPUID: what is hidden stays hidden, and odd leaves are answered with nothing strange. */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

struct bit {
	uint32_t leaf, sub;
	uint8_t reg, bit; /* eax ebx ecx edx */
	const char *name;
};

static const struct bit hidden[] = {
    {1,          0, 2, 3,  "MONITOR"                     },
    {1,          0, 2, 5,  "VMX"                         },
    {1,          0, 2, 6,  "SMX"                         },
    {1,          0, 2, 24, "TSC deadline"                },
    {1,          0, 3, 7,  "machine check"               },
    {1,          0, 3, 12, "MTRR"                        },
    {1,          0, 3, 14, "machine check architecture"  },
    {1,          0, 2, 15, "PDCM"                        },
    {7,          0, 1, 14, "MPX"                         },
    {7,          0, 1, 2,  "SGX"                         },
    {7,          0, 3, 24, "AMX tiles"                   },
    {7,          0, 2, 7,  "CET shadow stacks"           },
    {7,          0, 3, 20, "CET indirect branch tracking"},
    {0x80000001, 0, 2, 2,  "SVM"                         },
    {0x80000001, 0, 2, 12, "SKINIT"                      },
    {0x80000001, 0, 2, 29, "MONITORX"                    },
};

static void hidden_bits(void)
{
	uint32_t r[4];

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		cpuid(hidden[i].leaf & 0x80000000, 0, r);
		if (r[0] < hidden[i].leaf)
			continue;
		cpuid(hidden[i].leaf, hidden[i].sub, r);
		tap_ok(!(r[hidden[i].reg] >> hidden[i].bit & 1), "CPUID hides %s", hidden[i].name);
	}
}

static void odd_leaves(void)
{
	static const uint32_t bases[] = {0,          0x20000000, 0x40000000, 0x40000100, 0x4000ff00,
	                                 0x80000000, 0x8fffff00, 0xc0000000, 0xffffff00};
	uint32_t r[4], sum = 0;

	for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (uint32_t i = 0; i < 256; i++) {
			cpuid(bases[b] + i, i * 0x01010101, r);
			sum += r[0];
		}
	tap_ok(true, "CPUID answers 2304 odd leaves (%x)", sum);
	cpuid(0x8000000a, 0, r);
	tap_is(r[0] | r[1] | r[2] | r[3], 0, "CPUID: nothing in the leaf of SVM's features");
	cpuid(0xa, 0, r);
	tap_is(r[0] & 0xff, 0, "CPUID: no performance counters");
}

void attack_cpuid(void)
{
	hidden_bits();
	odd_leaves();
}
