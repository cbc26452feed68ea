/* SPDX-License-Identifier: MIT */
/* The guest's registers in the VMCB, and those that the guest only believes to have. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/svm/svm_controls.h"
#include "arch/x86_64/svm/svm_vcpu.h"
#include "arch/x86_64/xstate.h"
#include "kernel/log.h"

#define CACHE_BITS         (CR0_CD | CR0_NW)
#define CR0_READ_INTERCEPT BIT(0)
#define CR4_READ_INTERCEPT BIT(4)
#define DR7_FIXED          BIT(10)

#define MSR_SYSENTER_CS  0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u

#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR)

static bool svm_canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

uint64_t svm_guest_cr0(const struct hvm_vcpu *v)
{
	return (v->svm->vmcb->cr0 & ~CACHE_BITS) | v->svm->cr0_hidden;
}

/* ---- segments ---- */

/* Bases as VMRUN and VMLOAD take them: sign-extended (APM vol. 2, 15.5.1). QEMU lets a guest
 * write others into FS_BASE and GS_BASE. */
static struct guest_segment svm_segment_out(const struct vmcb_segment *s)
{
	uint64_t base = (uint64_t)((int64_t)(s->base << 16) >> 16);

	return (struct guest_segment){s->selector, s->attributes & 0xfff, s->limit, base};
}

static struct vmcb_segment svm_segment_in(const struct guest_segment *s)
{
	return (struct vmcb_segment){s->selector, s->attributes & 0xfff, s->limit, s->base};
}

void svm_vcpu_get_paging(struct hvm_vcpu *v, struct guest_state *s)
{
	const struct vmcb *b = v->svm->vmcb;

	s->cr0 = svm_guest_cr0(v);
	s->cr3 = b->cr3;
	s->cr4 = v->svm->cr4;
	s->efer = b->efer & ~EFER_SVME;
	s->cpl = b->cpl;
}

void svm_vcpu_get_state(struct hvm_vcpu *v, struct guest_state *s)
{
	const struct vmcb *b = v->svm->vmcb;

	svm_vcpu_get_paging(v, s);
	s->cr2 = b->cr2;
	s->dr7 = b->dr7;
	s->cs = svm_segment_out(&b->cs);
	s->ds = svm_segment_out(&b->ds);
	s->es = svm_segment_out(&b->es);
	s->fs = svm_segment_out(&b->fs);
	s->gs = svm_segment_out(&b->gs);
	s->ss = svm_segment_out(&b->ss);
	s->tr = svm_segment_out(&b->tr);
	s->ldtr = svm_segment_out(&b->ldtr);
	s->gdtr = svm_segment_out(&b->gdtr);
	s->idtr = svm_segment_out(&b->idtr);
}

/* CPL goes with SS in protected mode (APM vol. 2, 4.9.1); a guest in real mode has 0. */
static unsigned svm_cpl(const struct guest_state *s)
{
	return s->cr0 & CR0_PE ? SEG_ATTR_DPL(s->ss.attributes) : 0;
}

static void svm_load_cr0(struct hvm_vcpu *v, uint64_t cr0)
{
	struct svm_vcpu *s = v->svm;
	struct vmcb *b = s->vmcb;

	s->cr0_hidden = cr0 & CACHE_BITS;
	b->cr0 = (cr0 & ~CACHE_BITS) | CR0_ET;
	b->efer = cr_efer_lma(b->efer, cr0);
	if (s->cr0_hidden)
		b->intercepts[WORD_CR] |= CR0_READ_INTERCEPT;
	else
		b->intercepts[WORD_CR] &= (uint32_t)~CR0_READ_INTERCEPT;
}

/*
 * A machine check while CR4.MCE is clear is a shutdown (APM vol. 2, 9.3), which would be taken for
 * the guest's triple fault: the machine's own MCE (paging.c:paging_cpu_init) stays on in the guest,
 * as in KVM, and #MC exits. Reads exit while the guest believes that it is off.
 */
static void svm_load_cr4(struct svm_vcpu *s, uint64_t cr4)
{
	struct vmcb *b = s->vmcb;

	s->cr4 = cr4;
	b->cr4 = cr4 | CR4_MCE;
	if (cr4 & CR4_MCE)
		b->intercepts[WORD_CR] &= (uint32_t)~CR4_READ_INTERCEPT;
	else
		b->intercepts[WORD_CR] |= CR4_READ_INTERCEPT;
}

