/* SPDX-License-Identifier: MIT */
/*
 * VT-x as the hardware defines it (SDM vol. 3, chapters 23-28 and appendices
 * A-C), and the pure halves of the back end: which controls to use
 * (vmx_controls.c), whether a VMCS may be entered (vmx_check*.c), what an exit
 * means (vmx_exit.c). Section numbers are those of the edition in which VM
 * entries are chapter 26 and VM exits chapter 27 (2016 to 2022).
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "arch/x86_64/hvm.h"
#include "arch/x86_64/vmx/vmcs_fields.h"
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

/* ---- capability MSRs (appendix A) ---- */

#define MSR_VMX_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCK    BIT(0)
#define FEATURE_CONTROL_VMX     BIT(2) /* VMXON outside SMX */

#define MSR_VMX_BASIC 0x480 /* 0x480 .. 0x491: the order of struct vmx_caps */

struct vmx_caps {
	uint64_t basic, pin, proc, exit, entry, misc;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1, vmcs_enum;
	uint64_t proc2, ept_vpid;                            /* if proc allows secondary controls */
	uint64_t true_pin, true_proc, true_exit, true_entry; /* if basic bit 55 */
	uint64_t vmfunc;                                     /* if proc2 allows VM functions */
};

#define VMX_NR_CAPS 18
_Static_assert(sizeof(struct vmx_caps) == VMX_NR_CAPS * 8, "one word a capability MSR");

#define VMX_BASIC_REVISION(b)    ((uint32_t)(b)&0x7fffffffu)
#define VMX_BASIC_SIZE(b)        (((b) >> 32) & 0x1fff)
#define VMX_BASIC_32BIT          BIT(48) /* addresses of VMX structures are below 4 GiB only */
#define VMX_BASIC_MEMORY_TYPE(b) (((b) >> 50) & 15)
#define VMX_BASIC_TRUE           BIT(55) /* the TRUE_ capability MSRs exist */
#define VMX_BASIC_ANY_ERROR_CODE BIT(56) /* an exception may be injected with or without one */

#define VMX_MISC_TIMER_SHIFT(m)                                                                    \
	((m)&0x1f)                     /* the preemption timer counts every 2^n ticks of the TSC */
#define VMX_MISC_SAVES_LMA      BIT(5) /* exits store EFER.LMA into the entry control */
#define VMX_MISC_HLT            BIT(6)
#define VMX_MISC_SHUTDOWN       BIT(7)
#define VMX_MISC_WAIT_SIPI      BIT(8)
#define VMX_MISC_CR3_TARGETS(m) (((m) >> 16) & 0x1ff)
#define VMX_MISC_INJECT_LENGTH0 BIT(30)

#define EPT_CAP_WALK4          BIT(6)
#define EPT_CAP_WALK5          BIT(7)
#define EPT_CAP_UC             BIT(8)
#define EPT_CAP_WB             BIT(14)
#define EPT_CAP_2M             BIT(16)
#define EPT_CAP_1G             BIT(17)
#define EPT_CAP_INVEPT         BIT(20)
#define EPT_CAP_AD             BIT(21)
#define EPT_CAP_ADVANCED       BIT(22)
#define EPT_CAP_SSS            BIT(23) /* supervisor shadow stack control in the EPTP */
#define EPT_CAP_INVEPT_SINGLE  BIT(25)
#define EPT_CAP_INVEPT_ALL     BIT(26)
#define EPT_CAP_INVVPID        BIT(32)
#define EPT_CAP_INVVPID_SINGLE BIT(41)
#define EPT_CAP_INVVPID_ALL    BIT(42)

/* ---- controls (24.6 to 24.8) ---- */

#define PIN_INTERRUPT_EXIT   BIT(0) /* an external interrupt exits */
#define PIN_NMI_EXIT         BIT(3)
#define PIN_VIRTUAL_NMI      BIT(5) /* blocking by NMI is the guest's own */
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTERRUPT BIT(7)

