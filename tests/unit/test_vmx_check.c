/* SPDX-License-Identifier: MIT */
/*
 * The VM-entry checker: for each of its rules one state that is valid but for
 * this rule (SDM vol. 3, 26.2 and 26.3), no two of them alike.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/vmx/vmx.h"

#define F(field) s->f[F_##field]
#define PIN      F(PIN_CONTROLS)
#define PROC     F(PROC_CONTROLS)
#define PROC2    F(PROC2_CONTROLS)
#define EXITS    F(EXIT_CONTROLS)
#define ENTRY    F(ENTRY_CONTROLS)
#define FLAGS    F(GUEST_RFLAGS)
#define SHADOW   F(GUEST_INTERRUPTIBILITY)
#define SEL(seg) F(GUEST_##seg##_SELECTOR)
#define AR(seg)  F(GUEST_##seg##_AR)

#define TYPE(seg, t)  (AR(seg) = (AR(seg) & ~UINT64_C(15)) | (t))
#define EVENT(t, low) (F(ENTRY_INTR_INFO) = INTR_VALID | (t) << 8 | (low))
#define HIGH          BIT(39) /* just beyond the physical-address width */
#define IF            BIT(9)
#define TF            BIT(8)

/* ---- valid states ---- */

#define CAPS(zero, one) ((uint64_t)(one) << 32 | (zero))

/* A CPU that has every control of the SDM but the last bit of each word, and no EPT A/D flags. */
static struct vmx_caps all_caps(void)
{
	return (struct vmx_caps){
	    .basic = VMX_BASIC_TRUE,
	    .misc = VMX_MISC_SAVES_LMA | VMX_MISC_HLT | VMX_MISC_SHUTDOWN | VMX_MISC_WAIT_SIPI |
	            4 << 16,
	    .cr0_fixed0 = 0x80000021,
	    .cr0_fixed1 = 0xffffffff,
	    .cr4_fixed0 = 0x2000,
	    .cr4_fixed1 = 0xf72fff,
	    .proc2 = CAPS(PROC2_WBINVD_EXIT, 0x7fffffff),
	    .ept_vpid = EPT_CAP_WALK4 | EPT_CAP_WB | EPT_CAP_2M,
	    .true_pin = CAPS(0x16, 0xff),
	    .true_proc = CAPS(0x04006172, 0xfffffffe),
	    .true_exit = CAPS(0x36dfb, 0x7fffffff),
	    .true_entry = CAPS(0x11fb, 0x7fffff),
	    .vmfunc = 1,
	};
}

static void valid_host(struct vmcs_state *s)
{
	F(HOST_CR0) = 0x80010033;
	F(HOST_CR3) = 0x1000;
	F(HOST_CR4) = 0x2020;
	F(HOST_EFER) = 0xd01;
	F(HOST_PAT) = UINT64_C(0x0007040600070406);
	F(HOST_CS_SELECTOR) = 0x08;
	F(HOST_SS_SELECTOR) = 0x10;
	F(HOST_TR_SELECTOR) = 0x18;
	F(HOST_RIP) = UINT64_C(0xffffffff80001000);
	F(HOST_GS_BASE) = UINT64_C(0xffff800000001000);
}

static void valid_segments(struct vmcs_state *s)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		s->f[F_GUEST_ES_SELECTOR + i] = i == SEG_CS ? 0x08 : 0x10;
		s->f[F_GUEST_ES_LIMIT + i] = 0xffffffff;
		s->f[F_GUEST_ES_AR + i] = i == SEG_CS ? 0xa09b : 0xc093;
	}
	SEL(LDTR) = 0x18;
	F(GUEST_LDTR_LIMIT) = 0xffff;
	AR(LDTR) = 0x82;
	SEL(TR) = 0x20;
	F(GUEST_TR_LIMIT) = 0x67;
	AR(TR) = 0x8b;
}

/* A 64-bit guest in ring 0 under EPT, with a 64-bit host. */
static struct vmcs_state valid_state(void)
{
	struct vmcs_state state, *s = &state;

	memset(s, 0, sizeof(*s)); /* padding too: states are compared as bytes */
	s->caps = all_caps();
	s->phys_bits = 39;
	s->host_ia32e = true;
	s->perf_bits = 8;
	PIN = 0x16 | PIN_INTERRUPT_EXIT | PIN_NMI_EXIT | PIN_VIRTUAL_NMI;
	PROC = 0x04006172 | PROC_SECONDARY;
	PROC2 = PROC2_WBINVD_EXIT | PROC2_EPT | PROC2_VPID;
	EXITS = 0x36dfb | EXIT_CTL_SAVE_DEBUG | EXIT_CTL_HOST_64 | EXIT_CTL_LOAD_EFER;
	ENTRY = 0x11fb | ENTRY_CTL_LOAD_DEBUG | ENTRY_CTL_GUEST_64 | ENTRY_CTL_LOAD_EFER;
	F(EPTP) = 0x2000 | 3 << 3 | 6;
	F(VPID) = 1;
	F(LINK_POINTER) = ~UINT64_C(0);
	valid_host(s);
	valid_segments(s);
	F(GUEST_CR0) = 0x80010031;
	F(GUEST_CR4) = 0x2020;
	F(GUEST_EFER) = 0xd01;
	F(GUEST_DR7) = 0x400;
	F(GUEST_RIP) = 0x1000;
	FLAGS = 2;
	return state;
}

