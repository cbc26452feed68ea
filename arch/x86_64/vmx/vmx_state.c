/* SPDX-License-Identifier: MIT */
/*
 * The guest's registers that live in the VMCS, as common code sees them.
 *
 * CR0: CD and NW are ours (real ones 0, the guest reads what it wrote), so are
 * NE and the reserved bits; PE, PG, TS and the like are the guest's own, and
 * with an unrestricted guest the CPU keeps LMA and the IA-32e entry control in
 * step with PG (SDM vol. 3, 26.3.2.1, 27.3.1).
 * CR4: the bits that a kernel flips often are the guest's own; a write that
 * changes another one exits and is judged by guest/cr.c. The real VMXE and MCE
 * are always 1.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"
#include "mm/space.h"

#define CR0_GUEST_OWNED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM | CR0_PG)
#define CR4_GUEST_OWNED                                                                            \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |            \
	 CR4_OSFXSR | CR4_OSXMMEXCPT)

#define DR7_FIXED BIT(10)

uint64_t vmx_cr0(void)
{
	return (vmread(GUEST_CR0) & CR0_GUEST_OWNED) | (vmread(CR0_SHADOW) & ~CR0_GUEST_OWNED);
}

static uint64_t vmx_cr4(void)
{
	return (vmread(GUEST_CR4) & CR4_GUEST_OWNED) | (vmread(CR4_SHADOW) & ~CR4_GUEST_OWNED);
}

uint64_t vmx_vcpu_cr4(struct hvm_vcpu *v)
{
	(void)v;
	return vmx_cr4();
}

static uint64_t real_cr0(uint64_t wanted)
{
	uint64_t fixed = vmx_caps.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	return (wanted & ~(CR0_CD | CR0_NW)) | fixed | CR0_ET;
}

static uint64_t real_cr4(uint64_t wanted)
{
	return wanted | vmx_caps.cr4_fixed0 | (read_cr4() & CR4_MCE);
}

unsigned vmx_vcpu_mode(struct hvm_vcpu *v)
{
	unsigned mode = AR_DPL(vmread(GUEST_SS_AR));

	(void)v;
	if ((vmread(GUEST_CS_AR) & AR_L) && (vmread(ENTRY_CONTROLS) & ENTRY_CTL_GUEST_64))
		mode |= VCPU_MODE_64;
	return mode;
}

/* ---- segments: attributes as in regs.h, access rights as in 24.4.1 ---- */

static uint64_t ar_of(uint16_t attributes)
{
	if (!(attributes & SEG_ATTR_P))
		return AR_UNUSABLE;
	return (attributes & 0xffu) | (uint64_t)(attributes & 0xf00u) << 4;
}

static uint16_t attributes_of(uint64_t ar)
{
	if (ar & AR_UNUSABLE)
		return 0;
	return (uint16_t)((ar & 0xff) | ((ar >> 4) & 0xf00));
}

static void get_segment(unsigned n, struct guest_segment *s)
{
	s->selector = (uint16_t)vmread((enum vmcs_field)(GUEST_ES_SELECTOR + 2 * n));
	s->base = vmread((enum vmcs_field)(GUEST_ES_BASE + 2 * n));
	s->limit = (uint32_t)vmread((enum vmcs_field)(GUEST_ES_LIMIT + 2 * n));
	s->attributes = attributes_of(vmread((enum vmcs_field)(GUEST_ES_AR + 2 * n)));
}

/* Limits are given in bytes: G follows from what the limit can be without it. */
static void put_segment(struct vmcs_state *c, unsigned n, const struct guest_segment *s)
{
	uint64_t ar = ar_of(s->attributes);

	if (!(ar & AR_UNUSABLE)) {
		if (s->limit >> 20)
			ar |= AR_G;
		else if ((s->limit & 0xfff) != 0xfff)
			ar &= ~AR_G;
	}
	c->f[F_GUEST_ES_SELECTOR + n] = s->selector;
	c->f[F_GUEST_ES_BASE + n] = s->base;
	c->f[F_GUEST_ES_LIMIT + n] = s->limit;
	c->f[F_GUEST_ES_AR + n] = ar;
}

static void get_paging(struct guest_state *s)
{
	s->cr0 = vmx_cr0();
	s->cr3 = vmread(GUEST_CR3);
	s->cr4 = vmx_cr4();
	s->efer = vmread(GUEST_EFER);
	s->cpl = AR_DPL(vmread(GUEST_SS_AR));
}

void vmx_vcpu_get_paging(struct hvm_vcpu *v, struct guest_state *s)
{
	bool borrowed = vmx_borrow(v);

	get_paging(s);
	vmx_return(v, borrowed);
}

