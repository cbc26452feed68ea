/* SPDX-License-Identifier: MIT */
/*
 * The registers of a virtual local APIC, by MSR (x2APIC mode) and by memory
 * (xAPIC mode): one table for both, after table "Local APIC Register Address
 * Map Supported by x2APIC" and the figures of each register.
 *
 * By MSR a breach is #GP: an address that is not in the table, a read of what
 * is write-only, a write of what is read-only, a reserved bit that is set. By
 * memory a reserved bit is ignored, a write to a read-only register too, and an
 * address that is not there is an error in ESR.
 */
#include "arch/x86_64/guest/vlapic.h"

#define R  1u /* readable */
#define W  2u /* writable */
#define RW 3u

struct vlapic_row {
	uint8_t first, last; /* enum vlapic_reg */
	uint8_t x2apic, xapic;
	uint32_t allowed; /* bits that may be written */
};

#define VECTOR     0xffu
#define STATUS     0x1000u /* read-only, not reserved: a write of it is ignored */
#define MASK       0x10000u
#define LVT_MODE   0x700u
#define LVT_PIN    0xe000u /* polarity, remote IRR, trigger */
#define REMOTE_IRR 0x4000u
/* vector, mode, destination mode, level, trigger, shorthand; without delivery status */
#define ICR_BITS (VECTOR | 0xf00u | 0xc000u | 0xc0000u)
/* vector, enable, focus check; EOI-broadcast suppression is not offered */
#define SVR_BITS 0x3ffu

/* In ascending order; CMCI (0x2f) is not there: the version says so. */
static const struct vlapic_row vlapic_rows[] = {
    {APIC_ID,            APIC_ID,            R,  R,  0                                          },
    {APIC_VERSION,       APIC_VERSION,       R,  R,  0                                          },
    {APIC_TPR,           APIC_TPR,           RW, RW, VECTOR                                     },
    {APIC_APR,           APIC_APR,           0,  R,  0                                          },
    {APIC_PPR,           APIC_PPR,           R,  R,  0                                          },
    {APIC_EOI,           APIC_EOI,           W,  W,  0                                          },
    {APIC_RRD,           APIC_RRD,           0,  R,  0                                          },
    {APIC_LDR,           APIC_LDR,           R,  RW, 0xff000000                                 },
    {APIC_DFR,           APIC_DFR,           0,  RW, 0xf0000000                                 },
    {APIC_SVR,           APIC_SVR,           RW, RW, SVR_BITS                                   },
    {APIC_ISR,           APIC_IRR + 7,       R,  R,  0                                          },
    {APIC_ESR,           APIC_ESR,           RW, RW, 0                                          },
    {APIC_ICR,           APIC_ICR,           RW, RW, ICR_BITS                                   },
    {APIC_ICR_HIGH,      APIC_ICR_HIGH,      0,  RW, 0xff000000                                 },
    {APIC_LVT_TIMER,     APIC_LVT_TIMER,     RW, RW, VECTOR | STATUS | MASK | 0x20000           },
    {APIC_LVT_THERMAL,   APIC_LVT_PERF,      RW, RW, VECTOR | LVT_MODE | STATUS | MASK          },
    {APIC_LVT_LINT0,     APIC_LVT_LINT1,     RW, RW, VECTOR | LVT_MODE | STATUS | LVT_PIN | MASK},
    {APIC_LVT_ERROR,     APIC_LVT_ERROR,     RW, RW, VECTOR | STATUS | MASK                     },
    {APIC_TIMER_INITIAL, APIC_TIMER_INITIAL, RW, RW, UINT32_MAX                                 },
    {APIC_TIMER_CURRENT, APIC_TIMER_CURRENT, R,  R,  0                                          },
    {APIC_TIMER_DIVIDE,  APIC_TIMER_DIVIDE,  RW, RW, 0xb                                        },
    {APIC_SELF_IPI,      APIC_SELF_IPI,      W,  0,  VECTOR                                     },
};

