/* SPDX-License-Identifier: MIT */
/*
 * Instructions that belong to a hypervisor, that are hidden from guests, or
 * that would reach the machine itself. An unintercepted VMLOAD or VMSAVE takes
 * machine addresses; VMRUN would leave us; INVD would lose others' data.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"

static uint8_t scratch[4096] __attribute__((aligned(4096)));
static uint64_t region = 0x1000;

#define CASE(name, text)                                                                           \
	static void name(void *arg)                                                                \
	{                                                                                          \
		(void)arg;                                                                         \
		__asm__ volatile(text                                                              \
		                 :                                                                 \
		                 : "a"((uint64_t)scratch), "b"(0), "c"(0), "d"(0), "D"(&region),   \
		                   "S"((uint64_t)scratch)                                          \
		                 : "memory", "cc");                                                \
	}

/* VT-x (SDM vol. 3, chapter 31): without CR4.VMXE, which cannot be set, #UD. */
CASE(i_vmxon, "vmxon (%%rdi)")
CASE(i_vmclear, "vmclear (%%rdi)")
CASE(i_vmptrld, "vmptrld (%%rdi)")
CASE(i_vmptrst, "vmptrst (%%rdi)")
CASE(i_vmread, "vmread %%rcx, %%rdx")
CASE(i_vmwrite, "vmwrite %%rcx, %%rdx")
CASE(i_vmlaunch, "vmlaunch")
CASE(i_vmresume, "vmresume")
CASE(i_vmxoff, "vmxoff")
CASE(i_invept, "invept (%%rsi), %%rcx")
CASE(i_invvpid, "invvpid (%%rsi), %%rcx")
CASE(i_vmfunc, "vmfunc")
CASE(i_getsec, "getsec")

/* AMD-V (APM vol. 3, chapter 4): the guest's EFER.SVME reads 0, so #UD. */
CASE(i_vmrun, "vmrun")
CASE(i_vmload, "vmload")
CASE(i_vmsave, "vmsave")
CASE(i_stgi, "stgi")
CASE(i_clgi, "clgi")
CASE(i_invlpga, "invlpga")
CASE(i_skinit, "skinit")
CASE(i_vmload_low, "xor %%eax, %%eax; vmload")
CASE(i_vmsave_low, "mov $0x1000, %%eax; vmsave")
CASE(i_vmsave_far, "mov $1, %%eax; shl $46, %%rax; vmsave")

/* Hidden in CPUID. */
CASE(i_monitor, "monitor")
CASE(i_mwait, "mwait")
CASE(i_monitorx, ".byte 0x0f, 0x01, 0xfa")
CASE(i_mwaitx, ".byte 0x0f, 0x01, 0xfb")
CASE(i_rdpmc, "rdpmc")
CASE(i_rdpmc_fixed, "mov $0x40000000, %%ecx; rdpmc")
CASE(i_rsm, "rsm")
CASE(i_encls, ".byte 0x0f, 0x01, 0xcf")
CASE(i_ud2, "ud2")

/* Allowed, and harmless. */
CASE(i_invd, "invd")
CASE(i_wbinvd, "wbinvd")
CASE(i_clts, "clts")
CASE(i_invlpg, "invlpg (%%rsi)")
CASE(i_invlpg_bad, "mov $1, %%esi; shl $63, %%rsi; invlpg (%%rsi)")
CASE(i_pause, "pause")
CASE(i_int_nmi, "int $2")
CASE(i_rdtscp, "rdtscp")
CASE(i_invpcid, "invpcid (%%rsi), %%rcx")
CASE(i_wrpkru, "wrpkru")
CASE(i_prefixes,
     ".byte 0x66, 0xf3, 0x66, 0xf2, 0x3e, 0x64, 0x2e, 0x65, 0x66, 0x66, 0x66, 0x66, 0x0f, 0xa2")
CASE(i_too_long, ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, "
                 "0x66, 0x66, 0x0f, 0xa2")
CASE(i_lock_cpuid, ".byte 0xf0, 0x0f, 0xa2")

