/* SPDX-License-Identifier: MIT */
/*
 * From CPL 3: an instruction that the guest's own user may not execute raises
 * the same exception as on a bare CPU; the intercept must not come first and
 * let it through. A hypercall from user mode is refused.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

#define LARGE (UINT64_C(1) << 21)

extern uint64_t page_pd[4 * 512];

/* A large page of its own that user mode may use: code at its start, a stack at its end. */
static uint8_t *user_page;

struct snippet {
	const char *name;
	uint8_t code[12];
	unsigned bytes;
	uint32_t expected;
};

#define BP TRAP(TRAP_BP) /* INT3 follows each snippet: it got through */

static const struct snippet snippets[] = {
    {"nothing",       {0x90},                            1, BP                           },
    {"CPUID",         {0x0f, 0xa2},                      2, BP                           },
    {"HLT",           {0xf4},                            1, TRAP(TRAP_GP)                },
    {"CLI",           {0xfa},                            1, TRAP(TRAP_GP)                },
    {"IN",            {0xe4, 0x80},                      2, TRAP(TRAP_GP)                },
    {"OUT",           {0xe6, 0x80},                      2, TRAP(TRAP_GP)                },
    {"REP OUTSB",     {0xf3, 0x6e},                      2, TRAP(TRAP_GP)                },
    {"RDMSR",         {0x0f, 0x32},                      2, TRAP(TRAP_GP)                },
    {"WRMSR",         {0x0f, 0x30},                      2, TRAP(TRAP_GP)                },
    {"INVD",          {0x0f, 0x08},                      2, TRAP(TRAP_GP)                },
    {"WBINVD",        {0x0f, 0x09},                      2, TRAP(TRAP_GP)                },
    {"MOV to CR0",    {0x0f, 0x22, 0xc0},                3, TRAP(TRAP_GP)                },
    {"MOV from CR3",  {0x0f, 0x20, 0xd8},                3, TRAP(TRAP_GP)                },
    {"MOV to CR4",    {0x0f, 0x22, 0xe0},                3, TRAP(TRAP_GP)                },
    {"MOV to CR8",    {0x44, 0x0f, 0x22, 0xc0},          4, TRAP(TRAP_GP)                },
    {"MOV to DR7",    {0x0f, 0x23, 0xf8},                3, TRAP(TRAP_GP)                },
    {"CLTS",          {0x0f, 0x06},                      2, TRAP(TRAP_GP)                },
    {"LMSW",          {0x0f, 0x01, 0xf0},                3, TRAP(TRAP_GP)                },
    {"INVLPG",        {0x0f, 0x01, 0x38},                3, TRAP(TRAP_GP)                },
    {"LGDT",          {0x0f, 0x01, 0x10},                3, TRAP(TRAP_GP)                },
    {"LTR",           {0x0f, 0x00, 0xd8},                3, TRAP(TRAP_GP)                },
    {"RDPMC",         {0x0f, 0x33},                      2, TRAP(TRAP_GP)                },
    {"XSETBV",        {0x0f, 0x01, 0xd1},                3, TRAP(TRAP_GP) | TRAP(TRAP_UD)},
    {"VMRUN",         {0x0f, 0x01, 0xd8},                3, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
    {"VMLOAD",        {0x0f, 0x01, 0xda},                3, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
    {"VMSAVE",        {0x0f, 0x01, 0xdb},                3, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
    {"CLGI",          {0x0f, 0x01, 0xdd},                3, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
    {"VMXOFF",        {0x0f, 0x01, 0xc4},                3, TRAP(TRAP_UD) | TRAP(TRAP_GP)},
    {"MONITOR",       {0x0f, 0x01, 0xc8},                3, TRAP(TRAP_UD)                },
    {"kernel memory", {0xa1, 0, 0, 0x20, 0, 0, 0, 0, 0}, 9, TRAP(TRAP_PF)                },
};

static void user_prepare(void)
{
	user_page = memory_take_aligned(512, LARGE);
	page_pd[(uint64_t)user_page / LARGE] |= 4;
	WRITE_CR(3, READ_CR(3));
}

/* IRET to CPL 3, on the user page; back by whatever exception comes. */
static void go(void *arg)
{
	(void)arg;
	__asm__ volatile(
	    "pushq %0\n\tpushq %1\n\tpushq $2\n\tpushq %2\n\tpushq %3\n\t"
	    "xor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tmov %3, %%rax\n\tmov %3, %%rsi\n\tiretq"
	    :
	    : "i"(SEL_USER_DATA), "r"((uint64_t)user_page + LARGE - 64), "i"(SEL_USER_CODE),
	      "r"(user_page)
	    : "rax", "rcx", "rdx", "rsi", "memory");
}

/* mov $nr, %eax; the hypercall; INT3. Returns the vector, and RAX by way of *rax. */
static int call_from_user(uint8_t nr, uint64_t *rax)
{
	const uint8_t code[] = {0xb8, nr, 0, 0, 0, 0x0f, 0x01, hypercall_amd() ? 0xd9 : 0xc1, 0xcc};
	struct trap_result t;

	memcpy(user_page, code, sizeof(code));
	trap_try(go, NULL, &t);
	*rax = t.rax;
	return t.vector;
}

static void calls(void)
{
	uint64_t rax = 0;
	int v = call_from_user(__HYPERVISOR_xen_version, &rax);

	attack_judge("user", "a hypercall", v, BP | TRAP(TRAP_UD) | TRAP(TRAP_GP));
	if (v == TRAP_BP)
		tap_is((long)rax, -XEN_EPERM, "user: it is not permitted");
	call_from_user(__HYPERVISOR_sched_op, &rax);
	tap_ok(true, "user: no shutdown from user mode");
}

void attack_user(void)
{
	user_prepare();
	for (size_t i = 0; i < sizeof(snippets) / sizeof(snippets[0]); i++) {
		memset(user_page, 0xcc, 32);
		memcpy(user_page, snippets[i].code, snippets[i].bytes);
		attack_judge("user", snippets[i].name, trap_vector(go, NULL), snippets[i].expected);
	}
	calls();
	page_pd[(uint64_t)user_page / LARGE] &= ~UINT64_C(4);
	WRITE_CR(3, READ_CR(3));
}