/* ---- other valid states, made of that one ---- */

static void legacy(struct vmcs_state *s)
{
	ENTRY &= ~ENTRY_CTL_GUEST_64;
	F(GUEST_EFER) = 0;
	F(GUEST_CR4) &= ~BIT(5);
	AR(CS) = 0xc09b;
}

static void pae(struct vmcs_state *s)
{
	legacy(s);
	F(GUEST_CR4) |= BIT(5);
}

static void host32_only(struct vmcs_state *s)
{
	s->host_ia32e = false;
	EXITS &= ~EXIT_CTL_HOST_64;
	F(HOST_EFER) = 0;
	F(HOST_RIP) = 0x1000;
}

static void host32(struct vmcs_state *s)
{
	host32_only(s);
	legacy(s);
}

static void v86_segments(struct vmcs_state *s)
{
	FLAGS |= BIT(17);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		s->f[F_GUEST_ES_SELECTOR + i] = 0x1000;
		s->f[F_GUEST_ES_BASE + i] = 0x10000;
		s->f[F_GUEST_ES_LIMIT + i] = 0xffff;
		s->f[F_GUEST_ES_AR + i] = 0xf3;
	}
}

static void v86(struct vmcs_state *s)
{
	legacy(s);
	v86_segments(s);
}

static void ring3(struct vmcs_state *s)
{
	SEL(CS) |= 3;
	SEL(SS) |= 3;
	AR(CS) |= 0x60;
	AR(SS) |= 0x60;
}

static void delivery(struct vmcs_state *s)
{
	PROC |= PROC_TPR_SHADOW;
	PROC2 |= PROC2_INTERRUPT_DELIVER;
}

static void posted(struct vmcs_state *s)
{
	delivery(s);
	PIN |= PIN_POSTED_INTERRUPT;
	EXITS |= EXIT_CTL_ACK_INTERRUPT;
}

static void guest_pt(struct vmcs_state *s)
{
	PROC2 |= PROC2_PT_GUEST_PHYSICAL;
	EXITS |= EXIT_CTL_CLEAR_RTIT;
	ENTRY |= ENTRY_CTL_LOAD_RTIT;
}

static void smm(struct vmcs_state *s)
{
	s->in_smm = true;
	ENTRY |= ENTRY_CTL_SMM;
	SHADOW = BLOCKING_SMI;
}

/* ---- breaking one rule ---- */

#define BREAK(rule, ...)                                                                           \
	if (!strcmp(name, rule)) {                                                                 \
		__VA_ARGS__;                                                                       \
		return true;                                                                       \
	}

