/* SPDX-License-Identifier: MIT */
/* A PVH guest's first state, memory map and start info are what pvh.pandoc and start_info.h say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "arch/x86_64/guest/pvh.h"

#define MIB UINT64_C(0x100000)

/* RAM and the reserved special pages, ascending, nothing overlapping. */
static void the_memory_map(void **state)
{
	struct pvh_range r[PVH_MAP_MAX];

	(void)state;
	assert_int_equal(pvh_memory_map(0x4000, 0x100000, 0, r), 3);
	assert_int_equal(r[0].base, 0);
	assert_int_equal(r[0].bytes, 64 * MIB);
	assert_int_equal(r[0].type, 1);
	assert_int_equal(r[1].base, 0xfeff8000); /* the ACPI tables */
	assert_int_equal(r[1].bytes, 0x1000);
	assert_int_equal(r[1].type, 3);
	assert_int_equal(r[2].base, 0xfeff9000);
	assert_int_equal(r[2].bytes, 0x7000);
	assert_int_equal(r[2].type, 2);

	assert_int_equal(pvh_memory_map(0xc0000, 0x100000, 0x40000, r), 4);
	assert_int_equal(r[3].base, UINT64_C(1) << 32);
	assert_int_equal(r[3].bytes, UINT64_C(1) << 30);
	for (unsigned i = 1; i < 4; i++)
		assert_true(r[i - 1].base + r[i - 1].bytes <= r[i].base);
}

/* Start info above 1 MiB and behind the kernel, the ramdisk behind it, all inside of RAM. */
static void placement(void **state)
{
	struct pvh_layout l;

	(void)state;
	assert_true(pvh_place(0x200001, 0, 16 * MIB, &l));
	assert_int_equal(l.start_info, 0x201000);
	assert_int_equal(l.ramdisk, 0);
	assert_true(pvh_place(0x9000, 5, 16 * MIB, &l)); /* a kernel in the low MiB */
	assert_int_equal(l.start_info, MIB);
	assert_int_equal(l.ramdisk, MIB + 4096);
	assert_int_equal(l.ramdisk_bytes, 5);
	/* To the last byte, and not one more. */
	assert_true(pvh_place(2 * MIB, 14 * MIB - 4096, 16 * MIB, &l));
	assert_false(pvh_place(2 * MIB, 14 * MIB - 4095, 16 * MIB, &l));
	assert_false(pvh_place(2 * MIB, UINT64_MAX, 16 * MIB, &l));
	assert_true(pvh_place(16 * MIB - 4096, 0, 16 * MIB, &l));
	assert_false(pvh_place(16 * MIB - 4095, 0, 16 * MIB, &l));
	assert_false(pvh_place(0, 0, MIB, &l));
	assert_false(pvh_place(0, 0, 0, &l));
}

static void the_start_page(void **state)
{
	struct pvh_layout l = {.start_info = 0x300000, .ramdisk = 0x301000, .ramdisk_bytes = 777};
	struct pvh_range r[PVH_MAP_MAX];
	struct hvm_start_info info;
	struct hvm_modlist_entry module;
	struct hvm_memmap_table_entry map[4];
	uint8_t page[4096];

	(void)state;
	memset(page, 0xaa, sizeof(page));
	pvh_start_page(page, &l, "console=hvc0", r, pvh_memory_map(0xc0000, 0x100000, 16, r));
	memcpy(&info, page, sizeof(info));
	assert_int_equal(info.magic, 0x336ec578);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.flags, 0); /* an unprivileged domain */
	assert_int_equal(info.rsdp_paddr, 0xfeff8000);
	assert_int_equal(info.reserved, 0);
	assert_int_equal(info.nr_modules, 1);
	memcpy(&module, page + (info.modlist_paddr - l.start_info), sizeof(module));
	assert_int_equal(module.paddr, 0x301000);
	assert_int_equal(module.size, 777);
	assert_int_equal(module.cmdline_paddr, 0);
	assert_string_equal((char *)page + (info.cmdline_paddr - l.start_info), "console=hvc0");
	assert_int_equal(info.memmap_entries, 4);
	memcpy(map, page + (info.memmap_paddr - l.start_info), sizeof(map));
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(map[i].addr, r[i].base);
		assert_int_equal(map[i].size, r[i].bytes);
		assert_int_equal(map[i].type, r[i].type);
		assert_int_equal(map[i].reserved, 0);
	}
}

/* The longest command line fits beside everything else; without a ramdisk there is no module. */
static void the_longest_command_line(void **state)
{
	struct pvh_layout l = {.start_info = 0x300000};
	struct pvh_range r[PVH_MAP_MAX];
	char cmdline[PVH_CMDLINE_MAX + 1] = "";
	struct hvm_start_info info;
	uint8_t page[4096];

	(void)state;
	memset(cmdline, 'x', PVH_CMDLINE_MAX);
	pvh_start_page(page, &l, cmdline, r, pvh_memory_map(16, 0, 0, r));
	memcpy(&info, page, sizeof(info));
	assert_int_equal(info.nr_modules, 0);
	assert_int_equal(info.modlist_paddr, 0);
	assert_string_equal((char *)page + (info.cmdline_paddr - l.start_info), cmdline);
	assert_int_equal(info.memmap_entries, 3);
}

/* docs/misc/pvh.pandoc: ebx, cr0, cr4, segments and task register; 32-bit, no paging. */
static void the_first_state(void **state)
{
	struct guest_regs r;
	struct guest_state s;

	(void)state;
	memset(&r, 0xff, sizeof(r));
	memset(&s, 0xff, sizeof(s));
	pvh_first_state(0x1000850, 0x300000, &r, &s);
	assert_int_equal(r.rip, 0x1000850);
	assert_int_equal(r.gpr[RBX], 0x300000);
	assert_int_equal(r.rflags, 2);
	for (unsigned i = 0; i < GPRS; i++)
		assert_true(i == RBX || r.gpr[i] == 0);
	assert_int_equal(s.cr0, 0x11);
	assert_int_equal(s.cr3 | s.cr4 | s.efer, 0);
	assert_int_equal(s.cs.attributes, 0xc9b);
	assert_int_equal(s.cs.limit, 0xffffffff);
	assert_int_equal(s.cs.base, 0);
	assert_int_equal(s.ds.attributes, 0xc93);
	assert_memory_equal(&s.ds, &s.es, sizeof(s.ds));
	assert_memory_equal(&s.ds, &s.ss, sizeof(s.ds));
	assert_int_equal(s.tr.attributes, 0x8b);
	assert_int_equal(s.tr.limit, 0x67);
	assert_int_equal(s.ldtr.attributes & SEG_ATTR_P, 0);
	assert_int_equal(s.gdtr.limit | s.idtr.limit, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_memory_map),  cmocka_unit_test(placement),
	    cmocka_unit_test(the_start_page),  cmocka_unit_test(the_longest_command_line),
	    cmocka_unit_test(the_first_state),
	};

	return cmocka_run_group_tests_name("pvh", tests, NULL, NULL);
}