/* An integrated APIC with six LVT registers, no suppression of EOI broadcasts ("Local APIC Version
 * Register"). */
#define VERSION (0x14u | (VLAPIC_LVTS - 1) << 16)

static const struct vlapic_row *vlapic_row(uint32_t reg)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vlapic_rows); i++)
		if (reg >= vlapic_rows[i].first && reg <= vlapic_rows[i].last)
			return &vlapic_rows[i];
	return NULL;
}

/* ---- reading ---- */

/* In x2APIC mode it is made of the id ("Deriving Logical x2APIC ID from the Local x2APIC ID"). */
static uint32_t vlapic_ldr(const struct vlapic *a)
{
	if (vlapic_x2apic(a))
		return (a->id >> 4) << 16 | 1u << (a->id & 15);
	return a->ldr;
}

static uint32_t vlapic_get_vectors(const struct vlapic *a, uint32_t reg)
{
	if (reg >= APIC_IRR)
		return a->irr[reg & 7];
	return reg >= APIC_TMR ? 0 : a->isr[reg & 7];
}

static uint32_t vlapic_get(const struct vlapic *a, uint32_t reg, uint64_t now_ns)
{
	switch (reg) {
	case APIC_ID:
		return vlapic_x2apic(a) ? a->id : a->id << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return a->tpr;
	case APIC_PPR:
		return vlapic_ppr(a);
	case APIC_LDR:
		return vlapic_ldr(a);
	case APIC_DFR:
		return a->dfr;
	case APIC_SVR:
		return a->svr;
	case APIC_ISR ... APIC_IRR + 7:
		return vlapic_get_vectors(a, reg);
	case APIC_ESR:
		return a->esr;
	case APIC_ICR:
		return a->icr;
	case APIC_ICR_HIGH:
		return a->icr_high;
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		return a->lvt[reg - APIC_LVT_TIMER];
	case APIC_TIMER_INITIAL:
		return a->timer_initial;
	case APIC_TIMER_CURRENT:
		return vlapic_timer_current(a, now_ns);
	case APIC_TIMER_DIVIDE:
		return a->timer_divide;
	}
	return 0;
}

/* ---- writing; the value has only bits that the table allows ---- */

/* Software disabled: all LVT masks are set, and stay so ("Local APIC State After It Has Been
 * Software Disabled"). */
static void vlapic_set_svr(struct vlapic *a, uint32_t value)
{
	a->svr = value;
	if (value & SVR_ENABLE)
		return;
	for (unsigned i = 0; i < VLAPIC_LVTS; i++)
		a->lvt[i] |= LVT_MASKED;
}