/* clang-format off */
static bool break_control(struct vmcs_state *s, const char *name)
{
	BREAK("pin-based controls: bits that must be 1 are 1", PIN &= ~BIT(1))
	BREAK("pin-based controls: bits that must be 0 are 0", PIN |= BIT(8))
	BREAK("processor-based controls: bits that must be 1 are 1", PROC &= ~BIT(1))
	BREAK("processor-based controls: bits that must be 0 are 0", PROC |= BIT(0))
	BREAK("secondary controls: bits that must be 1 are 1", PROC2 &= ~PROC2_WBINVD_EXIT)
	BREAK("secondary controls: bits that must be 0 are 0", PROC2 |= BIT(31))
	BREAK("CR3-target count is supported", F(CR3_TARGET_COUNT) = 5)
	BREAK("I/O bitmap A is page-aligned", PROC |= PROC_IO_BITMAPS; F(IO_BITMAP_A) = 0x1001)
	BREAK("I/O bitmap A fits the physical-address width", PROC |= PROC_IO_BITMAPS; F(IO_BITMAP_A) = HIGH)
	BREAK("I/O bitmap B is page-aligned", PROC |= PROC_IO_BITMAPS; F(IO_BITMAP_B) = 0x1001)
	BREAK("I/O bitmap B fits the physical-address width", PROC |= PROC_IO_BITMAPS; F(IO_BITMAP_B) = HIGH)
	BREAK("MSR bitmap is page-aligned", PROC |= PROC_MSR_BITMAPS; F(MSR_BITMAP) = 0x1800)
	BREAK("MSR bitmap fits the physical-address width", PROC |= PROC_MSR_BITMAPS; F(MSR_BITMAP) = HIGH)
	BREAK("virtual-APIC page is page-aligned", PROC |= PROC_TPR_SHADOW; F(VIRTUAL_APIC_ADDR) = 0x10)
	BREAK("virtual-APIC page fits the physical-address width", PROC |= PROC_TPR_SHADOW; F(VIRTUAL_APIC_ADDR) = HIGH)
	BREAK("TPR threshold: bits 31:4 are 0", PROC |= PROC_TPR_SHADOW; F(TPR_THRESHOLD) = 0x10)
	BREAK("TPR threshold is not above the virtual TPR", PROC |= PROC_TPR_SHADOW; F(TPR_THRESHOLD) = 5; s->vtpr = 0x40)
	BREAK("x2APIC mode needs the TPR shadow", PROC2 |= PROC2_X2APIC)
	BREAK("APIC-register virtualization needs the TPR shadow", PROC2 |= PROC2_APIC_REGISTERS)
	BREAK("virtual-interrupt delivery needs the TPR shadow", PROC2 |= PROC2_INTERRUPT_DELIVER)
	BREAK("virtual NMIs need NMI exiting", PIN &= ~PIN_NMI_EXIT)
	BREAK("NMI-window exiting needs virtual NMIs", PIN &= ~PIN_VIRTUAL_NMI; PROC |= PROC_NMI_WINDOW)
	BREAK("APIC-access page is page-aligned", PROC2 |= PROC2_APIC_ACCESS; F(APIC_ACCESS_ADDR) = 1)
	BREAK("APIC-access page fits the physical-address width", PROC2 |= PROC2_APIC_ACCESS; F(APIC_ACCESS_ADDR) = HIGH)
	BREAK("x2APIC mode excludes virtual APIC accesses", PROC |= PROC_TPR_SHADOW; PROC2 |= PROC2_X2APIC | PROC2_APIC_ACCESS)
	BREAK("virtual-interrupt delivery needs external-interrupt exiting", delivery(s); PIN &= ~PIN_INTERRUPT_EXIT)
	BREAK("posted interrupts need virtual-interrupt delivery", PIN |= PIN_POSTED_INTERRUPT; EXITS |= EXIT_CTL_ACK_INTERRUPT)
	BREAK("posted interrupts need acknowledge on exit", posted(s); EXITS &= ~EXIT_CTL_ACK_INTERRUPT)
	BREAK("posted-interrupt vector is below 256", posted(s); F(POSTED_INTR_VECTOR) = 0x100)
	BREAK("posted-interrupt descriptor is 64-byte aligned", posted(s); F(POSTED_INTR_DESC) = 0x1020)
	BREAK("posted-interrupt descriptor fits the physical-address width", posted(s); F(POSTED_INTR_DESC) = HIGH)
	BREAK("VPID is not 0", F(VPID) = 0)
	BREAK("EPTP: memory type is supported", F(EPTP) &= ~UINT64_C(7))
	BREAK("EPTP: page-walk length is supported", F(EPTP) ^= (3 ^ 4) << 3)
	BREAK("EPTP: accessed and dirty flags are supported", F(EPTP) |= BIT(6))
	BREAK("EPTP: shadow-stack control is supported", F(EPTP) |= BIT(7))
	BREAK("EPTP: bits 11:8 are 0", F(EPTP) |= BIT(8))
	BREAK("EPTP fits the physical-address width", F(EPTP) |= HIGH)
	BREAK("page-modification logging needs EPT", PROC2 ^= PROC2_EPT | PROC2_PML)
	BREAK("page-modification log is page-aligned", PROC2 |= PROC2_PML; F(PML_ADDR) = 8)
	BREAK("page-modification log fits the physical-address width", PROC2 |= PROC2_PML; F(PML_ADDR) = HIGH)
	BREAK("unrestricted guest needs EPT", PROC2 ^= PROC2_EPT | PROC2_UNRESTRICTED)
	BREAK("mode-based execute control needs EPT", PROC2 ^= PROC2_EPT | PROC2_MODE_EXECUTE)
	BREAK("sub-page write permissions need EPT", PROC2 ^= PROC2_EPT | PROC2_SUB_PAGE)
	BREAK("sub-page permission table is page-aligned", PROC2 |= PROC2_SUB_PAGE; F(SPPTP) = 8)
	BREAK("sub-page permission table fits the physical-address width", PROC2 |= PROC2_SUB_PAGE; F(SPPTP) = HIGH)
	BREAK("VM-function controls: reserved bits are 0", PROC2 |= PROC2_VMFUNC; F(VMFUNC_CONTROLS) = 2)
	BREAK("EPTP switching needs EPT", PROC2 ^= PROC2_EPT | PROC2_VMFUNC; F(VMFUNC_CONTROLS) = 1)
	BREAK("EPTP list is page-aligned", PROC2 |= PROC2_VMFUNC; F(VMFUNC_CONTROLS) = 1; F(EPTP_LIST) = 1)
	BREAK("EPTP list fits the physical-address width", PROC2 |= PROC2_VMFUNC; F(VMFUNC_CONTROLS) = 1; F(EPTP_LIST) = HIGH)
	BREAK("VMREAD bitmap is page-aligned", PROC2 |= PROC2_VMCS_SHADOW; F(VMREAD_BITMAP) = 1)
	BREAK("VMREAD bitmap fits the physical-address width", PROC2 |= PROC2_VMCS_SHADOW; F(VMREAD_BITMAP) = HIGH)
	BREAK("VMWRITE bitmap is page-aligned", PROC2 |= PROC2_VMCS_SHADOW; F(VMWRITE_BITMAP) = 1)
	BREAK("VMWRITE bitmap fits the physical-address width", PROC2 |= PROC2_VMCS_SHADOW; F(VMWRITE_BITMAP) = HIGH)
	BREAK("virtualization-exception area is page-aligned", PROC2 |= PROC2_EPT_VE; F(VE_INFO_ADDR) = 1)
	BREAK("virtualization-exception area fits the physical-address width", PROC2 |= PROC2_EPT_VE; F(VE_INFO_ADDR) = HIGH)
	BREAK("PT with guest-physical addresses needs EPT", guest_pt(s); PROC2 &= ~PROC2_EPT)
	BREAK("PT with guest-physical addresses needs the clearing of RTIT_CTL at exits", guest_pt(s); EXITS &= ~EXIT_CTL_CLEAR_RTIT)
	BREAK("PT with guest-physical addresses needs the loading of RTIT_CTL at entries", guest_pt(s); ENTRY &= ~ENTRY_CTL_LOAD_RTIT)
	BREAK("TSC multiplier is not 0", PROC2 |= PROC2_TSC_SCALING)
	BREAK("VM-exit controls: bits that must be 1 are 1", EXITS &= ~BIT(0))
	BREAK("VM-exit controls: bits that must be 0 are 0", EXITS |= BIT(31))
	BREAK("saving the preemption timer needs the timer", EXITS |= EXIT_CTL_SAVE_TIMER)
	BREAK("VM-exit MSR-store list is 16-byte aligned", F(EXIT_MSR_STORE_COUNT) = 1; F(EXIT_MSR_STORE_ADDR) = 8)
	BREAK("VM-exit MSR-store list fits the physical-address width", F(EXIT_MSR_STORE_COUNT) = 1; F(EXIT_MSR_STORE_ADDR) = HIGH)
	BREAK("VM-exit MSR-store list ends within the physical-address width", F(EXIT_MSR_STORE_COUNT) = 2; F(EXIT_MSR_STORE_ADDR) = HIGH - 16)
	BREAK("VM-exit MSR-load list is 16-byte aligned", F(EXIT_MSR_LOAD_COUNT) = 1; F(EXIT_MSR_LOAD_ADDR) = 8)
	BREAK("VM-exit MSR-load list fits the physical-address width", F(EXIT_MSR_LOAD_COUNT) = 1; F(EXIT_MSR_LOAD_ADDR) = HIGH)
	BREAK("VM-exit MSR-load list ends within the physical-address width", F(EXIT_MSR_LOAD_COUNT) = 2; F(EXIT_MSR_LOAD_ADDR) = HIGH - 16)
	BREAK("VM-entry controls: bits that must be 1 are 1", ENTRY &= ~BIT(0))
	BREAK("VM-entry controls: bits that must be 0 are 0", ENTRY |= BIT(31))
	BREAK("injected event: type is not reserved", EVENT(1, 0))
	BREAK("injected event: type \"other\" needs the monitor trap flag", EVENT(7, 0); s->caps.true_proc &= ~(PROC_MONITOR_TRAP << 32))
	BREAK("injected NMI: vector is 2", EVENT(2, 3))
	BREAK("injected exception: vector is at most 31", EVENT(3, 32))
	BREAK("injected event of type \"other\": vector is 0", EVENT(7, 1))
	BREAK("injected event: no error code where there is none", EVENT(3, 6 | INTR_ERROR_CODE))
	BREAK("injected exception: error code where there is one", EVENT(3, 13))
	BREAK("injected event: bits 30:12 are 0", EVENT(3, 6 | BIT(12)))
	BREAK("injected error code: bits 31:16 are 0", EVENT(3, 13 | INTR_ERROR_CODE); F(ENTRY_INTR_ERROR) = 0x10000)
	BREAK("injected software event: instruction length is 1 to 15", EVENT(4, 0x80))
	BREAK("VM-entry MSR-load list is 16-byte aligned", F(ENTRY_MSR_LOAD_COUNT) = 1; F(ENTRY_MSR_LOAD_ADDR) = 8)
	BREAK("VM-entry MSR-load list fits the physical-address width", F(ENTRY_MSR_LOAD_COUNT) = 1; F(ENTRY_MSR_LOAD_ADDR) = HIGH)
	BREAK("VM-entry MSR-load list ends within the physical-address width", F(ENTRY_MSR_LOAD_COUNT) = 2; F(ENTRY_MSR_LOAD_ADDR) = HIGH - 16)
	BREAK("entry to SMM only from SMM", ENTRY |= ENTRY_CTL_SMM)
	BREAK("dual-monitor treatment is left only from SMM", ENTRY |= ENTRY_CTL_NO_DUAL_MONITOR)
	return false;
}

