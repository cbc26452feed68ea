/* SPDX-License-Identifier: MIT */
/*
 * Checks on the guest's segment registers at VM entry: SDM vol. 3, 26.3.1.2.
 * See vmx_check.c. The argument of each rule is a segment, SEG_ES .. SEG_TR.
 */
#include "arch/x86_64/vmx/vmx.h"

#define RULE(f) static bool f(const struct vmcs_state *s, unsigned seg)

#define TI  BIT(2)
#define RPL BITS(1, 0)

static uint64_t selector(const struct vmcs_state *s, unsigned seg)
{
	return s->f[F_GUEST_ES_SELECTOR + seg];
}

static uint64_t base(const struct vmcs_state *s, unsigned seg)
{
	return s->f[F_GUEST_ES_BASE + seg];
}

static uint64_t limit(const struct vmcs_state *s, unsigned seg)
{
	return s->f[F_GUEST_ES_LIMIT + seg];
}

static uint64_t ar(const struct vmcs_state *s, unsigned seg)
{
	return s->f[F_GUEST_ES_AR + seg];
}

static unsigned dpl(const struct vmcs_state *s, unsigned seg)
{
	return AR_DPL(ar(s, seg));
}

static unsigned type(const struct vmcs_state *s, unsigned seg)
{
	return AR_TYPE(ar(s, seg));
}

/* CS and TR are looked at always, the others only while usable. */
static bool looked_at(const struct vmcs_state *s, unsigned seg)
{
	return seg == SEG_CS || seg == SEG_TR || !(ar(s, seg) & AR_UNUSABLE);
}

static bool v86(const struct vmcs_state *s)
{
	return s->f[F_GUEST_RFLAGS] & BIT(17);
}

static bool unrestricted(const struct vmcs_state *s)
{
	return vmx_proc2(s, PROC2_UNRESTRICTED);
}

static bool long_mode(const struct vmcs_state *s)
{
	return s->f[F_ENTRY_CONTROLS] & ENTRY_CTL_GUEST_64;
}

/* In virtual-8086 mode the six ordinary segments have rules of their own. */
static bool normal(const struct vmcs_state *s, unsigned seg)
{
	return looked_at(s, seg) && (!v86(s) || seg >= SEG_LDTR);
}

/* ---- selectors ---- */

RULE(table_global)
{
	return !looked_at(s, seg) || !(selector(s, seg) & TI);
}

RULE(ss_rpl)
{
	return v86(s) || unrestricted(s) || (selector(s, seg) & RPL) == (selector(s, SEG_CS) & RPL);
}

/* ---- bases and limits ---- */

RULE(v86_base)
{
	return !v86(s) || base(s, seg) == (selector(s, seg) & 0xffff) << 4;
}

RULE(base_canonical)
{
	return !looked_at(s, seg) || vmx_canonical(base(s, seg));
}

/* FS and GS are checked even when unusable. */
RULE(base_canonical_always)
{
	return vmx_canonical(base(s, seg));
}

RULE(base_32)
{
	return !looked_at(s, seg) || !(base(s, seg) >> 32);
}

RULE(v86_limit)
{
	return !v86(s) || limit(s, seg) == 0xffff;
}

/* ---- access rights ---- */

RULE(v86_rights)
{
	return !v86(s) || ar(s, seg) == 0xf3;
}

RULE(cs_type)
{
	unsigned t = type(s, seg);

	if (!normal(s, seg))
		return true;
	return t == 9 || t == 11 || t == 13 || t == 15 || (t == 3 && unrestricted(s));
}

RULE(ss_type)
{
	return !normal(s, seg) || type(s, seg) == 3 || type(s, seg) == 7;
}

RULE(data_accessed)
{
	return !normal(s, seg) || (type(s, seg) & 1);
}

RULE(data_readable)
{
	return !normal(s, seg) || !(type(s, seg) & 8) || (type(s, seg) & 2);
}

RULE(not_system)
{
	return !normal(s, seg) || (ar(s, seg) & AR_S);
}

RULE(cs_dpl_data)
{
	return !normal(s, seg) || type(s, seg) != 3 || dpl(s, seg) == 0;
}

RULE(cs_dpl_plain)
{
	unsigned t = type(s, seg);

	return !normal(s, seg) || (t != 9 && t != 11) || dpl(s, seg) == dpl(s, SEG_SS);
}

RULE(cs_dpl_conforming)
{
	unsigned t = type(s, seg);

	return !normal(s, seg) || (t != 13 && t != 15) || dpl(s, seg) <= dpl(s, SEG_SS);
}

RULE(ss_dpl_rpl)
{
	return v86(s) || unrestricted(s) || dpl(s, seg) == (selector(s, seg) & RPL);
}

RULE(ss_dpl_real)
{
	bool real = !(s->f[F_GUEST_CR0] & 1), data_code = type(s, SEG_CS) == 3;

	return v86(s) || (!real && !data_code) || dpl(s, seg) == 0;
}

RULE(data_dpl)
{
	if (!normal(s, seg) || unrestricted(s) || type(s, seg) > 11)
		return true;
	return dpl(s, seg) >= (selector(s, seg) & RPL);
}

RULE(present)
{
	return !normal(s, seg) || (ar(s, seg) & AR_P);
}

