/* SPDX-License-Identifier: MIT */
/*
 * MSRs: deny by default (SDM vol. 4; APM vol. 2, appendix A). A row that reads
 * as a constant is there because a kernel reads it without being ready for #GP.
 */
#include "arch/x86_64/guest/msr.h"

#define ROW(number, r, w, ...)                                                                     \
	{                                                                                          \
		.msr = (number), .read = MSR_READ_##r, .write = MSR_WRITE_##w, __VA_ARGS__         \
	}

/* In ascending order. */
const struct msr_row msr_table[] = {
    ROW(0x00000010, TSC, DENY, .name = "TSC"),
    ROW(0x00000017, VALUE, DENY, .name = "PLATFORM_ID"),
    ROW(0x0000001b, APIC_BASE, APIC_BASE, .name = "APIC_BASE"),
    /* Locked, VMX off. */
    ROW(0x0000003a, VALUE, DENY, .value = 1, .name = "FEATURE_CONTROL"),
    /* Linux writes 0 before CPUID and reads the revision: none is known. */
    ROW(0x0000008b, VALUE, IGNORE, .name = "MICROCODE"),
    ROW(0x00000174, BACKEND, BACKEND, .form = MSR_LOW32, .name = "SYSENTER_CS"),
    ROW(0x00000175, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "SYSENTER_ESP"),
    ROW(0x00000176, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "SYSENTER_EIP"),
    /* Fast strings on; no branch trace, no PEBS. */
    ROW(0x000001a0, VALUE, SAME, .value = 0x1801, .name = "MISC_ENABLE"),
    ROW(0x000001d9, VALUE, SAME, .name = "DEBUGCTL"),
    ROW(0x00000277, BACKEND, BACKEND, .reserved = 0xf8f8f8f8f8f8f8f8, .name = "PAT"),
    ROW(0x40000000, VALUE, HYPERCALL_PAGE, .name = "hypercall page"),
    ROW(0xc0000080, BACKEND, BACKEND, .form = MSR_LOW32, .name = "EFER"),
    ROW(0xc0000081, BACKEND, BACKEND, .name = "STAR"),
    ROW(0xc0000082, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "LSTAR"),
    ROW(0xc0000083, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "CSTAR"),
    ROW(0xc0000084, BACKEND, BACKEND, .form = MSR_LOW32, .name = "SFMASK"),
    ROW(0xc0000100, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "FS_BASE"),
    ROW(0xc0000101, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "GS_BASE"),
    ROW(0xc0000102, BACKEND, BACKEND, .form = MSR_CANONICAL, .name = "KERNEL_GS_BASE"),
    ROW(0xc0000103, BACKEND, BACKEND, .form = MSR_LOW32, .name = "TSC_AUX"),
    /* AMD: the TSC counts at P0 (HWCR bit 24), LFENCE serialises (DE_CFG bit 1). */
    ROW(0xc0010015, VALUE, IGNORE, .value = BIT(24), .name = "HWCR"),
    ROW(0xc001001f, VALUE, IGNORE, .name = "NB_CFG"),
    /* Where a CPU may have AMD's erratum 400, Linux asks whether C1E is on: no. */
    ROW(0xc0010055, VALUE, DENY, .name = "INT_PENDING"),
    ROW(0xc0011029, VALUE, IGNORE, .value = BIT(1), .name = "DE_CFG"),
};
const unsigned msr_rows = ARRAY_SIZE(msr_table);

const struct msr_row *msr_find(uint32_t msr)
{
	unsigned low = 0, high = msr_rows;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (msr_table[middle].msr == msr)
			return &msr_table[middle];
		if (msr_table[middle].msr < msr)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool msr_canonical(uint64_t value)
{
	return (uint64_t)((int64_t)(value << 16) >> 16) == value;
}

/* PAT entries are 0, 1, 4, 5, 6 or 7 (SDM vol. 3, 11.12.2). */
static bool msr_pat_allowed(uint64_t value)
{
	for (unsigned i = 0; i < 8; i++, value >>= 8)
		if ((value & 7) == 2 || (value & 7) == 3)
			return false;
	return true;
}

bool msr_value_allowed(const struct msr_row *row, uint64_t value)
{
	if (value & row->reserved)
		return false;
	if (row->msr == 0x277 && !msr_pat_allowed(value))
		return false;
	if (row->form == MSR_CANONICAL)
		return msr_canonical(value);
	return row->form != MSR_LOW32 || !(value >> 32);
}
