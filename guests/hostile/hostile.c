/* SPDX-License-Identifier: MIT */
/*
 * hostile: can a guest harm anything but itself?
 *
 * Specification: every attack in the tables has its expected outcome in its
 * row: an exception of the guest, an error number, or nothing at all. None
 * stops the hypervisor, changes another domain (a fill guest runs beside it and
 * checks), or changes this guest where it did not write. The guest reports one
 * test for each row and powers off.
 *
 * An attack that must end the guest is a run of its own, `attack=NAME`; the
 * names and the reasons for which the hypervisor must stop the guest stand in
 * tests/boot/hostile.tsv. A guest that goes on behind such an attack says so
 * with "not ok".
 *
 * Options: attack=NAME  vcpus=2 (the races)  only=GROUP
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/clock.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define OWN_PAGES 64u

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
    {"instructions", attack_instructions},
    {"registers",    attack_registers   },
    {"msrs",         attack_msrs        },
    {"apic",         attack_apic        },
    {"cpuid",        attack_cpuid       },
    {"ports",        attack_ports       },
    {"calls",        attack_calls       },
    {"balloon",      attack_balloon     },
    {"tables",       attack_tables      },
    {"user",         attack_user        },
    {"compat",       attack_compat      },
    {"console",      attack_console     },
    {"rings",        attack_rings       },
    {"race",         attack_race        },
};

void attack_judge(const char *group, const char *name, int vector, uint32_t expected)
{
	uint32_t got = vector == TRAP_NONE ? NOTHING : 1u << (vector & 31);

	if (!tap_ok(got & expected, "%s: %s", group, name))
		tap_diag("%s came, allowed were %x", trap_name(vector), expected);
}

void attack_all(const char *group, const struct attack *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		attack_judge(group, rows[i].name, trap_vector(rows[i].run, NULL), rows[i].expected);
}

/* Memory that no attack writes: what it holds at the end is what it held. */
static uint8_t *own_prepare(void)
{
	uint8_t *own = memory_take(OWN_PAGES);

	for (unsigned i = 0; i < OWN_PAGES; i++)
		pattern_fill(own + i * PAGE_SIZE, 0x4057 + i % 8);
	return own;
}

static void own_check(const uint8_t *own)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < OWN_PAGES; i++)
		bad += !pattern_verify(own + i * PAGE_SIZE, 0x4057 + i % 8, "own memory");
	tap_is(bad, 0, "memory that nobody attacked is as it was");
}

void guest_main(void)
{
	const uint8_t *own = own_prepare();

	if (attack_end())
		return;
	clock_init();
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (!option_flag("only") || option_is("only", groups[i].name))
			groups[i].run();
	own_check(own);
}