RULE(reserved_low)
{
	return !normal(s, seg) || !(ar(s, seg) & BITS(11, 8));
}

RULE(cs_long_or_32)
{
	return !normal(s, seg) || !long_mode(s) || !(ar(s, seg) & AR_L) || !(ar(s, seg) & AR_DB);
}

RULE(granularity_off)
{
	return !normal(s, seg) || (limit(s, seg) & 0xfff) == 0xfff || !(ar(s, seg) & AR_G);
}

RULE(granularity_on)
{
	return !normal(s, seg) || !(limit(s, seg) >> 20) || (ar(s, seg) & AR_G);
}

RULE(reserved_high)
{
	return !normal(s, seg) || !(ar(s, seg) >> 17);
}

RULE(tr_type)
{
	unsigned t = type(s, seg);

	return t == 11 || (t == 3 && !long_mode(s));
}

RULE(tr_usable)
{
	return !(ar(s, seg) & AR_UNUSABLE);
}

RULE(ldtr_type)
{
	return !looked_at(s, seg) || type(s, seg) == 2;
}

RULE(system)
{
	return !looked_at(s, seg) || !(ar(s, seg) & AR_S);
}

/* clang-format off */
#define SDM "26.3.1.2"
#define SIX(rule, text)                                                                            \
	{SDM, "CS: " text, rule, SEG_CS}, {SDM, "SS: " text, rule, SEG_SS},                        \
	{SDM, "DS: " text, rule, SEG_DS}, {SDM, "ES: " text, rule, SEG_ES},                        \
	{SDM, "FS: " text, rule, SEG_FS}, {SDM, "GS: " text, rule, SEG_GS}
#define DATA(rule, text)                                                                           \
	{SDM, "DS: " text, rule, SEG_DS}, {SDM, "ES: " text, rule, SEG_ES},                        \
	{SDM, "FS: " text, rule, SEG_FS}, {SDM, "GS: " text, rule, SEG_GS}
#define BOTH(rule, text) {SDM, "TR: " text, rule, SEG_TR}, {SDM, "LDTR: " text, rule, SEG_LDTR}

const struct vmx_rule vmx_segment_rules[] = {
	BOTH(table_global, "the selector is not in the LDT"),
	{SDM, "SS: RPL equals that of CS", ss_rpl, SEG_SS},

	SIX(v86_base, "virtual-8086 base is the selector times 16"),
	BOTH(base_canonical, "the base is canonical"),
	{SDM, "FS: the base is canonical", base_canonical_always, SEG_FS},
	{SDM, "GS: the base is canonical", base_canonical_always, SEG_GS},
	{SDM, "CS: base bits 63:32 are 0", base_32, SEG_CS},
	{SDM, "SS: base bits 63:32 are 0", base_32, SEG_SS},
	{SDM, "DS: base bits 63:32 are 0", base_32, SEG_DS},
	{SDM, "ES: base bits 63:32 are 0", base_32, SEG_ES},

	SIX(v86_limit, "virtual-8086 limit is FFFFh"),
	SIX(v86_rights, "virtual-8086 access rights are F3h"),

	{SDM, "CS: the type is accessed code, or 3 in an unrestricted guest", cs_type, SEG_CS},
	{SDM, "SS: the type is 3 or 7", ss_type, SEG_SS},
	DATA(data_accessed, "the type is accessed"),
	DATA(data_readable, "a code type is readable"),
	SIX(not_system, "S is 1"),
	{SDM, "CS: DPL is 0 with type 3", cs_dpl_data, SEG_CS},
	{SDM, "CS: DPL equals that of SS, not conforming", cs_dpl_plain, SEG_CS},
	{SDM, "CS: DPL is not above that of SS, conforming", cs_dpl_conforming, SEG_CS},
	{SDM, "SS: DPL equals RPL", ss_dpl_rpl, SEG_SS},
	{SDM, "SS: DPL is 0 in real mode or with CS type 3", ss_dpl_real, SEG_SS},
	DATA(data_dpl, "DPL is not below RPL"),
	SIX(present, "P is 1"),
	SIX(reserved_low, "bits 11:8 are 0"),
	{SDM, "CS: L and D are not both 1", cs_long_or_32, SEG_CS},
	SIX(granularity_off, "G is 0 where the limit's bits 11:0 are not all 1"),
	SIX(granularity_on, "G is 1 where the limit needs it"),
	SIX(reserved_high, "bits 31:17 are 0"),

	{SDM, "TR: the type is a busy TSS", tr_type, SEG_TR},
	BOTH(system, "S is 0"),
	BOTH(present, "P is 1"),
	BOTH(reserved_low, "bits 11:8 are 0"),
	BOTH(granularity_off, "G is 0 where the limit's bits 11:0 are not all 1"),
	BOTH(granularity_on, "G is 1 where the limit needs it"),
	BOTH(reserved_high, "bits 31:17 are 0"),
	{SDM, "TR: it is usable", tr_usable, SEG_TR},
	{SDM, "LDTR: the type is 2", ldtr_type, SEG_LDTR},
};
/* clang-format on */
const unsigned vmx_nr_segment_rules = ARRAY_SIZE(vmx_segment_rules);