static bool break_host(struct vmcs_state *s, const char *name)
{
	BREAK("host CR0: bits that must be 1 are 1", F(HOST_CR0) &= ~BIT(5))
	BREAK("host CR0: bits that must be 0 are 0", F(HOST_CR0) |= BIT(32))
	BREAK("host CR4: bits that must be 1 are 1", F(HOST_CR4) &= ~BIT(13))
	BREAK("host CR4: bits that must be 0 are 0", F(HOST_CR4) |= BIT(30))
	BREAK("host CR4.CET needs CR0.WP", F(HOST_CR4) |= BIT(23); F(HOST_CR0) &= ~BIT(16))
	BREAK("host CR3 fits the physical-address width", F(HOST_CR3) = HIGH)
	BREAK("host SYSENTER_ESP is canonical", F(HOST_SYSENTER_ESP) = BIT(47))
	BREAK("host SYSENTER_EIP is canonical", F(HOST_SYSENTER_EIP) = BIT(47))
	BREAK("host PERF_GLOBAL_CTRL: reserved bits are 0", EXITS |= EXIT_CTL_LOAD_PERF_GLOBAL; F(HOST_PERF_GLOBAL) = BIT(35))
	BREAK("host PAT: each byte is a memory type", EXITS |= EXIT_CTL_LOAD_PAT; F(HOST_PAT) = 2)
	BREAK("host EFER: reserved bits are 0", F(HOST_EFER) |= BIT(1))
	BREAK("host EFER.LMA equals the host address-space size", F(HOST_EFER) &= ~BIT(10))
	BREAK("host EFER.LME equals the host address-space size", F(HOST_EFER) &= ~BIT(8))
	BREAK("host S_CET: reserved bits are 0", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_S_CET) = BIT(6))
	BREAK("host S_CET: SUPPRESS and TRACKER are not both set", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_S_CET) = BITS(11, 10))
	BREAK("host S_CET is canonical", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_S_CET) = BIT(47))
	BREAK("host SSP is canonical", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_SSP) = BIT(47))
	BREAK("host SSP is 4-byte aligned", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_SSP) = 2)
	BREAK("host SSP table is canonical", EXITS |= EXIT_CTL_LOAD_CET; F(HOST_SSP_TABLE) = BIT(47))
	BREAK("host PKRS: bits 63:32 are 0", EXITS |= EXIT_CTL_LOAD_PKRS; F(HOST_PKRS) = BIT(32))
	BREAK("host CS selector: RPL and TI are 0", F(HOST_CS_SELECTOR) |= 1)
	BREAK("host SS selector: RPL and TI are 0", F(HOST_SS_SELECTOR) |= 2)
	BREAK("host DS selector: RPL and TI are 0", F(HOST_DS_SELECTOR) |= 4)
	BREAK("host ES selector: RPL and TI are 0", F(HOST_ES_SELECTOR) |= 3)
	BREAK("host FS selector: RPL and TI are 0", F(HOST_FS_SELECTOR) |= 1)
	BREAK("host GS selector: RPL and TI are 0", F(HOST_GS_SELECTOR) |= 4)
	BREAK("host TR selector: RPL and TI are 0", F(HOST_TR_SELECTOR) |= 4)
	BREAK("host CS selector is not null", F(HOST_CS_SELECTOR) = 0)
	BREAK("host TR selector is not null", F(HOST_TR_SELECTOR) = 0)
	BREAK("host SS selector is not null in a 32-bit host", host32(s); F(HOST_SS_SELECTOR) = 0)
	BREAK("host FS base is canonical", F(HOST_FS_BASE) = BIT(47))
	BREAK("host GS base is canonical", F(HOST_GS_BASE) = BIT(47))
	BREAK("host GDTR base is canonical", F(HOST_GDTR_BASE) = BIT(47))
	BREAK("host IDTR base is canonical", F(HOST_IDTR_BASE) = BIT(47))
	BREAK("host TR base is canonical", F(HOST_TR_BASE) = BIT(47))
	BREAK("outside IA-32e mode the host is 32-bit", legacy(s); s->host_ia32e = false)
	BREAK("outside IA-32e mode the guest is not IA-32e", host32_only(s))
	BREAK("in IA-32e mode the host is 64-bit", host32(s); s->host_ia32e = true)
	BREAK("32-bit host: CR4.PCIDE is 0", host32(s); F(HOST_CR4) |= BIT(17))
	BREAK("32-bit host: RIP bits 63:32 are 0", host32(s); F(HOST_RIP) = BIT(32))
	BREAK("64-bit host: CR4.PAE is 1", F(HOST_CR4) &= ~BIT(5))
	BREAK("64-bit host: RIP is canonical", F(HOST_RIP) = BIT(47))
	return false;
}

