/* SPDX-License-Identifier: MIT */
/*
 * AMD-V as the hardware defines it: the virtual machine control block (APM
 * vol. 2, appendix B), intercepts and exit codes (15.9 to 15.12, appendix C).
 */
#ifndef ARCH_SVM_SVM_H
#define ARCH_SVM_SVM_H

#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

/* ---- MSRs and CPUID ---- */

#define MSR_VM_CR         0xc0010114u
#define MSR_VM_HSAVE_PA   0xc0010117u
#define VM_CR_SVMDIS      BIT(4)
#define CPUID_SVM_ECX     BIT(2) /* leaf 8000_0001h */
#define SVM_FEATURES_LEAF 0x8000000au

#define SVM_FEATURE_NPT           BIT(0)
#define SVM_FEATURE_LBR           BIT(1)
#define SVM_FEATURE_LOCK          BIT(2)
#define SVM_FEATURE_NRIPS         BIT(3)
#define SVM_FEATURE_TSC_RATE      BIT(4)
#define SVM_FEATURE_CLEAN         BIT(5)
#define SVM_FEATURE_FLUSH_BY_ASID BIT(6)
#define SVM_FEATURE_DECODE        BIT(7)
#define SVM_FEATURE_PAUSE_FILTER  BIT(10)
#define SVM_FEATURE_VMSAVE        BIT(15)
#define SVM_FEATURE_VGIF          BIT(16)

/* ---- the VMCB ---- */

struct vmcb_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};

/* The words of intercept bits; see svm_controls.c. */
enum intercept_word { WORD_CR, WORD_DR, WORD_EXCEPTION, WORD_MISC1, WORD_MISC2, WORD_MISC3 };
#define INTERCEPT_WORDS 6u

struct vmcb {
	/* control area */
	uint32_t intercepts[INTERCEPT_WORDS]; /* 000h */
	uint8_t reserved_018[0x3c - 0x18];
	uint16_t pause_filter_threshold; /* 03Ch */
	uint16_t pause_filter_count;     /* 03Eh */
	uint64_t iopm_base_pa;           /* 040h */
	uint64_t msrpm_base_pa;          /* 048h */
	uint64_t tsc_offset;             /* 050h */
	uint32_t guest_asid;             /* 058h */
	uint8_t tlb_control;             /* 05Ch */
	uint8_t reserved_05d[3];
	uint64_t virtual_interrupt; /* 060h: V_TPR, V_IRQ, V_INTR_MASKING, ... */
	uint64_t interrupt_state;   /* 068h */
	uint64_t exit_code;         /* 070h */
	uint64_t exit_info1;        /* 078h */
	uint64_t exit_info2;        /* 080h */
	uint64_t exit_int_info;     /* 088h */
	uint64_t nested_control;    /* 090h */
	uint64_t avic_apic_bar;     /* 098h */
	uint64_t ghcb_pa;           /* 0A0h */
	uint64_t event_injection;   /* 0A8h */
	uint64_t nested_cr3;        /* 0B0h */
	uint64_t virtual_extension; /* 0B8h: LBR, virtual VMLOAD and VMSAVE */
	uint32_t clean_bits;        /* 0C0h */
	uint32_t reserved_0c4;
	uint64_t next_rip;     /* 0C8h */
	uint8_t fetched_bytes; /* 0D0h */
	uint8_t instruction[15];
	uint8_t reserved_0e0[0x400 - 0xe0];

	/* state save area, from 400h; es to idtr in this order */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl; /* 4CBh */
	uint32_t reserved_4cc;
	uint64_t efer; /* 4D0h */
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 548h */
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp; /* 5D8h */
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax, star, lstar, cstar, sfmask;                              /* 5F8h */
	uint64_t kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2; /* 620h */
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t g_pat, dbgctl, br_from, br_to, last_excp_from, last_excp_to; /* 668h */
	uint8_t reserved_698[0x1000 - 0x698];
};

ASSERT_STATIC(sizeof(struct vmcb_segment) == 16);
ASSERT_STATIC(offsetof(struct vmcb, pause_filter_threshold) == 0x03c);
ASSERT_STATIC(offsetof(struct vmcb, iopm_base_pa) == 0x040);
ASSERT_STATIC(offsetof(struct vmcb, guest_asid) == 0x058);
ASSERT_STATIC(offsetof(struct vmcb, tlb_control) == 0x05c);
ASSERT_STATIC(offsetof(struct vmcb, virtual_interrupt) == 0x060);
ASSERT_STATIC(offsetof(struct vmcb, exit_code) == 0x070);
ASSERT_STATIC(offsetof(struct vmcb, exit_int_info) == 0x088);
ASSERT_STATIC(offsetof(struct vmcb, nested_control) == 0x090);
ASSERT_STATIC(offsetof(struct vmcb, event_injection) == 0x0a8);
ASSERT_STATIC(offsetof(struct vmcb, nested_cr3) == 0x0b0);
ASSERT_STATIC(offsetof(struct vmcb, clean_bits) == 0x0c0);
ASSERT_STATIC(offsetof(struct vmcb, next_rip) == 0x0c8);
ASSERT_STATIC(offsetof(struct vmcb, fetched_bytes) == 0x0d0);
ASSERT_STATIC(offsetof(struct vmcb, es) == 0x400);
ASSERT_STATIC(offsetof(struct vmcb, tr) == 0x490);
ASSERT_STATIC(offsetof(struct vmcb, cpl) == 0x4cb);
ASSERT_STATIC(offsetof(struct vmcb, efer) == 0x4d0);
ASSERT_STATIC(offsetof(struct vmcb, cr4) == 0x548);
ASSERT_STATIC(offsetof(struct vmcb, rflags) == 0x570);
ASSERT_STATIC(offsetof(struct vmcb, rip) == 0x578);
ASSERT_STATIC(offsetof(struct vmcb, rsp) == 0x5d8);
ASSERT_STATIC(offsetof(struct vmcb, rax) == 0x5f8);
ASSERT_STATIC(offsetof(struct vmcb, kernel_gs_base) == 0x620);
ASSERT_STATIC(offsetof(struct vmcb, cr2) == 0x640);
ASSERT_STATIC(offsetof(struct vmcb, g_pat) == 0x668);
ASSERT_STATIC(sizeof(struct vmcb) == 0x1000);