void vmx_vcpu_get_state(struct hvm_vcpu *v, struct guest_state *s)
{
	struct guest_segment *const segments[SEGS] = {&s->es, &s->cs, &s->ss,   &s->ds,
	                                              &s->fs, &s->gs, &s->ldtr, &s->tr};
	bool borrowed = vmx_borrow(v);

	for (unsigned i = 0; i < SEGS; i++)
		get_segment(i, segments[i]);
	s->gdtr = (struct guest_segment){.base = vmread(GUEST_GDTR_BASE),
	                                 .limit = (uint32_t)vmread(GUEST_GDTR_LIMIT)};
	s->idtr = (struct guest_segment){.base = vmread(GUEST_IDTR_BASE),
	                                 .limit = (uint32_t)vmread(GUEST_IDTR_LIMIT)};
	get_paging(s);
	s->cr2 = vmx_is_live(v) ? read_cr2() : v->vmx->cr2;
	s->dr7 = vmread(GUEST_DR7);
	vmx_return(v, borrowed);
}

/* ---- PAE page-directory pointers: the CPU takes them from the VMCS (26.3.2.4) ---- */

static bool is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* False: one of them has a reserved bit, or the guest has no memory there. */
static bool fetch_pdptes(struct hvm_vcpu *v, uint64_t cr3, uint64_t pdpte[4])
{
	uint64_t reserved = BITS(2, 1) | BITS(8, 5) | ~BITS(vmx_phys_bits() - 1, 0);

	if (mm_read(v->space, cr3 & BITS(31, 5), pdpte, 32) != MM_OK)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	return true;
}

/* Which changes of CR0 and CR4 make the CPU load them; a write to CR3 always does (SDM vol. 3, 4.4.1). */
#define CR0_LOADS (CR0_CD | CR0_NW | CR0_PG)
#define CR4_LOADS (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

static bool write_loads_pdptes(unsigned number, uint64_t value)
{
	uint64_t cr0 = vmx_cr0(), cr4 = vmx_cr4(), efer = vmread(GUEST_EFER);

	switch (number) {
	case 0:
		return is_pae(value, cr4, cr_efer_lma(efer, value)) && ((value ^ cr0) & CR0_LOADS);
	case 3:
		return is_pae(cr0, cr4, efer);
	case 4:
		return is_pae(cr0, value, efer) && ((value ^ cr4) & CR4_LOADS);
	default:
		return false;
	}
}

static void put_pdptes(const uint64_t pdpte[4])
{
	vmwrite(GUEST_PDPTE0, pdpte[0]);
	vmwrite(GUEST_PDPTE1, pdpte[1]);
	vmwrite(GUEST_PDPTE2, pdpte[2]);
	vmwrite(GUEST_PDPTE3, pdpte[3]);
}

/* ---- setting it all ---- */

static void put_control_registers(struct vmcs_state *c, const struct guest_state *s)
{
	c->f[F_GUEST_CR0] = real_cr0(s->cr0);
	c->f[F_CR0_SHADOW] = s->cr0 | CR0_ET;
	c->f[F_GUEST_CR3] = s->cr3;
	c->f[F_GUEST_CR4] = real_cr4(s->cr4);
	c->f[F_CR4_SHADOW] = s->cr4;
	c->f[F_GUEST_EFER] = s->efer;
	c->f[F_GUEST_DR7] = (s->dr7 & UINT32_MAX) | DR7_FIXED;
	c->f[F_ENTRY_CONTROLS] &= ~ENTRY_CTL_GUEST_64;
	if (s->efer & EFER_LMA)
		c->f[F_ENTRY_CONTROLS] |= ENTRY_CTL_GUEST_64;
}

static void put_tables(struct vmcs_state *c, const struct guest_state *s)
{
	c->f[F_GUEST_GDTR_BASE] = s->gdtr.base;
	c->f[F_GUEST_GDTR_LIMIT] = s->gdtr.limit;
	c->f[F_GUEST_IDTR_BASE] = s->idtr.base;
	c->f[F_GUEST_IDTR_LIMIT] = s->idtr.limit;
}

/* What RIP, RFLAGS and events may be is another matter: they are not part of the state. */
static void put_neutral(struct vmcs_state *c)
{
	c->f[F_GUEST_RIP] = 0;
	c->f[F_GUEST_RFLAGS] = 2;
	c->f[F_GUEST_ACTIVITY] = ACTIVITY_ACTIVE;
	c->f[F_GUEST_INTERRUPTIBILITY] = 0;
	c->f[F_GUEST_PENDING_DEBUG] = 0;
	c->f[F_ENTRY_INTR_INFO] = 0;
}

static void write_changed(const struct vmcs_state *c, const struct vmcs_state *old)
{
	for (unsigned i = 0; i < VMCS_NR_FIELDS; i++)
		if (c->f[i] != old->f[i])
			vmwrite((enum vmcs_field)vmcs_field_names[i].encoding, c->f[i]);
}