static bool break_guest(struct vmcs_state *s, const char *name)
{
	BREAK("guest CR0: bits that must be 1 are 1", F(GUEST_CR0) &= ~BIT(5))
	BREAK("guest CR0: bits that must be 0 are 0", F(GUEST_CR0) |= BIT(32))
	BREAK("guest CR0.PG needs CR0.PE", PROC2 |= PROC2_UNRESTRICTED; F(GUEST_CR0) &= ~BIT(0))
	BREAK("guest CR4: bits that must be 1 are 1", F(GUEST_CR4) &= ~BIT(13))
	BREAK("guest CR4: bits that must be 0 are 0", F(GUEST_CR4) |= BIT(30))
	BREAK("guest CR4.CET needs CR0.WP", F(GUEST_CR4) |= BIT(23); F(GUEST_CR0) &= ~BIT(16))
	BREAK("guest DEBUGCTL: reserved bits are 0", F(GUEST_DEBUGCTL) = BIT(2))
	BREAK("IA-32e guest: CR0.PG is 1", PROC2 |= PROC2_UNRESTRICTED; F(GUEST_CR0) &= ~BIT(31))
	BREAK("IA-32e guest: CR4.PAE is 1", F(GUEST_CR4) &= ~BIT(5))
	BREAK("guest CR4.PCIDE needs an IA-32e guest", legacy(s); F(GUEST_CR4) |= BIT(17))
	BREAK("guest CR3 fits the physical-address width", F(GUEST_CR3) = HIGH)
	BREAK("guest DR7: bits 63:32 are 0", F(GUEST_DR7) |= BIT(32))
	BREAK("guest SYSENTER_ESP is canonical", F(GUEST_SYSENTER_ESP) = BIT(47))
	BREAK("guest SYSENTER_EIP is canonical", F(GUEST_SYSENTER_EIP) = BIT(47))
	BREAK("guest PERF_GLOBAL_CTRL: reserved bits are 0", ENTRY |= ENTRY_CTL_LOAD_PERF_GLOBAL; F(GUEST_PERF_GLOBAL) = BIT(35))
	BREAK("guest PAT: each byte is a memory type", ENTRY |= ENTRY_CTL_LOAD_PAT; F(GUEST_PAT) = 3)
	BREAK("guest EFER: reserved bits are 0", F(GUEST_EFER) |= BIT(12))
	BREAK("guest EFER.LMA equals the IA-32e guest control", F(GUEST_EFER) = 0)
	BREAK("guest EFER.LMA equals LME while paging", F(GUEST_EFER) &= ~BIT(8))
	BREAK("guest BNDCFGS: bits 11:2 are 0", ENTRY |= ENTRY_CTL_LOAD_BNDCFGS; F(GUEST_BNDCFGS) = BIT(2))
	BREAK("guest BNDCFGS: the address is canonical", ENTRY |= ENTRY_CTL_LOAD_BNDCFGS; F(GUEST_BNDCFGS) = BIT(47))
	BREAK("guest RTIT_CTL: reserved bits are 0", ENTRY |= ENTRY_CTL_LOAD_RTIT; F(GUEST_RTIT_CTL) = BIT(48))
	BREAK("guest S_CET: reserved bits are 0", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_S_CET) = BIT(6))
	BREAK("guest S_CET: SUPPRESS and TRACKER are not both set", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_S_CET) = BITS(11, 10))
	BREAK("guest S_CET is canonical", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_S_CET) = BIT(47))
	BREAK("guest SSP table is canonical", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_SSP_TABLE) = BIT(47))
	BREAK("guest PKRS: bits 63:32 are 0", ENTRY |= ENTRY_CTL_LOAD_PKRS; F(GUEST_PKRS) = BIT(32))
	BREAK("guest GDTR base is canonical", F(GUEST_GDTR_BASE) = BIT(47))
	BREAK("guest IDTR base is canonical", F(GUEST_IDTR_BASE) = BIT(47))
	BREAK("guest GDTR limit: bits 31:16 are 0", F(GUEST_GDTR_LIMIT) = 0x10000)
	BREAK("guest IDTR limit: bits 31:16 are 0", F(GUEST_IDTR_LIMIT) = 0x10000)
	BREAK("guest RIP: bits 63:32 are 0 outside 64-bit code", legacy(s); F(GUEST_RIP) = BIT(32))
	BREAK("guest RIP is canonical in 64-bit code", F(GUEST_RIP) = BIT(47))
	BREAK("guest SSP is canonical", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_SSP) = BIT(47))
	BREAK("guest SSP is 4-byte aligned", ENTRY |= ENTRY_CTL_LOAD_CET; F(GUEST_SSP) = 1)
	BREAK("guest RFLAGS: reserved bits are 0", FLAGS |= BIT(3))
	BREAK("guest RFLAGS: bit 1 is 1", FLAGS = 0)
	BREAK("guest RFLAGS.VM only in protected mode outside IA-32e", v86_segments(s))
	BREAK("injected interrupt: guest RFLAGS.IF is 1", EVENT(0, 0x30))
	BREAK("activity state is supported", F(GUEST_ACTIVITY) = 4)
	BREAK("HLT: SS.DPL is 0", F(GUEST_ACTIVITY) = ACTIVITY_HLT; ring3(s))
	BREAK("blocking by STI or MOV SS: the guest is active", F(GUEST_ACTIVITY) = ACTIVITY_HLT; FLAGS |= IF; SHADOW = BLOCKING_STI)
	BREAK("HLT: the injected event can wake it", F(GUEST_ACTIVITY) = ACTIVITY_HLT; EVENT(4, 0x80); F(ENTRY_INSTR_LENGTH) = 2)
	BREAK("shutdown: the injected event is an NMI or #MC", F(GUEST_ACTIVITY) = ACTIVITY_SHUTDOWN; EVENT(0, 0x30); FLAGS |= IF)
	BREAK("wait-for-SIPI: nothing is injected", F(GUEST_ACTIVITY) = ACTIVITY_WAIT_SIPI; EVENT(2, 2))
	BREAK("entry to SMM: not in wait-for-SIPI", smm(s); F(GUEST_ACTIVITY) = ACTIVITY_WAIT_SIPI)
	BREAK("interruptibility: bits 31:5 are 0", SHADOW = BIT(5))
	BREAK("blocking by STI and by MOV SS are not both on", SHADOW = BLOCKING_STI | BLOCKING_MOV_SS; FLAGS |= IF)
	BREAK("blocking by STI: RFLAGS.IF is 1", SHADOW = BLOCKING_STI)
	BREAK("injected interrupt: no blocking by STI", EVENT(0, 0x30); FLAGS |= IF; SHADOW = BLOCKING_STI)
	BREAK("injected interrupt: no blocking by MOV SS", EVENT(0, 0x30); FLAGS |= IF; SHADOW = BLOCKING_MOV_SS)
	BREAK("injected NMI: no blocking by MOV SS", EVENT(2, 2); SHADOW = BLOCKING_MOV_SS)
	BREAK("no blocking by SMI outside SMM", SHADOW = BLOCKING_SMI)
	BREAK("entry to SMM: blocking by SMI", smm(s); SHADOW = 0)
	BREAK("injected NMI: no blocking by STI", EVENT(2, 2); FLAGS |= IF; SHADOW = BLOCKING_STI)
	BREAK("injected virtual NMI: no blocking by NMI", EVENT(2, 2); SHADOW = BLOCKING_NMI)
	BREAK("enclave interruption: no blocking by MOV SS", SHADOW = BLOCKING_ENCLAVE | BLOCKING_MOV_SS)
	BREAK("pending debug exceptions: reserved bits are 0", F(GUEST_PENDING_DEBUG) = BIT(4))
	BREAK("pending debug exceptions: BS is 1 while single-stepping", FLAGS |= TF; SHADOW = BLOCKING_MOV_SS)
	BREAK("pending debug exceptions: BS is 0 while not single-stepping", F(GUEST_PENDING_DEBUG) = BIT(14); SHADOW = BLOCKING_MOV_SS)
	BREAK("pending debug exceptions: RTM comes with bit 12 alone", F(GUEST_PENDING_DEBUG) = BIT(16) | BIT(12) | 1)
	BREAK("pending debug exceptions: no RTM behind MOV SS", F(GUEST_PENDING_DEBUG) = BIT(16) | BIT(12); SHADOW = BLOCKING_MOV_SS)
	BREAK("VMCS link pointer is page-aligned", F(LINK_POINTER) = 0x1001)
	BREAK("VMCS link pointer fits the physical-address width", F(LINK_POINTER) = HIGH)
	BREAK("PDPTE 0: reserved bits are 0", pae(s); F(GUEST_PDPTE0) = 3)
	BREAK("PDPTE 1: reserved bits are 0", pae(s); F(GUEST_PDPTE1) = 5)
	BREAK("PDPTE 2: reserved bits are 0", pae(s); F(GUEST_PDPTE2) = 0x21)
	BREAK("PDPTE 3: reserved bits are 0", pae(s); F(GUEST_PDPTE3) = HIGH | 1)
	BREAK("SS: RPL equals that of CS", SEL(SS) |= 3; AR(SS) |= 0x60; AR(CS) |= 4)
	BREAK("CS: DPL is 0 with type 3", PROC2 |= PROC2_UNRESTRICTED; AR(CS) = 0xa0b3)
	BREAK("CS: DPL equals that of SS, not conforming", AR(CS) |= 0x60)
	BREAK("CS: DPL is not above that of SS, conforming", AR(CS) |= 0x64)
	BREAK("SS: DPL equals RPL", AR(SS) |= 0x60; AR(CS) |= 4)
	BREAK("SS: DPL is 0 in real mode or with CS type 3", PROC2 |= PROC2_UNRESTRICTED; AR(CS) = 0xa093; AR(SS) |= 0x60)
	BREAK("CS: the type is accessed code, or 3 in an unrestricted guest", TYPE(CS, 1))
	BREAK("SS: the type is 3 or 7", TYPE(SS, 1))
	BREAK("CS: L and D are not both 1", AR(CS) |= AR_DB)
	BREAK("TR: the type is a busy TSS", TYPE(TR, 9))
	BREAK("TR: it is usable", AR(TR) |= AR_UNUSABLE)
	BREAK("LDTR: the type is 2", TYPE(LDTR, 3))
	return false;
}