#define PROC_INTERRUPT_WINDOW BIT(2) /* exit as soon as an interrupt could be taken */
#define PROC_TSC_OFFSET       BIT(3)
#define PROC_HLT_EXIT         BIT(7)
#define PROC_INVLPG_EXIT      BIT(9)
#define PROC_MWAIT_EXIT       BIT(10)
#define PROC_RDPMC_EXIT       BIT(11)
#define PROC_RDTSC_EXIT       BIT(12)
#define PROC_CR3_LOAD_EXIT    BIT(15)
#define PROC_CR3_STORE_EXIT   BIT(16)
#define PROC_TERTIARY         BIT(17)
#define PROC_CR8_LOAD_EXIT    BIT(19)
#define PROC_CR8_STORE_EXIT   BIT(20)
#define PROC_TPR_SHADOW       BIT(21)
#define PROC_NMI_WINDOW       BIT(22)
#define PROC_MOV_DR_EXIT      BIT(23)
#define PROC_IO_EXIT          BIT(24) /* every IN, OUT, INS, OUTS */
#define PROC_IO_BITMAPS       BIT(25)
#define PROC_MONITOR_TRAP     BIT(27)
#define PROC_MSR_BITMAPS      BIT(28)
#define PROC_MONITOR_EXIT     BIT(29)
#define PROC_PAUSE_EXIT       BIT(30)
#define PROC_SECONDARY        BIT(31)

#define PROC2_APIC_ACCESS       BIT(0)
#define PROC2_EPT               BIT(1)
#define PROC2_DESCRIPTOR_EXIT   BIT(2)
#define PROC2_RDTSCP            BIT(3) /* off: RDTSCP is undefined */
#define PROC2_X2APIC            BIT(4)
#define PROC2_VPID              BIT(5)
#define PROC2_WBINVD_EXIT       BIT(6)
#define PROC2_UNRESTRICTED      BIT(7) /* guest may run unpaged and in real mode */
#define PROC2_APIC_REGISTERS    BIT(8)
#define PROC2_INTERRUPT_DELIVER BIT(9)
#define PROC2_PAUSE_LOOP        BIT(10) /* exit on a tight PAUSE loop in ring 0 */
#define PROC2_RDRAND_EXIT       BIT(11)
#define PROC2_INVPCID           BIT(12) /* off: INVPCID is undefined */
#define PROC2_VMFUNC            BIT(13)
#define PROC2_VMCS_SHADOW       BIT(14)
#define PROC2_ENCLS_EXIT        BIT(15)
#define PROC2_RDSEED_EXIT       BIT(16)
#define PROC2_PML               BIT(17)
#define PROC2_EPT_VE            BIT(18)
#define PROC2_CONCEAL_PT        BIT(19)
#define PROC2_XSAVES            BIT(20) /* off: XSAVES and XRSTORS are undefined */
#define PROC2_PASID             BIT(21)
#define PROC2_MODE_EXECUTE      BIT(22)
#define PROC2_SUB_PAGE          BIT(23)
#define PROC2_PT_GUEST_PHYSICAL BIT(24)
#define PROC2_TSC_SCALING       BIT(25)
#define PROC2_USER_WAIT         BIT(26) /* off: TPAUSE, UMONITOR, UMWAIT are undefined */
#define PROC2_PCONFIG           BIT(27) /* off: PCONFIG is undefined */
#define PROC2_ENCLV_EXIT        BIT(28)
#define PROC2_EPC_VIRTUAL       BIT(29)
#define PROC2_BUS_LOCK_EXIT     BIT(30)
#define PROC2_INSTR_TIMEOUT     BIT(31)

#define EXIT_CTL_SAVE_DEBUG       BIT(2)
#define EXIT_CTL_HOST_64          BIT(9)
#define EXIT_CTL_LOAD_PERF_GLOBAL BIT(12)
#define EXIT_CTL_ACK_INTERRUPT    BIT(15)
#define EXIT_CTL_SAVE_PAT         BIT(18)
#define EXIT_CTL_LOAD_PAT         BIT(19)
#define EXIT_CTL_SAVE_EFER        BIT(20)
#define EXIT_CTL_LOAD_EFER        BIT(21)
#define EXIT_CTL_SAVE_TIMER       BIT(22)
#define EXIT_CTL_CLEAR_BNDCFGS    BIT(23)
#define EXIT_CTL_CONCEAL_PT       BIT(24)
#define EXIT_CTL_CLEAR_RTIT       BIT(25)
#define EXIT_CTL_CLEAR_LBR        BIT(26)
#define EXIT_CTL_CLEAR_UINV       BIT(27)
#define EXIT_CTL_LOAD_CET         BIT(28)
#define EXIT_CTL_LOAD_PKRS        BIT(29)
#define EXIT_CTL_SAVE_PERF_GLOBAL BIT(30)
#define EXIT_CTL_SECONDARY        BIT(31)