/* Everything at once, checked as the CPU will check it. */
static bool set_state(struct hvm_vcpu *v, const struct guest_state *s)
{
	const struct guest_segment *const segments[SEGS] = {&s->es, &s->cs, &s->ss,   &s->ds,
	                                                    &s->fs, &s->gs, &s->ldtr, &s->tr};
	struct vmcs_state old, new;

	vmx_snapshot(&old);
	put_neutral(&old); /* equal in both, so not written below */
	new = old;
	put_control_registers(&new, s);
	put_tables(&new, s);
	for (unsigned i = 0; i < SEGS; i++)
		put_segment(&new, i, segments[i]);
	/* A null TR is what a guest that never loaded one has; the CPU wants a busy TSS. */
	if (new.f[F_GUEST_TR_AR] & AR_UNUSABLE)
		new.f[F_GUEST_TR_AR] = 0x8b;
	if (is_pae(s->cr0, s->cr4, s->efer) && !fetch_pdptes(v, s->cr3, &new.f[F_GUEST_PDPTE0]))
		return false;
	if (vmx_check_guest(&new))
		return false;
	write_changed(&new, &old);
	vmwrite(GUEST_INTERRUPTIBILITY, 0);
	vmwrite(GUEST_PENDING_DEBUG, 0);
	return true;
}

bool vmx_vcpu_set_state(struct hvm_vcpu *v, const struct guest_state *s)
{
	bool borrowed, ok;

	if (!cr_state_valid(s))
		return false;
	borrowed = vmx_borrow(v);
	ok = set_state(v, s);
	if (ok) {
		vmx_flush_vpid(v->vmx);
		v->vmx->cr2 = s->cr2;
		if (vmx_is_live(v))
			write_cr2(s->cr2);
	}
	vmx_return(v, borrowed);
	return ok;
}

/* A new VMCS: real mode, flat 64 KiB segments, as after a reset but for CS. */
void vmx_state_reset(void)
{
	for (unsigned n = 0; n < SEGS; n++) {
		vmwrite((enum vmcs_field)(GUEST_ES_SELECTOR + 2 * n), 0);
		vmwrite((enum vmcs_field)(GUEST_ES_BASE + 2 * n), 0);
		vmwrite((enum vmcs_field)(GUEST_ES_LIMIT + 2 * n), 0xffff);
		vmwrite((enum vmcs_field)(GUEST_ES_AR + 2 * n), 0x93);
	}
	vmwrite(GUEST_CS_AR, 0x9b);
	vmwrite(GUEST_LDTR_AR, AR_UNUSABLE);
	vmwrite(GUEST_TR_AR, 0x8b);
	vmwrite(GUEST_GDTR_BASE, 0);
	vmwrite(GUEST_GDTR_LIMIT, 0);
	vmwrite(GUEST_IDTR_BASE, 0);
	vmwrite(GUEST_IDTR_LIMIT, 0xffff);
	vmwrite(GUEST_CR0, real_cr0(0));
	vmwrite(CR0_MASK, ~CR0_GUEST_OWNED);
	vmwrite(CR0_SHADOW, CR0_ET);
	vmwrite(GUEST_CR3, 0);
	vmwrite(GUEST_CR4, real_cr4(0));
	vmwrite(CR4_MASK, ~CR4_GUEST_OWNED);
	vmwrite(CR4_SHADOW, 0);
	vmwrite(GUEST_EFER, 0);
	vmwrite(GUEST_DR7, DR7_FIXED);
	vmwrite(GUEST_DEBUGCTL, 0);
	vmwrite(GUEST_RIP, 0);
	vmwrite(GUEST_RSP, 0);
	vmwrite(GUEST_RFLAGS, 2);
	vmwrite(GUEST_SYSENTER_CS, 0);
	vmwrite(GUEST_SYSENTER_ESP, 0);
	vmwrite(GUEST_SYSENTER_EIP, 0);
	vmwrite(GUEST_INTERRUPTIBILITY, 0);
	vmwrite(GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(GUEST_PENDING_DEBUG, 0);
}

/* ---- single control registers, allowed by common code ---- */

static void write_cr0_guest(uint64_t value)
{
	uint64_t efer = cr_efer_lma(vmread(GUEST_EFER), value);
	uint64_t entry = vmread(ENTRY_CONTROLS) & ~ENTRY_CTL_GUEST_64;

	vmwrite(GUEST_CR0, real_cr0(value));
	vmwrite(CR0_SHADOW, value | CR0_ET);
	vmwrite(GUEST_EFER, efer);
	vmwrite(ENTRY_CONTROLS, efer & EFER_LMA ? entry | ENTRY_CTL_GUEST_64 : entry);
}

static void write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value)
{
	switch (number) {
	case 0:
		write_cr0_guest(value);
		break;
	case 3:
		vmwrite(GUEST_CR3, value & ~BIT(63));
		break;
	case 4:
		vmwrite(GUEST_CR4, real_cr4(value));
		vmwrite(CR4_SHADOW, value);
		break;
	default:
		v->vmx->cr8 = value & 15;
		return;
	}
	vmx_flush_vpid(v->vmx);
}

bool vmx_vcpu_write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value)
{
	bool borrowed = vmx_borrow(v), loads = write_loads_pdptes(number, value), ok = true;
	uint64_t pdpte[4];

	if (loads)
		ok = fetch_pdptes(v, number == 3 ? value : vmread(GUEST_CR3), pdpte);
	if (ok && loads)
		put_pdptes(pdpte);
	if (ok)
		write_cr(v, number, value);
	vmx_return(v, borrowed);
	return ok;
}