/* The rules that several segments share: `name` without the segment. */
static bool break_segment(struct vmcs_state *s, const char *name, unsigned n)
{
	uint64_t *sel = &s->f[F_GUEST_ES_SELECTOR + n], *base = &s->f[F_GUEST_ES_BASE + n];
	uint64_t *limit = &s->f[F_GUEST_ES_LIMIT + n], *ar = &s->f[F_GUEST_ES_AR + n];

	BREAK("the selector is not in the LDT", *sel |= 4)
	BREAK("virtual-8086 base is the selector times 16", v86(s); *base += 16)
	BREAK("the base is canonical", *base = BIT(47))
	BREAK("base bits 63:32 are 0", *base = BIT(32))
	BREAK("virtual-8086 limit is FFFFh", v86(s); *limit = 0xfffff)
	BREAK("virtual-8086 access rights are F3h", v86(s); *ar = 0xf7)
	BREAK("the type is accessed", *ar &= ~UINT64_C(1))
	BREAK("a code type is readable", *ar = (*ar & ~UINT64_C(15)) | 9)
	BREAK("S is 1", *ar &= ~AR_S)
	BREAK("S is 0", *ar |= AR_S)
	BREAK("DPL is not below RPL", *sel |= 3)
	BREAK("P is 1", *ar &= ~AR_P)
	BREAK("bits 11:8 are 0", *ar |= BIT(8))
	BREAK("G is 0 where the limit's bits 11:0 are not all 1", *ar |= AR_G; *limit = 0xfffff000)
	BREAK("G is 1 where the limit needs it", *ar &= ~AR_G; *limit = 0xffffffff)
	BREAK("bits 31:17 are 0", *ar |= BIT(17))
	return false;
}
/* clang-format on */