#define ENTRY_CTL_LOAD_DEBUG       BIT(2)
#define ENTRY_CTL_GUEST_64         BIT(9) /* IA-32e mode guest */
#define ENTRY_CTL_SMM              BIT(10)
#define ENTRY_CTL_NO_DUAL_MONITOR  BIT(11)
#define ENTRY_CTL_LOAD_PERF_GLOBAL BIT(13)
#define ENTRY_CTL_LOAD_PAT         BIT(14)
#define ENTRY_CTL_LOAD_EFER        BIT(15)
#define ENTRY_CTL_LOAD_BNDCFGS     BIT(16)
#define ENTRY_CTL_CONCEAL_PT       BIT(17)
#define ENTRY_CTL_LOAD_RTIT        BIT(18)
#define ENTRY_CTL_LOAD_UINV        BIT(19)
#define ENTRY_CTL_LOAD_CET         BIT(20)
#define ENTRY_CTL_LOAD_LBR         BIT(21)
#define ENTRY_CTL_LOAD_PKRS        BIT(22)

/* ---- interruption information: of exits, of IDT vectoring, for entries (24.8.3, 24.9) ---- */

#define INTR_VECTOR(i)   ((uint8_t)(i))
#define INTR_TYPE(i)     (((i) >> 8) & 7)
#define INTR_ERROR_CODE  BIT(11)
#define INTR_NMI_UNBLOCK BIT(12) /* of an exit: an IRET had unblocked NMIs */
#define INTR_VALID       BIT(31)

#define INTR_TYPE_EXTERNAL      0u
#define INTR_TYPE_NMI           2u
#define INTR_TYPE_EXCEPTION     3u
#define INTR_TYPE_SOFT_INT      4u /* INT n */
#define INTR_TYPE_PRIV_SOFT_EXC 5u /* INT1 */
#define INTR_TYPE_SOFT_EXC      6u /* INT3, INTO */
#define INTR_TYPE_OTHER         7u

/* Interruptibility (24.4.2) */
#define BLOCKING_STI     BIT(0)
#define BLOCKING_MOV_SS  BIT(1)
#define BLOCKING_SMI     BIT(2)
#define BLOCKING_NMI     BIT(3)
#define BLOCKING_ENCLAVE BIT(4)

#define ACTIVITY_ACTIVE    0u
#define ACTIVITY_HLT       1u
#define ACTIVITY_SHUTDOWN  2u
#define ACTIVITY_WAIT_SIPI 3u

/* Access rights of a segment (24.4.1); regs.h keeps bits 15..12 at 11..8. */
#define AR_TYPE(a)  ((a)&15u)
#define AR_S        BIT(4)
#define AR_DPL(a)   (((a) >> 5) & 3u)
#define AR_P        BIT(7)
#define AR_L        BIT(13)
#define AR_DB       BIT(14)
#define AR_G        BIT(15)
#define AR_UNUSABLE BIT(16)

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEGS };

/* ---- basic exit reasons (appendix C) ---- */