/* What the guest's own translations depend on has changed. */
static void svm_mode_changed(struct svm_vcpu *s)
{
	s->flush_own = true;
	svm_fetch_forget(s);
}

bool svm_vcpu_set_state(struct hvm_vcpu *v, const struct guest_state *s)
{
	struct vmcb *b = v->svm->vmcb;

	if (!cr_state_valid(s) || (s->efer & ~EFER_KNOWN) || (s->cr4 >> 32) || (s->dr7 >> 32))
		return false;
	if (!svm_canonical(s->fs.base) || !svm_canonical(s->gs.base) ||
	    !svm_canonical(s->tr.base) || !svm_canonical(s->ldtr.base) ||
	    !svm_canonical(s->gdtr.base) || !svm_canonical(s->idtr.base))
		return false;
	b->efer = s->efer | EFER_SVME;
	svm_load_cr0(v, s->cr0);
	b->cr2 = s->cr2;
	b->cr3 = s->cr3;
	svm_load_cr4(v->svm, s->cr4);
	b->dr7 = s->dr7 | DR7_FIXED;
	b->cs = svm_segment_in(&s->cs);
	b->ds = svm_segment_in(&s->ds);
	b->es = svm_segment_in(&s->es);
	b->fs = svm_segment_in(&s->fs);
	b->gs = svm_segment_in(&s->gs);
	b->ss = svm_segment_in(&s->ss);
	b->tr = svm_segment_in(&s->tr);
	b->ldtr = svm_segment_in(&s->ldtr);
	b->gdtr = svm_segment_in(&s->gdtr);
	b->idtr = svm_segment_in(&s->idtr);
	b->cpl = (uint8_t)svm_cpl(s);
	b->interrupt_state = 0;
	svm_mode_changed(v->svm);
	return true;
}

/* With nested paging, PDPTEs are not looked at before they are used (APM vol. 2, 15.25.10). */
bool svm_vcpu_write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value)
{
	struct vmcb *b = v->svm->vmcb;

	switch (number) {
	case 0:
		svm_load_cr0(v, value);
		break;
	case 3:
		b->cr3 = value & ~BIT(63);
		break;
	case 4:
		svm_load_cr4(v->svm, value);
		break;
	case 8:
		b->virtual_interrupt = (b->virtual_interrupt & ~V_TPR_MASK) | (value & V_TPR_MASK);
		return true;
	default:
		ASSERT(!"a control register that guests do not have");
	}
	svm_mode_changed(v->svm);
	return true;
}

/* ---- MSRs ---- */

/* The field of the VMCB that holds an MSR; NULL if none does. */
static uint64_t *svm_msr_field(struct vmcb *b, uint32_t msr)
{
	switch (msr) {
	case MSR_SYSENTER_CS:
		return &b->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &b->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &b->sysenter_eip;
	case MSR_STAR:
		return &b->star;
	case MSR_LSTAR:
		return &b->lstar;
	case MSR_CSTAR:
		return &b->cstar;
	case MSR_SFMASK:
		return &b->sfmask;
	case MSR_FS_BASE:
		return &b->fs.base;
	case MSR_GS_BASE:
		return &b->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &b->kernel_gs_base;
	}
	return NULL;
}

bool svm_vcpu_read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value)
{
	const uint64_t *field = svm_msr_field(v->svm->vmcb, msr);

	if (field)
		*value = *field;
	else if (msr == MSR_EFER)
		*value = v->svm->vmcb->efer & ~EFER_SVME;
	else if (msr == MSR_PAT)
		*value = v->svm->pat;
	else if (msr == MSR_TSC_AUX && xstate_has_tsc_aux())
		*value = rdmsr(MSR_TSC_AUX);
	else
		return false;
	return true;
}