static bool break_rule(struct vmcs_state *s, const struct vmx_rule *r)
{
	const char *colon = strchr(r->name, ':');

	*s = valid_state();
	return break_control(s, r->name) || break_host(s, r->name) || break_guest(s, r->name) ||
	       (colon && break_segment(s, colon + 2, r->arg));
}

/* ---- tests ---- */

/* The states that the others are made of break nothing. */
static void test_valid_states(void **state)
{
	void (*const make[])(struct vmcs_state *) = {legacy, pae,      host32, v86,
	                                             posted, guest_pt, smm,    ring3};
	struct vmcs_state s = valid_state();

	(void)state;
	assert_null(vmx_check(&s));
	for (unsigned i = 0; i < ARRAY_SIZE(make); i++) {
		s = valid_state();
		make[i](&s);
		if (vmx_check(&s))
			fail_msg("valid state %u breaks: %s", i, vmx_check(&s)->name);
	}
}

/* For each rule a state that breaks this rule and no other. */
static void test_each_rule(void **state)
{
	unsigned rules = vmx_check_rules();
	struct vmcs_state *states = calloc(rules, sizeof(*states));

	(void)state;
	assert_non_null(states);
	for (unsigned i = 0; i < rules; i++) {
		const struct vmx_rule *r = vmx_check_rule(i);

		if (!break_rule(&states[i], r))
			fail_msg("no state breaks the rule: %s", r->name);
		for (unsigned n = 0; n < rules; n++) {
			const struct vmx_rule *other = vmx_check_rule(n);

			if (other->holds(&states[i], other->arg) == (n == i))
				fail_msg("meant to break \"%s\", but \"%s\" %s", r->name,
				         other->name, n == i ? "holds" : "is broken");
		}
		assert_ptr_equal(vmx_check(&states[i]), r);
		for (unsigned n = 0; n < i; n++)
			assert_memory_not_equal(&states[i], &states[n], sizeof(states[i]));
	}
	free(states);
	print_message("# %u rules, each with a state that breaks it alone\n", rules);
	assert_true(rules > 100);
}