#define REASON_EXCEPTION        0
#define REASON_INTERRUPT        1
#define REASON_TRIPLE_FAULT     2
#define REASON_INIT             3
#define REASON_SIPI             4
#define REASON_INTERRUPT_WINDOW 7
#define REASON_NMI_WINDOW       8
#define REASON_TASK_SWITCH      9
#define REASON_CPUID            10
#define REASON_GETSEC           11
#define REASON_HLT              12
#define REASON_INVD             13
#define REASON_INVLPG           14
#define REASON_RDPMC            15
#define REASON_RDTSC            16
#define REASON_RSM              17
#define REASON_VMCALL           18
#define REASON_VMCLEAR          19 /* to VMXON, 27: the VMX instructions */
#define REASON_VMXON            27
#define REASON_CR               28
#define REASON_DR               29
#define REASON_IO               30
#define REASON_RDMSR            31
#define REASON_WRMSR            32
#define REASON_BAD_GUEST        33
#define REASON_BAD_MSR_LOAD     34
#define REASON_MWAIT            36
#define REASON_MONITOR_TRAP     37
#define REASON_MONITOR          39
#define REASON_PAUSE            40
#define REASON_MACHINE_CHECK    41
#define REASON_TPR              43
#define REASON_APIC_ACCESS      44
#define REASON_EOI              45
#define REASON_GDTR_IDTR        46
#define REASON_LDTR_TR          47
#define REASON_EPT_VIOLATION    48
#define REASON_EPT_MISCONFIG    49
#define REASON_INVEPT           50
#define REASON_RDTSCP           51
#define REASON_PREEMPTION_TIMER 52
#define REASON_INVVPID          53
#define REASON_WBINVD           54
#define REASON_XSETBV           55
#define REASON_APIC_WRITE       56
#define REASON_RDRAND           57
#define REASON_INVPCID          58
#define REASON_VMFUNC           59
#define REASON_ENCLS            60
#define REASON_RDSEED           61
#define REASON_PML_FULL         62
#define REASON_XSAVES           63
#define REASON_XRSTORS          64
#define REASON_PCONFIG          65
#define REASON_SPP              66
#define REASON_UMWAIT           67
#define REASON_TPAUSE           68
#define REASON_LOADIWKEY        69
#define REASON_ENCLV            70
#define REASON_SEAMCALL         76
#define REASON_TDCALL           77
#define VMX_NR_REASONS          78
#define REASON_BASIC(r)         ((uint16_t)(r))
#define REASON_ENTRY_FAILED     BIT(31)

/* ---- vmx_controls.c ---- */

struct vmx_controls {
	uint32_t pin, proc, proc2, exit, entry;
	bool ept_ad;           /* EPT has accessed and dirty flags */
	bool pml;              /* there is page-modification logging; on if vmx_log */
	bool preemption_timer; /* there is one; vmx_run.c says when it is on */
	bool pause_loop;       /* PAUSE exits only in tight loops, else each PAUSE exits */
	bool vpid;             /* translations are tagged; else every entry and exit flushes */
	bool invept_single;    /* else all contexts at once */
	bool invvpid_single;
};

/*
 * Choose the controls for this CPU. NULL and *c filled, or one sentence that
 * names what is missing (and *c is not to be used).
 */
const char *vmx_controls_choose(const struct vmx_caps *caps, struct vmx_controls *c);

/* The n-th control bit that we ask for or decline on purpose, for hwinfo and the tests. */
enum vmx_word { WORD_PIN, WORD_PROC, WORD_PROC2, WORD_EXIT, WORD_ENTRY, VMX_WORDS };
enum vmx_wish {
	WISH_ON,       /* always on; a CPU without it is refused */
	WISH_IF_THERE, /* on where there is such a bit */
	WISH_SWITCHED, /* turned on and off while running; must be possible */
	WISH_OFF,      /* not used, for the reason given */
};
struct vmx_control_bit {
	enum vmx_word word;
	uint32_t bit;
	enum vmx_wish wish;
	const char *name;
	const char *why;
};
extern const struct vmx_control_bit vmx_control_bits[];
extern const unsigned vmx_nr_control_bits;

/* What VMX may be used at all, from CPUID.1:ECX.VMX and IA32_FEATURE_CONTROL. NULL or a sentence.
 */
const char *vmx_feature_refusal(bool cpuid_vmx, uint64_t feature_control);

/* ---- the modification log (28.2.6): 512 addresses, filled from the last one down ---- */

#define PML_ENTRIES 512u

/* The first entry that is filled, by the PML index: the next to be filled. PML_ENTRIES: none is. */
static inline unsigned vmx_log_first(uint64_t index)
{
	return index < PML_ENTRIES ? (unsigned)index + 1 : 0;
}

/* ---- vmx_check*.c ---- */

/* A VMCS and what the checks need beside it. */
struct vmcs_state {
	uint64_t f[VMCS_NR_FIELDS]; /* index F_ */
	struct vmx_caps caps;
	unsigned phys_bits;
	bool host_ia32e; /* the CPU is in IA-32e mode as it enters */
	bool in_smm;
	uint8_t vtpr;      /* byte 80h of the virtual-APIC page */
	uint8_t perf_bits; /* general-purpose performance counters */
};