static void vlapic_set_lvt(struct vlapic *a, uint32_t reg, uint32_t value)
{
	value &= ~(STATUS | REMOTE_IRR);
	if (!(a->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	a->lvt[reg - APIC_LVT_TIMER] = value;
}

static void vlapic_set_icr(struct vlapic *a, uint32_t value, struct vlapic_todo *t)
{
	a->icr = value;
	t->what = VLAPIC_DO_LOOK; /* an error of the sender may interrupt it */
	if (vlapic_icr_decode(a, &t->ipi))
		t->what |= VLAPIC_DO_IPI;
}

/* "The SELF IPI register": as ICR with the shorthand, but ICR keeps what it has. */
static void vlapic_self_ipi(struct vlapic *a, uint8_t vector, struct vlapic_todo *t)
{
	t->what = VLAPIC_DO_LOOK;
	if (vector < VECTOR_LEGAL) {
		vlapic_error(a, (uint32_t)ESR_SEND_ILLEGAL);
		return;
	}
	t->what |= VLAPIC_DO_IPI;
	t->ipi = (struct vlapic_ipi){.vector = vector, .shorthand = TO_SELF};
}

/* A write shows the errors since the last one ("Error Handling"). */
static void vlapic_set_esr(struct vlapic *a)
{
	a->esr = a->esr_new;
	a->esr_new = 0;
}

static void vlapic_put_timer(struct vlapic *a, uint32_t reg, uint32_t value, uint64_t now_ns,
                             struct vlapic_todo *t)
{
	t->what = VLAPIC_DO_TIMER;
	if (reg == APIC_TIMER_INITIAL)
		vlapic_timer_set(a, value, now_ns);
	else if (reg == APIC_TIMER_DIVIDE)
		vlapic_timer_set_divide(a, value, now_ns);
	else
		vlapic_set_lvt(a, reg, value);
}

static void vlapic_put(struct vlapic *a, uint32_t reg, uint32_t value, uint64_t now_ns,
                       struct vlapic_todo *t)
{
	t->what = VLAPIC_DO_LOOK;
	switch (reg) {
	case APIC_TPR:
		vlapic_set_tpr(a, value);
		t->what = VLAPIC_DO_TPR | VLAPIC_DO_LOOK;
		break;
	case APIC_EOI:
		vlapic_eoi(a);
		break;
	case APIC_LDR:
		a->ldr = value;
		break;
	case APIC_DFR:
		a->dfr = value | 0x0fffffff;
		break;
	case APIC_SVR:
		vlapic_set_svr(a, value);
		break;
	case APIC_ESR:
		vlapic_set_esr(a);
		break;
	case APIC_ICR:
		vlapic_set_icr(a, value, t);
		break;
	case APIC_ICR_HIGH:
		a->icr_high = value;
		break;
	case APIC_LVT_THERMAL ... APIC_LVT_ERROR:
		vlapic_set_lvt(a, reg, value);
		break;
	case APIC_SELF_IPI:
		vlapic_self_ipi(a, (uint8_t)value, t);
		break;
	case APIC_LVT_TIMER:
	case APIC_TIMER_INITIAL:
	case APIC_TIMER_DIVIDE:
		vlapic_put_timer(a, reg, value, now_ns, t);
		break;
	}
}

/* ---- by MSR ---- */

bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t now_ns, uint64_t *value)
{
	uint32_t reg = msr - VLAPIC_MSR_FIRST;
	const struct vlapic_row *row = vlapic_row(reg);

	if (!vlapic_x2apic(a) || !row || !(row->x2apic & R))
		return false;
	*value = vlapic_get(a, reg, now_ns);
	if (reg == APIC_ICR)
		*value |= (uint64_t)a->icr_high << 32;
	return true;
}

bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value, uint64_t now_ns,
                      struct vlapic_todo *t)
{
	uint32_t reg = msr - VLAPIC_MSR_FIRST;
	const struct vlapic_row *row = vlapic_row(reg);

	t->what = 0;
	if (!vlapic_x2apic(a) || !row || !(row->x2apic & W) || ((uint32_t)value & ~row->allowed))
		return false;
	if (reg == APIC_ICR)
		a->icr_high = (uint32_t)(value >> 32);
	else if (value >> 32)
		return false;
	vlapic_put(a, reg, (uint32_t)value, now_ns, t);
	return true;
}

/* ---- by memory ---- */

uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset, uint64_t now_ns)
{
	uint32_t reg = offset / 16;
	const struct vlapic_row *row = offset % 16 ? NULL : vlapic_row(reg);

	if (row && (row->xapic & R))
		return vlapic_get(a, reg, now_ns);
	if (!row || !row->xapic)
		vlapic_error(a, (uint32_t)ESR_ILLEGAL_REG);
	return 0;
}

void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value, uint64_t now_ns,
                       struct vlapic_todo *t)
{
	uint32_t reg = offset / 16;
	const struct vlapic_row *row = offset % 16 ? NULL : vlapic_row(reg);

	t->what = 0;
	if (row && (row->xapic & W)) {
		vlapic_put(a, reg, value & row->allowed, now_ns, t);
	} else if (!row || !row->xapic) {
		vlapic_error(a, (uint32_t)ESR_ILLEGAL_REG);
		t->what = VLAPIC_DO_LOOK;
	}
}