/* Every row names its section and itself; no name twice. */
static void test_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < vmx_check_rules(); i++) {
		const struct vmx_rule *r = vmx_check_rule(i);

		assert_true(!strncmp(r->section, "26.2.", 5) || !strncmp(r->section, "26.3.", 5));
		for (unsigned n = 0; n < i; n++)
			assert_string_not_equal(r->name, vmx_check_rule(n)->name);
	}
	assert_null(vmx_check_rule(vmx_check_rules()));
}

/* Appendix B: no encoding twice; widths and types in the bits where they belong. */
static void test_field_encodings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VMCS_NR_FIELDS; i++) {
		uint16_t e = vmcs_field_names[i].encoding;

		assert_false(e & ~0x6ffe);
		for (unsigned n = 0; n < i; n++)
			assert_int_not_equal(e, vmcs_field_names[n].encoding);
	}
	for (unsigned seg = 0; seg < SEGS; seg++) {
		assert_int_equal(vmcs_field_names[F_GUEST_ES_AR + seg].encoding, 0x4814 + 2 * seg);
		assert_int_equal(vmcs_field_names[F_GUEST_ES_LIMIT + seg].encoding,
		                 0x4800 + 2 * seg);
		assert_int_equal(vmcs_field_names[F_GUEST_ES_BASE + seg].encoding,
		                 0x6806 + 2 * seg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_valid_states),
	    cmocka_unit_test(test_each_rule),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_field_encodings),
	};

	return cmocka_run_group_tests_name("vmx_check", tests, NULL, NULL);
}
