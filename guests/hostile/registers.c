/* SPDX-License-Identifier: MIT */
/*
 * Control and debug registers, XCR0 and EFER: values that no CPU accepts raise
 * #GP here too; values that belong to the hypervisor change nothing for others.
 * SDM vol. 3, 2.5 (CR), 18.2 (DR); APM vol. 2, 3.1.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

#define CR4_MCE (UINT64_C(1) << 6)

#define XCR0_CASE(name, number, lo)                                                                \
	static void name(void *arg)                                                                \
	{                                                                                          \
		(void)arg;                                                                         \
		__asm__ volatile("xsetbv" : : "a"(lo), "d"(0), "c"(number) : "memory");            \
	}

#define CR_CASE(name, n, expression)                                                               \
	static void name(void *arg)                                                                \
	{                                                                                          \
		uint64_t was = READ_CR(n);                                                         \
		(void)arg;                                                                         \
		WRITE_CR(n, expression);                                                           \
		WRITE_CR(n, was);                                                                  \
	}

/* `was` is the register's value before. */
CR_CASE(cr0_high, 0, was | UINT64_C(1) << 32)
CR_CASE(cr0_nw, 0, was | CR0_NW)
CR_CASE(cr0_no_pe, 0, was & ~(uint64_t)CR0_PE)
CR_CASE(cr0_no_pg, 0, was & ~(uint64_t)CR0_PG)
CR_CASE(cr0_cd, 0, was | CR0_CD)
CR_CASE(cr0_cd_nw, 0, was | CR0_CD | CR0_NW)
CR_CASE(cr0_no_wp, 0, was & ~(uint64_t)CR0_WP)
CR_CASE(cr0_ts, 0, was | CR0_TS)
CR_CASE(cr4_no_pae, 4, was & ~(uint64_t)CR4_PAE)
CR_CASE(cr4_vmxe, 4, was | 1u << 13)
CR_CASE(cr4_smxe, 4, was | 1u << 14)
CR_CASE(cr4_la57, 4, was | 1u << 12)
CR_CASE(cr4_bit23, 4, was | 1u << 23)
CR_CASE(cr4_bit31, 4, was | 1u << 31)
CR_CASE(cr4_bit63, 4, was | UINT64_C(1) << 63)
CR_CASE(cr4_pge, 4, was | 1u << 7)
CR_CASE(cr4_tsd, 4, was | 1u << 2)
CR_CASE(cr8_5, 8, was * 0 + 5)
CR_CASE(cr8_16, 8, was * 0 + 16)
CR_CASE(cr8_high, 8, was * 0 + (UINT64_C(1) << 63))
CR_CASE(cr3_same, 3, was)

static void lmsw(void *arg)
{
	(void)arg;
	__asm__ volatile("smsw %%ax\n\tlmsw %%ax" : : : "rax");
}

/* LMSW cannot clear PE (SDM vol. 2). */
static void lmsw_no_pe(void *arg)
{
	(void)arg;
	__asm__ volatile("smsw %%ax\n\tand $0xfffe, %%ax\n\tlmsw %%ax" : : : "rax");
}