struct vmx_rule {
	const char *section; /* of the SDM, vol. 3 */
	const char *name;
	bool (*holds)(const struct vmcs_state *s, unsigned arg);
	unsigned arg;
};

extern const struct vmx_rule vmx_control_rules[], vmx_host_rules[], vmx_guest_rules[],
    vmx_segment_rules[];
extern const unsigned vmx_nr_control_rules, vmx_nr_host_rules, vmx_nr_guest_rules,
    vmx_nr_segment_rules;

unsigned vmx_check_rules(void); /* how many there are */
const struct vmx_rule *vmx_check_rule(unsigned n);
/* The first rule that is broken, in the order of the SDM, or NULL. */
const struct vmx_rule *vmx_check(const struct vmcs_state *s);
/* The same for the guest's own state only (26.3). */
const struct vmx_rule *vmx_check_guest(const struct vmcs_state *s);

struct vmcs_field_name {
	const char *name;
	uint16_t encoding;
};
extern const struct vmcs_field_name vmcs_field_names[VMCS_NR_FIELDS];

/* Shared by the rule files. */
bool vmx_canonical(uint64_t address);
bool vmx_physical(const struct vmcs_state *s, uint64_t address); /* fits the CPU's width */
bool vmx_pat_valid(uint64_t pat);
static inline bool vmx_proc2(const struct vmcs_state *s, uint64_t bit)
{
	return (s->f[F_PROC_CONTROLS] & PROC_SECONDARY) && (s->f[F_PROC2_CONTROLS] & bit);
}

/* ---- vmx_exit.c ---- */

/* Which fields the decoder wants for a reason; the hot exits need next to none. */
#define NEED_QUALIFICATION BIT(0)
#define NEED_LENGTH        BIT(1)
#define NEED_INTR          BIT(2) /* interruption information and its error code */
#define NEED_IDT           BIT(3) /* IDT-vectoring information; of an event its error code, length */
#define NEED_GPA           BIT(4)
#define NEED_CR            BIT(5) /* the guest's view of CR0, CR4 */

struct vmx_raw_exit {
	uint32_t reason;
	uint32_t length;
	uint64_t qualification;
	uint32_t intr_info, intr_error;
	uint32_t idt_info, idt_error;
	uint64_t gpa;
	uint64_t cr0; /* as the guest sees it */
	uint64_t cr8;
};

/* What an exit leaves to do inside the back end. */
struct vmx_aftermath {
	bool any;           /* false: nothing below matters */
	bool nmi_unblocked; /* an IRET had unblocked NMIs: block them again */
	bool host_nmi;      /* run our own NMI handler */
	bool host_mce;      /* run our own machine-check handler */
	bool reads_cr8;     /* put CR8 into gpr, then step over */
	uint8_t gpr;
	uint8_t step;        /* INT1: its trap comes after the instruction */
	uint32_t again_info; /* the event to deliver again: an entry's interruption information */
	uint32_t again_error;
	uint32_t again_length;
};

/* By basic reason; name NULL: none that the SDM knows. */
struct vmx_reason {
	const char *name;
	uint8_t kind; /* enum exit_kind */
	uint8_t needs;
};
extern const struct vmx_reason vmx_reasons[VMX_NR_REASONS];

/* Its length is all that there is to know of such an exit: no decoding, no aftermath. */
static inline bool vmx_exit_is_plain(uint64_t reason)
{
	return reason < VMX_NR_REASONS && vmx_reasons[reason].needs == NEED_LENGTH;
}

unsigned vmx_exit_needs(uint32_t reason);
void vmx_exit_decode(const struct vmx_raw_exit *raw, const struct guest_regs *regs,
                     struct vmexit *x, struct vmx_aftermath *after);
const char *vmx_reason_name(uint32_t reason);

/*
 * Whether a guest in this state has to take a waiting NMI before an interrupt. One that its
 * blocking by NMI holds back does not: the interrupt window opens regardless of that blocking
 * (25.2), so an interrupt that waited for it would exit at each entry, before any instruction.
 */
bool vmx_nmi_first(bool nmi_waits, uint64_t interruptibility);

/* ---- ept.c ---- */
extern const struct pte_format ept_format; /* accessed and dirty flags */
extern const struct pte_format ept_format_no_ad;

#endif
