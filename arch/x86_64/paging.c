/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own page tables: four levels (SDM vol. 3, 4.5). Every page
 * is writable or executable, never both. Until bootmem_close() tables come
 * from boot memory, later from the memory core; they are never freed.
 */
#include "arch/x86_64/paging.h"

#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/cpu.h"
#include "mm/frame.h"
#include "mm/leaf/lock.h"

#define PT_P     BIT(0)
#define PT_W     BIT(1)
#define PT_PWT   BIT(3)
#define PT_PCD   BIT(4)
#define PT_A     BIT(5)
#define PT_D     BIT(6)
#define PT_LARGE BIT(7) /* levels 2 and 3 */
#define PT_PAT   BIT(7) /* level 1 */
#define PT_G     BIT(8)
#define PT_PAT_L BIT(12) /* levels 2 and 3 */
#define PT_NX    BIT(63)
#define PT_ADDR  BITS(51, 12)

/* SDM vol. 3, 11.12.4: as at reset, but entry 4 is write-combining. */
#define PAT_VALUE UINT64_C(0x0007040100070406)

uint64_t paging_root;
static bool have_nx, have_1g;
static uint64_t mmio_next = MMIO_BASE;
static struct spinlock paging_lock;

static uint64_t table_alloc(void)
{
	uint64_t hpa;
	mfn_t m;

	if (bootmem_open()) {
		hpa = bootmem_alloc(PAGE_SIZE, PAGE_SIZE);
	} else {
		m = frame_alloc(0, FRAME_HYPERVISOR, 0);
		hpa = mfn_to_addr(m);
		if (hpa)
			__builtin_memset(phys_to_virt(hpa), 0, PAGE_SIZE);
	}
	if (!hpa)
		env_panic("no memory for the hypervisor's own page tables");
	return hpa;
}

static unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/* The entry of va at a level. Missing tables are made, or NULL if !make or a large page is met. */
static uint64_t *paging_entry(uint64_t va, unsigned level, bool make)
{
	uint64_t *table = phys_to_virt(paging_root);

	for (unsigned l = 4;; l--) {
		uint64_t *e = &table[(va >> level_shift(l)) & 511];

		if (l == level)
			return e;
		if (!(*e & PT_P)) {
			if (!make)
				return NULL;
			*e = table_alloc() | PT_P | PT_W | PT_A;
		}
		if (*e & PT_LARGE)
			return NULL;
		table = phys_to_virt(*e & PT_ADDR);
	}
}

static uint64_t leaf(uint64_t hpa, unsigned level, unsigned flags)
{
	uint64_t e = hpa | PT_P | PT_A | PT_D | PT_G;

	if (flags & MAP_WRITE)
		e |= PT_W;
	if (!(flags & MAP_EXEC) && have_nx)
		e |= PT_NX;
	if (flags & MAP_UC)
		e |= PT_PCD | PT_PWT;
	if (level > 1)
		e |= PT_LARGE;
	if (flags & MAP_WC)
		e |= level > 1 ? PT_PAT_L : PT_PAT;
	return e;
}

static bool fits(uint64_t va, uint64_t hpa, uint64_t bytes, unsigned level)
{
	uint64_t size = BIT(level_shift(level));

	return !((va | hpa) & (size - 1)) && bytes >= size;
}

void paging_map(uint64_t va, uint64_t hpa, uint64_t bytes, unsigned flags)
{
	ASSERT(!((va | hpa | bytes) & (PAGE_SIZE - 1)));
	ASSERT((flags & (MAP_WRITE | MAP_EXEC)) != (MAP_WRITE | MAP_EXEC));
	while (bytes) {
		unsigned level = 1;
		uint64_t *e;

		if (have_1g && fits(va, hpa, bytes, 3))
			level = 3;
		else if (fits(va, hpa, bytes, 2))
			level = 2;
		e = paging_entry(va, level, true);
		ASSERT(e && !*e);
		*e = leaf(hpa, level, flags);
		va += BIT(level_shift(level));
		hpa += BIT(level_shift(level));
		bytes -= BIT(level_shift(level));
	}
}