static const struct attack cr_rows[] = {
    {"CR0 bit 32",                cr0_high,   TRAP(TRAP_GP)},
    {"CR0.NW without CD",         cr0_nw,     TRAP(TRAP_GP)},
    {"CR0.PE off with paging on", cr0_no_pe,  TRAP(TRAP_GP)},
    {"CR0.PG off in 64-bit mode", cr0_no_pg,  TRAP(TRAP_GP)},
    {"CR0.CD",                    cr0_cd,     NOTHING      },
    {"CR0.CD and NW",             cr0_cd_nw,  NOTHING      },
    {"CR0.WP off",                cr0_no_wp,  NOTHING      },
    {"CR0.TS",                    cr0_ts,     NOTHING      },
    {"LMSW",                      lmsw,       NOTHING      },
    {"LMSW without PE",           lmsw_no_pe, NOTHING      },
    {"CR4.PAE off in long mode",  cr4_no_pae, TRAP(TRAP_GP)},
    {"CR4.VMXE",                  cr4_vmxe,   TRAP(TRAP_GP)},
    {"CR4.SMXE",                  cr4_smxe,   TRAP(TRAP_GP)},
    {"CR4.LA57",                  cr4_la57,   TRAP(TRAP_GP)},
    {"CR4 bit 23",                cr4_bit23,  TRAP(TRAP_GP)},
    {"CR4 bit 31",                cr4_bit31,  TRAP(TRAP_GP)},
    {"CR4 bit 63",                cr4_bit63,  TRAP(TRAP_GP)},
    {"CR4.PGE",                   cr4_pge,    NOTHING      },
    {"CR4.TSD",                   cr4_tsd,    NOTHING      },
    {"CR8 = 5",                   cr8_5,      NOTHING      },
    {"CR8 = 16",                  cr8_16,     TRAP(TRAP_GP)},
    {"CR8 bit 63",                cr8_high,   TRAP(TRAP_GP)},
    {"CR3 again",                 cr3_same,   NOTHING      },
};

/* ---- debug registers ---- */

static void dr7_high(void *arg)
{
	(void)arg;
	__asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(1) << 32));
}

static void dr6_high(void *arg)
{
	(void)arg;
	__asm__ volatile("mov %0, %%dr6" : : "r"(UINT64_C(1) << 40));
}

static void dr4_with_de(void *arg)
{
	uint64_t was = READ_CR(4), v;

	(void)arg;
	WRITE_CR(4, was | 1u << 3);
	__asm__ volatile("mov %%db4, %0" : "=r"(v));
}

static void dr_general_detect(void *arg)
{
	uint64_t v;

	(void)arg;
	__asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(1) << 13 | 0x400));
	__asm__ volatile("mov %%dr0, %0" : "=r"(v));
}

static void single_step(void *arg)
{
	(void)arg;
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop" : : : "memory", "cc");
}

/* The trap of a single step over an instruction that exits must come too. */
static void single_step_cpuid(void *arg)
{
	(void)arg;
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tcpuid"
	                 :
	                 : "a"(0)
	                 : "rbx", "rcx", "rdx", "memory", "cc");
}

static void icebp(void *arg)
{
	(void)arg;
	__asm__ volatile(".byte 0xf1");
}

/* QEMU 7.2 has neither general detect nor INT1, with or without a hypervisor. */
static const struct attack dr_rows[] = {
    {"DR7 bit 32",               dr7_high,          TRAP(TRAP_GP)                },
    {"DR6 bit 40",               dr6_high,          TRAP(TRAP_GP)                },
    {"DR4 with CR4.DE",          dr4_with_de,       TRAP(TRAP_UD)                },
    {"DR0 under general detect", dr_general_detect, TRAP(TRAP_DB) | NOTHING      },
    {"a single step",            single_step,       TRAP(TRAP_DB)                },
    {"a single step over CPUID", single_step_cpuid, TRAP(TRAP_DB)                },
    {"INT1",                     icebp,             TRAP(TRAP_DB) | TRAP(TRAP_UD)},
};

/* Breakpoints off, and what was written to DR0..3 reads back. */
static void debug_registers_hold(void)
{
	uint64_t v0, v3;

	__asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(0x400)));
	WRITE_CR(4, READ_CR(4) & ~UINT64_C(8));
	__asm__ volatile("mov %0, %%dr0\n\tmov %1, %%dr3"
	                 :
	                 : "r"(UINT64_C(0x1234567890)), "r"(~UINT64_C(0)));
	__asm__ volatile("cpuid" : : "a"(0) : "rbx", "rcx", "rdx");
	__asm__ volatile("mov %%dr0, %0\n\tmov %%dr3, %1" : "=r"(v0), "=r"(v3));
	tap_ok(v0 == 0x1234567890 && v3 == ~UINT64_C(0),
	       "registers: DR0 and DR3 hold over an exit");
}

