/* SPDX-License-Identifier: MIT */
/* See cr.h. The rules: SDM vol. 3, 2.5 and 4.1; APM vol. 2, 3.1 and 14.6. */
#include "arch/x86_64/guest/cr.h"

/* Reserved bits 63..32 fault; the other reserved ones below are ignored by the CPU. */
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)

/* Which CPUID bit permits which bit (SDM vol. 3, 2.5; vol. 2, CPUID). */
struct permit {
	uint32_t cpuid;
	uint64_t allows;
};

static const struct permit leaf1_edx[] = {
    {1u << 1,  CR4_VME | CR4_PVI},
    {1u << 2,  CR4_DE           },
    {1u << 3,  CR4_PSE          },
    {1u << 4,  CR4_TSD          },
    {1u << 6,  CR4_PAE          },
    {1u << 7,  CR4_MCE          },
    {1u << 13, CR4_PGE          },
    {1u << 24, CR4_OSFXSR       },
    {1u << 25, CR4_OSXMMEXCPT   },
};
static const struct permit leaf1_ecx[] = {
    {1u << 17, CR4_PCIDE  },
    {1u << 26, CR4_OSXSAVE},
};
static const struct permit leaf7_ebx[] = {
    {1u << 0,  CR4_FSGSBASE},
    {1u << 7,  CR4_SMEP    },
    {1u << 20, CR4_SMAP    },
};
static const struct permit leaf7_ecx[] = {
    {1u << 2, CR4_UMIP},
    {1u << 3, CR4_PKE },
};
static const struct permit ext1_edx[] = {
    {1u << 11, EFER_SCE           },
    {1u << 20, EFER_NXE           },
    {1u << 25, EFER_FFXSR         },
    {1u << 29, EFER_LME | EFER_LMA},
};

static uint64_t cr_permitted(uint32_t word, const struct permit *p, size_t n)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++)
		if (word & p[i].cpuid)
			bits |= p[i].allows;
	return bits;
}

#define PERMITTED(word, table) cr_permitted(word, table, ARRAY_SIZE(table))

struct cr_limits cr_limits_of(const struct cr_features *f)
{
	/* PCE is a switch of RDPMC at CPL 3, which exits anyway: always harmless. */
	return (struct cr_limits){
	    .cr4 = CR4_PCE | PERMITTED(f->leaf1_edx, leaf1_edx) |
	           PERMITTED(f->leaf1_ecx, leaf1_ecx) | PERMITTED(f->leaf7_ebx, leaf7_ebx) |
	           PERMITTED(f->leaf7_ecx, leaf7_ecx),
	    .efer = PERMITTED(f->ext1_edx, ext1_edx),
	    .xcr0 = f->xcr0,
	    .phys_bits = f->phys_bits,
	};
}

uint64_t cr_efer_lma(uint64_t efer, uint64_t cr0)
{
	return (efer & EFER_LME) && (cr0 & CR0_PG) ? efer | EFER_LMA : efer & ~EFER_LMA;
}

static bool cr0_allowed(uint64_t value, const struct guest_state *s)
{
	bool enables = (value & CR0_PG) && !(s->cr0 & CR0_PG);
	bool disables = !(value & CR0_PG) && (s->cr0 & CR0_PG);

	if (value >> 32)
		return false;
	if ((value & CR0_PG) && !(value & CR0_PE))
		return false;
	if ((value & CR0_NW) && !(value & CR0_CD))
		return false;
	/* Into long mode: PAE tables, and not from a 64-bit code segment (SDM vol. 3, 9.8.5). */
	if (enables && (s->efer & EFER_LME) &&
	    (!(s->cr4 & CR4_PAE) || (s->cs.attributes & SEG_ATTR_L)))
		return false;
	/* Out of it: not from 64-bit mode, and not with PCIDs (SDM vol. 3, 4.1.2). */
	if (disables && (s->cr4 & CR4_PCIDE))
		return false;
	return !(disables && (s->efer & EFER_LMA) && (s->cs.attributes & SEG_ATTR_L));
}

static bool cr4_allowed(uint64_t value, const struct guest_state *s, const struct cr_limits *l)
{
	if (value & ~l->cr4)
		return false;
	if ((s->efer & EFER_LMA) && !(value & CR4_PAE))
		return false;
	/* PCIDE rises in long mode only, with CR3's low bits zero (SDM vol. 3, 4.10.1). */
	if ((value & CR4_PCIDE) && !(s->cr4 & CR4_PCIDE))
		return (s->efer & EFER_LMA) && !(s->cr3 & 0xfff);
	return true;
}

static bool cr3_allowed(uint64_t value, const struct guest_state *s, const struct cr_limits *l)
{
	if (!(s->efer & EFER_LMA))
		return !(value >> 32);
	if (s->cr4 & CR4_PCIDE)
		value &= ~BIT(63); /* "do not flush": no part of the register */
	return !(value >> l->phys_bits);
}

bool cr_write_allowed(unsigned number, uint64_t value, const struct guest_state *s,
                      const struct cr_limits *l)
{
	switch (number) {
	case 0:
		return cr0_allowed(value, s);
	case 3:
		return cr3_allowed(value, s, l);
	case 4:
		return cr4_allowed(value, s, l);
	case 8:
		return !(value >> 4);
	}
	return false;
}

bool cr_efer_allowed(uint64_t value, const struct guest_state *s, const struct cr_limits *l)
{
	if (value & ~(l->efer | EFER_LMA))
		return false;
	/* LME cannot change while paging is on (SDM vol. 3, 9.8.5). */
	return !((s->cr0 & CR0_PG) && ((value ^ s->efer) & EFER_LME));
}

bool cr_xcr0_allowed(uint64_t value, uint64_t mask)
{
	const uint64_t avx512 = BIT(5) | BIT(6) | BIT(7);

	if ((value & ~mask) || !(value & BIT(0)))
		return false;
	if ((value & BIT(2)) && !(value & BIT(1)))
		return false;
	/* The three parts of AVX-512 come together and with AVX (SDM vol. 1, 13.3). */
	return !(value & avx512) || ((value & avx512) == avx512 && (value & BIT(2)));
}

bool cr_state_valid(const struct guest_state *s)
{
	if ((s->cr0 & ~CR0_DEFINED) || ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)))
		return false;
	if ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD))
		return false;
	if (cr_efer_lma(s->efer, s->cr0) != s->efer)
		return false;
	if ((s->efer & EFER_LMA) && !(s->cr4 & CR4_PAE))
		return false;
	/* A 64-bit code segment is no 32-bit one (APM vol. 2, 15.5.1). */
	return !((s->efer & EFER_LMA) && (s->cs.attributes & SEG_ATTR_L) &&
	         (s->cs.attributes & SEG_ATTR_DB));
}