static const struct attack vtx[] = {
    {"VMXON",    i_vmxon,    TRAP(TRAP_UD)},
    {"VMCLEAR",  i_vmclear,  TRAP(TRAP_UD)},
    {"VMPTRLD",  i_vmptrld,  TRAP(TRAP_UD)},
    {"VMPTRST",  i_vmptrst,  TRAP(TRAP_UD)},
    {"VMREAD",   i_vmread,   TRAP(TRAP_UD)},
    {"VMWRITE",  i_vmwrite,  TRAP(TRAP_UD)},
    {"VMLAUNCH", i_vmlaunch, TRAP(TRAP_UD)},
    {"VMRESUME", i_vmresume, TRAP(TRAP_UD)},
    {"VMXOFF",   i_vmxoff,   TRAP(TRAP_UD)},
    {"INVEPT",   i_invept,   TRAP(TRAP_UD)},
    {"INVVPID",  i_invvpid,  TRAP(TRAP_UD)},
    {"VMFUNC",   i_vmfunc,   TRAP(TRAP_UD)},
    {"GETSEC",   i_getsec,   TRAP(TRAP_UD)},
};

static const struct attack amdv[] = {
    {"VMRUN",                              i_vmrun,      TRAP(TRAP_UD)                },
    {"VMLOAD",                             i_vmload,     TRAP(TRAP_UD)                },
    {"VMSAVE",                             i_vmsave,     TRAP(TRAP_UD)                },
    {"STGI",                               i_stgi,       TRAP(TRAP_UD)                },
    {"CLGI",                               i_clgi,       TRAP(TRAP_UD)                },
    {"INVLPGA",                            i_invlpga,    TRAP(TRAP_UD)                },
    {"SKINIT",                             i_skinit,     TRAP(TRAP_UD)                },
    {"VMLOAD from machine page 0",         i_vmload_low, TRAP(TRAP_UD)                },
    {"VMSAVE to machine page 1",           i_vmsave_low, TRAP(TRAP_UD)                },
    {"VMSAVE beyond the machine's memory", i_vmsave_far, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
};

static const struct attack hidden[] = {
    {"MONITOR",              i_monitor,     TRAP(TRAP_UD)},
    {"MWAIT",                i_mwait,       TRAP(TRAP_UD)},
    {"MONITORX",             i_monitorx,    TRAP(TRAP_UD)},
    {"MWAITX",               i_mwaitx,      TRAP(TRAP_UD)},
    {"RDPMC",                i_rdpmc,       TRAP(TRAP_GP)},
    {"RDPMC, fixed counter", i_rdpmc_fixed, TRAP(TRAP_GP)},
    {"RSM",                  i_rsm,         TRAP(TRAP_UD)},
    {"ENCLS",                i_encls,       TRAP(TRAP_UD)},
    {"WRPKRU",               i_wrpkru,      TRAP(TRAP_UD)},
    {"UD2",                  i_ud2,         TRAP(TRAP_UD)},
    {"CPUID behind LOCK",    i_lock_cpuid,  TRAP(TRAP_UD)},
    {"CPUID of 16 bytes",    i_too_long,    TRAP(TRAP_GP)},
};

static const struct attack harmless[] = {
    {"INVD",                           i_invd,       NOTHING                },
    {"WBINVD",                         i_wbinvd,     NOTHING                },
    {"CLTS",                           i_clts,       NOTHING                },
    {"INVLPG",                         i_invlpg,     NOTHING                },
    {"INVLPG of no canonical address", i_invlpg_bad, NOTHING                },
    {"PAUSE",                          i_pause,      NOTHING                },
    {"INT 2",                          i_int_nmi,    TRAP(2)                },
    {"CPUID of 14 bytes",              i_prefixes,   NOTHING                },
    {"RDTSCP",                         i_rdtscp,     NOTHING | TRAP(TRAP_UD)},
    {"INVPCID",                        i_invpcid,    NOTHING | TRAP(TRAP_UD)},
};

CASE(i_vmcall, "mov $60, %%eax; vmcall")
CASE(i_vmmcall, "mov $60, %%eax; vmmcall")

/* The hypercall instruction of the other vendor. */
static void other_vendor(void)
{
	int v = trap_vector(hypercall_amd() ? i_vmcall : i_vmmcall, NULL);

	attack_judge("instructions", "the other vendor's hypercall", v, TRAP(TRAP_UD));
}

void attack_instructions(void)
{
	attack_all("VT-x", vtx, sizeof(vtx) / sizeof(vtx[0]));
	attack_all("AMD-V", amdv, sizeof(amdv) / sizeof(amdv[0]));
	attack_all("instructions", hidden, sizeof(hidden) / sizeof(hidden[0]));
	attack_all("instructions", harmless, sizeof(harmless) / sizeof(harmless[0]));
	other_vendor();
}