/* ---- XCR0 ---- */

#define CR4_OSXSAVE (UINT64_C(1) << 18)

XCR0_CASE(xcr0_none, 0, 0u)
XCR0_CASE(xcr0_sse_alone, 0, 2u)
XCR0_CASE(xcr0_avx_alone, 0, 5u)
XCR0_CASE(xcr0_all, 0, ~0u)
XCR0_CASE(xcr0_mpx, 0, 0x1bu)
XCR0_CASE(xcr0_pkru, 0, 0x203u)
XCR0_CASE(xcr1, 1, 1u)
XCR0_CASE(xcr0_x87, 0, 1u)
XCR0_CASE(xcr0_x87_sse, 0, 3u)

static void xgetbv(void *arg)
{
	(void)arg;
	__asm__ volatile("xgetbv" : : "c"(0) : "rax", "rdx");
}

/* MPX is hidden, so its bits are reserved; but QEMU 7.2 executes XSETBV without asking the
 * hypervisor, with what its own CPU model has. */
static const struct attack xcr_rows[] = {
    {"XCR0 = 0",                   xcr0_none,      TRAP(TRAP_GP)          },
    {"XCR0 without x87",           xcr0_sse_alone, TRAP(TRAP_GP)          },
    {"XCR0 with AVX, without SSE", xcr0_avx_alone, TRAP(TRAP_GP)          },
    {"XCR0 = all ones",            xcr0_all,       TRAP(TRAP_GP)          },
    {"XCR0 with MPX",              xcr0_mpx,       NOTHING | TRAP(TRAP_GP)},
    {"XCR1",                       xcr1,           TRAP(TRAP_GP)          },
    {"XCR0 with PKRU",             xcr0_pkru,      NOTHING | TRAP(TRAP_GP)},
    {"XCR0 = x87",                 xcr0_x87,       NOTHING                },
    {"XCR0 = x87, SSE",            xcr0_x87_sse,   NOTHING                },
};

static const struct attack no_xsave_rows[] = {
    {"XSETBV without OSXSAVE", xcr0_x87, TRAP(TRAP_UD)},
    {"XGETBV without OSXSAVE", xgetbv,   TRAP(TRAP_UD)},
};

static void xcr(void)
{
	uint32_t r[4];

	attack_all("registers", no_xsave_rows, sizeof(no_xsave_rows) / sizeof(no_xsave_rows[0]));
	cpuid(1, 0, r);
	if (!(r[2] >> 26 & 1)) {
		tap_skip("registers: XCR0", "no XSAVE on this CPU");
		return;
	}
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
	attack_all("registers", xcr_rows, sizeof(xcr_rows) / sizeof(xcr_rows[0]));
	WRITE_CR(4, READ_CR(4) & ~CR4_OSXSAVE);
}

/* CD is the guest's to see, and nobody's to feel. */
static void cd_reads_back(void)
{
	uint64_t was = READ_CR(0), seen;

	WRITE_CR(0, was | CR0_CD);
	seen = READ_CR(0);
	WRITE_CR(0, was);
	tap_ok(seen & CR0_CD, "registers: CR0.CD reads as written");
	tap_is((long)READ_CR(0), (long)was, "registers: CR0 is as before");
}

/* Guests are not told of machine checks. The machine's MCE is on while they run, and not shown. */
static void mce_is_hidden(void)
{
	uint64_t was = READ_CR(4);

	WRITE_CR(4, was);
	tap_ok(!(was & CR4_MCE), "registers: CR4 does not show the machine's MCE");
	tap_is((long)READ_CR(4), (long)was, "registers: CR4 reads as written");
}

void attack_registers(void)
{
	attack_all("registers", cr_rows, sizeof(cr_rows) / sizeof(cr_rows[0]));
	cd_reads_back();
	mce_is_hidden();
	attack_all("registers", dr_rows, sizeof(dr_rows) / sizeof(dr_rows[0]));
	debug_registers_hold();
	xcr();
}
