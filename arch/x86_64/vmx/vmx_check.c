/* SPDX-License-Identifier: MIT */
/*
 * Would the CPU enter this VMCS? Our own copy of the SDM's checks (vol. 3,
 * chapter 26.2 and 26.3), a row each, so that when an entry is refused the
 * rule can be named: the CPU itself says only "invalid guest state". It also
 * tells us what an emulator lets through and a real CPU would not.
 *
 * The rows are in vmx_check_controls.c (26.2.1), vmx_check_host.c (26.2.2 to
 * 26.2.4), vmx_check_guest.c (26.3.1.1, 26.3.1.3 to 26.3.1.6) and
 * vmx_check_segments.c (26.3.1.2). What takes a look at memory behind the VMCS
 * (the revision of a linked VMCS) is not checked.
 */
#include "arch/x86_64/vmx/vmx.h"

#define FIELD_NAME(field, code) [F_##field] = {#field, code},
const struct vmcs_field_name vmcs_field_names[VMCS_NR_FIELDS] = {VMCS_FIELDS(FIELD_NAME)};

bool vmx_canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

bool vmx_physical(const struct vmcs_state *s, uint64_t a)
{
	return !(a >> s->phys_bits);
}

bool vmx_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = (pat >> (8 * i)) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static const struct {
	const struct vmx_rule *rules;
	const unsigned *nr;
} parts[] = {
    {vmx_control_rules, &vmx_nr_control_rules},
    {vmx_host_rules,    &vmx_nr_host_rules   },
    {vmx_guest_rules,   &vmx_nr_guest_rules  },
    {vmx_segment_rules, &vmx_nr_segment_rules},
};

unsigned vmx_check_rules(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
		n += *parts[i].nr;
	return n;
}

const struct vmx_rule *vmx_check_rule(unsigned n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		if (n < *parts[i].nr)
			return &parts[i].rules[n];
		n -= *parts[i].nr;
	}
	return NULL;
}

static const struct vmx_rule *check_from(const struct vmcs_state *s, unsigned part)
{
	for (unsigned i = part; i < ARRAY_SIZE(parts); i++)
		for (unsigned n = 0; n < *parts[i].nr; n++)
			if (!parts[i].rules[n].holds(s, parts[i].rules[n].arg))
				return &parts[i].rules[n];
	return NULL;
}

const struct vmx_rule *vmx_check(const struct vmcs_state *s)
{
	return check_from(s, 0);
}

const struct vmx_rule *vmx_check_guest(const struct vmcs_state *s)
{
	return check_from(s, 2);
}