/* TLB_CONTROL (15.16.1) */
#define TLB_KEEP       0u
#define TLB_FLUSH_ALL  1u
#define TLB_FLUSH_ASID 3u

/* virtual_interrupt (15.21) */
#define V_TPR_MASK     BITS(3, 0)
#define V_IRQ          BIT(8)
#define V_INTR_PRIO    BITS(19, 16)
#define V_IGN_TPR      BIT(20)
#define V_INTR_MASKING BIT(24)

/* interrupt_state */
#define STATE_SHADOW BIT(0)

/* nested_control */
#define NESTED_PAGING BIT(0)

/* EVENTINJ and EXITINTINFO (15.20) */
#define EVENT_VECTOR         BITS(7, 0)
#define EVENT_TYPE           BITS(10, 8)
#define EVENT_TYPE_INTR      (UINT64_C(0) << 8)
#define EVENT_TYPE_NMI       (UINT64_C(2) << 8)
#define EVENT_TYPE_EXCEPTION (UINT64_C(3) << 8)
#define EVENT_TYPE_SOFTWARE  (UINT64_C(4) << 8)
#define EVENT_HAS_ERROR      BIT(11)
#define EVENT_VALID          BIT(31)
#define EVENT_ERROR_SHIFT    32

/* EXITINFO1 of a nested page fault (15.25.6): a page-fault error code, and */
#define NPF_PRESENT BIT(0)
#define NPF_WRITE   BIT(1)
#define NPF_USER    BIT(2)
#define NPF_RSVD    BIT(3)
#define NPF_FETCH   BIT(4)
#define NPF_FINAL   BIT(32) /* on the guest's final address */
#define NPF_WALK    BIT(33) /* while reading the guest's page tables */

/* EXITINFO1 of IOIO (15.10.2) */
#define IOIO_IN   BIT(0)
#define IOIO_STR  BIT(2)
#define IOIO_REP  BIT(3)
#define IOIO_SZ8  BIT(4)
#define IOIO_SZ16 BIT(5)
#define IOIO_SZ32 BIT(6)

/* ---- exit codes (appendix C) ---- */

#define SVM_CR_READ      0x000u /* + register */
#define SVM_CR_WRITE     0x010u
#define SVM_DR_READ      0x020u
#define SVM_DR_WRITE     0x030u
#define SVM_EXCEPTION    0x040u /* + vector */
#define SVM_INTR         0x060u
#define SVM_NMI          0x061u
#define SVM_SMI          0x062u
#define SVM_INIT         0x063u
#define SVM_VINTR        0x064u
#define SVM_CR0_SELWRITE 0x065u
#define SVM_RDTSC        0x06eu
#define SVM_RDPMC        0x06fu
#define SVM_CPUID        0x072u
#define SVM_IRET         0x074u
#define SVM_INVD         0x076u
#define SVM_PAUSE        0x077u
#define SVM_HLT          0x078u
#define SVM_INVLPGA      0x07au
#define SVM_IOIO         0x07bu
#define SVM_MSR          0x07cu
#define SVM_TASK_SWITCH  0x07du
#define SVM_FERR_FREEZE  0x07eu
#define SVM_SHUTDOWN     0x07fu
#define SVM_VMRUN        0x080u
#define SVM_VMMCALL      0x081u
#define SVM_VMLOAD       0x082u
#define SVM_VMSAVE       0x083u
#define SVM_STGI         0x084u
#define SVM_CLGI         0x085u
#define SVM_SKINIT       0x086u
#define SVM_RDTSCP       0x087u
#define SVM_ICEBP        0x088u
#define SVM_WBINVD       0x089u
#define SVM_MONITOR      0x08au
#define SVM_MWAIT        0x08bu
#define SVM_MWAIT_ARMED  0x08cu
#define SVM_XSETBV       0x08du
#define SVM_RDPRU        0x08eu
#define SVM_INVLPGB      0x0a0u
#define SVM_INVLPGB_BAD  0x0a1u
#define SVM_INVPCID      0x0a2u
#define SVM_MCOMMIT      0x0a3u
#define SVM_TLBSYNC      0x0a4u
#define SVM_NPF          0x400u
#define SVM_INVALID      0xffffffffu /* the low half; QEMU stores no more */

/* entry.S: where #VMEXIT lands. Bochs 2.7 delivers a guest's single-step trap here, to us, when
 * the instruction that was stepped exits; trap.c drops it. No other #DB can come there. */
extern const char svm_landing[];

/* npt.c */
struct pte_format;
extern const struct pte_format npt_format;

#endif