/* Memory types 0 1 4 5 6 7, the rest is reserved (APM vol. 2, 7.8.1). */
static bool svm_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint8_t type = (uint8_t)(pat >> i);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool svm_write_efer(struct hvm_vcpu *v, uint64_t value)
{
	struct vmcb *b = v->svm->vmcb;

	if ((value & ~EFER_KNOWN) || ((b->cr0 & CR0_PG) && ((value ^ b->efer) & EFER_LME)))
		return false;
	b->efer = cr_efer_lma(value, b->cr0) | EFER_SVME;
	svm_mode_changed(v->svm);
	return true;
}

bool svm_vcpu_write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t *field = svm_msr_field(v->svm->vmcb, msr);

	if (field) {
		bool address = msr != MSR_SYSENTER_CS && msr != MSR_STAR && msr != MSR_SFMASK;

		if (address && !svm_canonical(value))
			return false;
		*field = value;
		return true;
	}
	if (msr == MSR_EFER)
		return svm_write_efer(v, value);
	if (msr == MSR_PAT && svm_pat_valid(value)) {
		v->svm->pat = value;
		return true;
	}
	if (msr == MSR_TSC_AUX && xstate_has_tsc_aux() && !(value >> 32)) {
		v->tsc_aux = value;
		wrmsr(MSR_TSC_AUX, value);
		return true;
	}
	return false;
}

/* ---- the dump ---- */

static void svm_dump_segment(const char *name, const struct vmcb_segment *s,
                             void (*line)(const char *text))
{
	char text[100];

	text_format(text, sizeof(text), "  %-4s %04x attributes %03x limit %08x base %016llx", name,
	            s->selector, s->attributes, s->limit, (unsigned long long)s->base);
	line(text);
}

static void svm_dump_words(const char *names, const uint64_t *values, unsigned n,
                           void (*line)(const char *text))
{
	char text[160];
	int at = text_format(text, sizeof(text), "  %s", names);

	for (unsigned i = 0; i < n && at < (int)sizeof(text) - 20; i++)
		at += text_format(text + at, sizeof(text) - (size_t)at, " %016llx",
		                  (unsigned long long)values[i]);
	line(text);
}

void svm_vcpu_dump(struct hvm_vcpu *v, void (*line)(const char *text))
{
	const struct svm_vcpu *s = v->svm;
	const struct vmcb *b = s->vmcb;
	const uint64_t *gpr = v->regs.gpr;
	const struct {
		const char *name;
		const struct vmcb_segment *segment;
	} segments[] = {
	    {"CS",   &b->cs  },
            {"SS",   &b->ss  },
            {"DS",   &b->ds  },
            {"ES",   &b->es  },
	    {"FS",   &b->fs  },
            {"GS",   &b->gs  },
            {"TR",   &b->tr  },
            {"LDTR", &b->ldtr},
	    {"GDTR", &b->gdtr},
            {"IDTR", &b->idtr}
        };

	svm_dump_words("exit code, info 1, info 2, int info:",
	               (uint64_t[]){b->exit_code, b->exit_info1, b->exit_info2, b->exit_int_info},
	               4, line);
	svm_dump_words("RIP RFLAGS CPL:", (uint64_t[]){v->regs.rip, v->regs.rflags, b->cpl}, 3,
	               line);
	svm_dump_words("RAX RCX RDX RBX:", gpr, 4, line);
	svm_dump_words("RSP RBP RSI RDI:", gpr + 4, 4, line);
	svm_dump_words("R8  R9  R10 R11:", gpr + 8, 4, line);
	svm_dump_words("R12 R13 R14 R15:", gpr + 12, 4, line);
	svm_dump_words("CR0 (hidden bits) CR2 CR3:",
	               (uint64_t[]){b->cr0, s->cr0_hidden, b->cr2, b->cr3}, 4, line);
	svm_dump_words("CR4 (the guest's) EFER DR6 DR7:",
	               (uint64_t[]){b->cr4, s->cr4, b->efer, b->dr6, b->dr7}, 5, line);
	for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
		svm_dump_segment(segments[i].name, segments[i].segment, line);
	svm_dump_words(
	    "event, virtual interrupt, interrupt state, ASID:",
	    (uint64_t[]){s->event, b->virtual_interrupt, b->interrupt_state, b->guest_asid}, 4,
	    line);
	svm_dump_words("nested CR3, root's generation:",
	               (uint64_t[]){b->nested_cr3, s->space_generation}, 2, line);
}