bool paging_back(uint64_t va, uint64_t bytes)
{
	uint64_t end = va + bytes;

	while (va < end) {
		uint64_t size = fits(va, 0, end - va, 2) ? BIT(21) : PAGE_SIZE;
		uint64_t hpa;

		if (paging_mapped(va)) {
			va += PAGE_SIZE;
			continue;
		}
		hpa = bootmem_alloc(size, size);
		if (!hpa && size > PAGE_SIZE) {
			size = PAGE_SIZE;
			hpa = bootmem_alloc(size, size);
		}
		if (!hpa)
			return false;
		paging_map(va, hpa, size, MAP_WRITE);
		va += size;
	}
	return true;
}

void paging_unmap(uint64_t va, uint64_t bytes)
{
	for (uint64_t at = va; at < va + bytes; at += PAGE_SIZE) {
		uint64_t *e = paging_entry(at, 1, false);

		if (e)
			*e = 0;
		invlpg((void *)at);
	}
}

bool paging_mapped(uint64_t va)
{
	/* Canonical addresses only (SDM vol. 1, 3.3.7.1). */
	if ((uint64_t)((int64_t)(va << 16) >> 16) != va)
		return false;
	for (unsigned level = 3; level >= 1; level--) {
		uint64_t *e = paging_entry(va, level, false);

		if (!e || !(*e & PT_P))
			return false;
		if (level == 1 || (*e & PT_LARGE))
			return true;
	}
	return false;
}

void *mmio_map(uint64_t hpa, uint64_t bytes, unsigned flags)
{
	uint64_t base = align_down(hpa, PAGE_SIZE), size, va;

	if (!bytes || hpa + bytes < hpa || hpa + bytes > BIT(52))
		return NULL;
	size = align_up(hpa + bytes, PAGE_SIZE) - base;
	spin_lock(&paging_lock);
	va = mmio_next;
	if (size > STACKS_BASE - va) {
		spin_unlock(&paging_lock);
		return NULL;
	}
	mmio_next += size;
	paging_map(va, base, size, flags);
	spin_unlock(&paging_lock);
	return (void *)(va + (hpa - base));
}

static void map_direct(void)
{
	struct memmap writable = boot_ram;

	memmap_remove(&writable, virt_to_phys(image_start), virt_to_phys(image_end));
	for (unsigned i = 0; i < boot_readonly.n; i++) {
		const struct memmap_range *r = &boot_readonly.r[i];

		memmap_remove(&writable, r->base, r->end);
		paging_map(DIRECT_MAP_BASE + r->base, r->base, r->end - r->base, 0);
	}
	for (unsigned i = 0; i < writable.n; i++) {
		const struct memmap_range *r = &writable.r[i];

		paging_map(DIRECT_MAP_BASE + r->base, r->base, r->end - r->base, MAP_WRITE);
	}
}

static void map_image(const char *start, const char *end, unsigned flags)
{
	paging_map((uint64_t)start, virt_to_phys(start), (uint64_t)(end - start), flags);
}

void paging_init(void)
{
	uint32_t edx = cpuid(0x80000001, 0).edx;

	have_nx = edx & BIT(20);
	have_1g = edx & BIT(26);
	paging_root = bootmem_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!paging_root)
		env_panic("no memory below 4 GiB for page tables");
	map_direct();
	map_image(text_start, text_end, MAP_EXEC);
	map_image(rodata_start, rodata_end, 0);
	map_image(data_start, data_end, MAP_WRITE);
	map_image(symbols_start, symbols_end, 0);
	if (boot_trampoline)
		paging_map(boot_trampoline, boot_trampoline, PAGE_SIZE, MAP_EXEC);
	paging_cpu_init();
	write_cr3(paging_root);
	bootmem_all_mapped();
}

void paging_cpu_init(void)
{
	uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	struct cpuid_regs f = {0};

	if (cpuid(0x80000001, 0).edx & BIT(20))
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	if (cpuid(1, 0).edx & BIT(16))
		wrmsr(MSR_PAT, PAT_VALUE);
	if (cpuid(1, 0).ecx & BIT(26))
		cr4 |= CR4_OSXSAVE;
	if (cpu_has_leaf(7))
		f = cpuid(7, 0);
	if (f.ebx & BIT(7))
		cr4 |= CR4_SMEP;
	if (f.ebx & BIT(20))
		cr4 |= CR4_SMAP;
	if (f.ecx & BIT(2))
		cr4 |= CR4_UMIP;
	write_cr4(cr4);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
}
