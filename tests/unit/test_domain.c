/* SPDX-License-Identifier: MIT */
/*
 * The life of a domain, from a description to the last frame given back; and
 * that a creation which fails, at whichever allocation, leaves nothing behind.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include "kernel/bundle.h"
#include "kernel/create.h"
#include "kernel/domain.h"
#include "mm/fund.h"
#include "mm/repay.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define ENTRY 0x100000u

/* The least PVH image: one page to load, and the note that says where to start. */
static struct {
	Elf32_Ehdr head;
	Elf32_Phdr load, note_head;
	struct {
		uint32_t name_bytes, desc_bytes, type;
		char name[4];
		uint32_t entry;
	} note;
} image;

#define RAMDISK_PAGES 3000u
static uint8_t ramdisk[RAMDISK_PAGES * PAGE_SIZE];

static const struct domain_config description = {
    .name = "a", .kernel = "a", .memory_mib = 4, .min_mib = UINT32_MAX, .vcpus = 2, .count = 1};

static void make_image(void)
{
	memset(&image, 0, sizeof(image));
	memcpy(image.head.e_ident, "\177ELF\1\1\1", 7);
	image.head.e_type = ET_EXEC;
	image.head.e_machine = EM_386;
	image.head.e_version = 1;
	image.head.e_phoff = sizeof(image.head);
	image.head.e_ehsize = sizeof(image.head);
	image.head.e_phentsize = sizeof(image.load);
	image.head.e_phnum = 2;
	image.load = (Elf32_Phdr){.p_type = PT_LOAD,
	                          .p_paddr = ENTRY,
	                          .p_vaddr = ENTRY,
	                          .p_filesz = sizeof(image),
	                          .p_memsz = PAGE_SIZE};
	image.note_head = (Elf32_Phdr){.p_type = PT_NOTE,
	                               .p_offset = offsetof(__typeof__(image), note),
	                               .p_filesz = sizeof(image.note),
	                               .p_memsz = sizeof(image.note)};
	image.note.name_bytes = image.note.desc_bytes = 4;
	image.note.type = 18; /* XEN_ELFNOTE_PHYS32_ENTRY */
	memcpy(image.note.name, "Xen", 4);
	image.note.entry = ENTRY;
}

static void ignore(void *arg, const char *sentence)
{
	(void)arg;
	(void)sentence;
}

static int start(void **state)
{
	static struct boot_info bi;
	static struct domain_config configs[4];
	const struct config_sink sink = {ignore, NULL};
	struct config_list list = {configs, 4, 0};

	(void)state;
	make_image();
	bi.nr_modules = 2;
	bi.modules[0] = (struct boot_module){
	    .data = &image, .bytes = sizeof(image), .cmdline = "kernel name=a memory=4"};
	bi.modules[1] = (struct boot_module){
	    .data = ramdisk, .bytes = sizeof(ramdisk), .cmdline = "ramdisk name=a"};
	(void)bundle_open(&bi, &list, &sink);
	assert_int_equal(list.n, 1);
	fake_start(1);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fake_stop(); /* every frame is back */
	return 0;
}

static struct domain *create(char why[200])
{
	struct domain_config c = description;

	snprintf(c.kernel, sizeof(c.kernel), "%s", bundle_name(0)); /* a name of the bundle's own */
	why[0] = '\0';
	return domain_create(&c, why, 200);
}

static void reap(void)
{
	for (unsigned i = 0; i < 1000 && domain_reap(); i++)
		;
	assert_false(domain_reap());
}

static void test_life(void **state)
{
	char why[200];
	struct domain *d = create(why);

	(void)state;
	assert_string_equal(why, "");
	assert_non_null(d);
	assert_ptr_equal(domain_find(d->id), d);
	assert_ptr_equal(domain_find_name("a"), d);
	assert_int_equal(d->vcpus[0]->state, VCPU_RUNNABLE);
	assert_int_equal(d->vcpus[1]->state, VCPU_DOWN);
	assert_int_equal(d->vcpus[0]->hv.regs.rip, ENTRY);
	assert_int_equal(d->space.min_pages, d->space.max_pages / 4);
	assert_null(create(why)); /* the name is taken */
	assert_string_not_equal(why, "");
	domain_destroy(d);
	assert_null(domain_find_name("a"));
	reap();
	assert_null(domain_find(1));
}

/* The k-th allocation fails, for every k: a sentence, and nothing left. */
static void test_no_memory(void **state)
{
	uint64_t free = host_free_frames();
	struct domain *d = NULL;
	unsigned failures = 0;
	char why[200];

	(void)state;
	for (unsigned k = 1; !d && k < 1000; k++) {
		host_fail_alloc(k);
		d = create(why);
		if (d)
			break;
		failures++;
		assert_string_not_equal(why, "");
		assert_null(domain_find_name("a")); /* what was made of it is on its way out */
		host_fail_alloc(0);
		reap();
		assert_int_equal(host_free_frames(), free);
		assert_null(domain_find_name("a"));
	}
	host_fail_alloc(0);
	assert_non_null(d);
	assert_true(failures >= 4);
	domain_destroy(d);
	reap();
}

/* As many domains as there are ids; the next is refused with a sentence, and an id that is free again
 * serves. */
static void test_quota(void **state)
{
	struct domain_config c = description;
	char why[200] = "";
	uint64_t free;
	struct domain *d;

	(void)state;
	snprintf(c.kernel, sizeof(c.kernel), "%s", bundle_name(0));
	c.memory_mib = 2;
	c.min_mib = 0;
	c.vcpus = 1;
	for (unsigned i = 1; i < MAX_DOMAINS; i++) {
		snprintf(c.name, sizeof(c.name), "q%u", i);
		assert_non_null(domain_create(&c, why, sizeof(why)));
	}
	free = host_free_frames();
	snprintf(c.name, sizeof(c.name), "more");
	assert_null(domain_create(&c, why, sizeof(why)));
	assert_string_equal(why, "there is no room for one more domain");
	assert_false(domain_reap());
	assert_int_equal(host_free_frames(), free);
	d = domain_find_name("q77");
	domain_destroy(d);
	assert_null(domain_create(&c, why, sizeof(why))); /* its id is in use until it is gone */
	reap();
	d = domain_create(&c, why, sizeof(why));
	assert_non_null(d);
	assert_int_equal(mm_audit().failures, 0);
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		domain_destroy(domain_find((domid_t)i));
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		reap();
	assert_null(domain_find(1));
}

/* A description of which much is to be done: page tables, 2 MiB pieces, a large ramdisk. */
static struct domain_config large_one(void)
{
	struct domain_config c = description;

	snprintf(c.kernel, sizeof(c.kernel), "%s", bundle_name(0));
	snprintf(c.ramdisk, sizeof(c.ramdisk), "%s", bundle_name(1));
	c.memory_mib = 32;
	c.maxmem_mib = 2048;
	c.min_mib = 0;
	return c;
}

/*
 * A domain is made in steps, none of which takes more than CREATE_PAGES pages, or one large
 * one; nobody finds it before it is whole, and then its ramdisk is there, every byte.
 */
static void test_made_in_steps(void **state)
{
	static struct creation c;
	struct domain_config config = large_one();
	uint64_t all = 0;
	enum create_state st;
	uint8_t page[PAGE_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(ramdisk); i++)
		ramdisk[i] = (uint8_t)(i * 7 + i / PAGE_SIZE);
	for (unsigned large = 0; large < 2; large++) {
		config.superpages = large;
		create_begin(&c, &config);
		do {
			uint64_t before = host_free_frames(), took;

			assert_null(domain_find_name("a"));
			st = create_step(&c);
			took = before - host_free_frames();
			assert_true(took <= (large ? LARGE_PAGES : CREATE_PAGES));
			all += took;
		} while (st == CREATE_MORE);
		assert_int_equal(st, CREATE_DONE);
		assert_true(c.steps >= all / (large ? LARGE_PAGES : CREATE_PAGES));
		assert_ptr_equal(domain_find_name("a"), c.domain);
		for (unsigned i = 0; i < RAMDISK_PAGES; i++) {
			uint64_t at = c.loader.layout.ramdisk + (uint64_t)i * PAGE_SIZE;

			assert_int_equal(mm_read(&c.domain->space, at, page, PAGE_SIZE), MM_OK);
			assert_memory_equal(page, ramdisk + (size_t)i * PAGE_SIZE, PAGE_SIZE);
		}
		domain_destroy(c.domain);
		reap();
		all = 0;
	}
}

/* Given up before any of its steps: what was made of it goes, and the next one can be made. */
static void test_given_up(void **state)
{
	static struct creation c;
	const struct domain_config config = large_one();
	uint64_t free = host_free_frames();
	enum create_state st = CREATE_MORE;
	unsigned most;

	(void)state;
	for (most = 0; st == CREATE_MORE; most++) {
		create_begin(&c, &config);
		for (unsigned i = 0; i < most && st == CREATE_MORE; i++)
			st = create_step(&c);
		if (st != CREATE_MORE)
			break;
		create_cancel(&c);
		assert_null(domain_find_name("a"));
		reap();
		assert_int_equal(host_free_frames(), free);
		assert_int_equal(mm_audit().failures, 0);
	}
	assert_int_equal(st, CREATE_DONE);
	assert_true(most > RAMDISK_PAGES / CREATE_PAGES);
	domain_destroy(c.domain);
	reap();
}

/* While one is made its id is not given away, and a domain that goes makes room for it in steps, too. */
static void test_room_is_made(void **state)
{
	static struct creation c;
	struct domain_config config = large_one();
	char why[200] = "";
	struct domain *d;
	unsigned steps = 0;

	(void)state;
	config.superpages = true;
	config.memory_mib = config.maxmem_mib = 40;
	config.min_mib = 40;
	config.ramdisk[0] = '\0';
	d = domain_create(&config, why, sizeof(why));
	assert_string_equal(why, "");
	assert_non_null(d);
	snprintf(config.name, sizeof(config.name), "b");
	assert_null(domain_create(&config, why, sizeof(why))); /* no room beside the first */
	domain_destroy(d);
	assert_true(domain_reap()); /* it has begun to go */
	assert_null(d->vcpus[0]);
	domain_unpause(d); /* nothing is left that could run */
	create_begin(&c, &config);
	while (create_step(&c) == CREATE_MORE)
		steps++;
	assert_string_equal(c.why, "");
	assert_true(steps > 40u * 256 / LARGE_PAGES +
	                        8); /* 20 large leaves, and those that had to go first */
	reap();
	domain_destroy(c.domain);
	reap();
}

/*
 * All that is not promised is a dying domain's, and at any step the reserve asks for more than
 * one call gives back: the domain is made all the same, by steps that are no longer for it.
 */
static void test_room_at_each_step(void **state)
{
	static struct creation c;
	const struct domain_config config = large_one();
	uint8_t page[PAGE_SIZE];
	enum create_state st;
	unsigned at = 0, steps;

	(void)state;
	for (unsigned i = 0; i < sizeof(ramdisk); i++)
		ramdisk[i] = (uint8_t)(i * 5 + i / PAGE_SIZE);
	do {
		struct domain *gone = fake_domain(MAX_DOMAINS - 1, 20000, 1);

		create_begin(&c, &config);
		for (st = CREATE_MORE, steps = 0; st == CREATE_MORE; steps++) {
			uint64_t n = 0, before;

			if (steps == at) {
				while (mm_fault(&gone->space, GFN(n), FAULT_WRITE) ==
				       VERDICT_RESUME)
					n++;
				assert_false(space_destroy_step(&gone->space, 0));
				fund_set_reserve(3000);
			}
			before = gone->space.stats.private_pages;
			st = create_step(&c);
			assert_in_range(before - gone->space.stats.private_pages, 0,
			                64 * (REPAY_TURNS + 1));
		}
		assert_int_equal(st, CREATE_DONE);
		fund_set_reserve(0);
		for (unsigned i = 0; i < RAMDISK_PAGES; i++) {
			uint64_t gpa = c.loader.layout.ramdisk + (uint64_t)i * PAGE_SIZE;

			assert_int_equal(mm_read(&c.domain->space, gpa, page, PAGE_SIZE), MM_OK);
			assert_memory_equal(page, ramdisk + (size_t)i * PAGE_SIZE, PAGE_SIZE);
		}
		domain_destroy(c.domain);
		reap();
		fake_domain_free(gone);
	} while (++at < steps);
	assert_true(at > RAMDISK_PAGES / CREATE_PAGES);
}

/* A creation that fails late gives its memory back in slices, and none is longer than a destroyed
 * domain's. */
static void test_undone_in_slices(void **state)
{
	struct domain_config c = description;
	uint64_t free = host_free_frames();
	unsigned slices = 0;
	char why[200] = "";

	(void)state;
	snprintf(c.kernel, sizeof(c.kernel), "%s", bundle_name(0));
	snprintf(c.ramdisk, sizeof(c.ramdisk), "nowhere");
	c.memory_mib = 8;
	c.superpages = true;
	assert_null(domain_create(&c, why, sizeof(why)));
	assert_non_null(strstr(why, "nowhere"));
	assert_true(host_free_frames() < free); /* nothing of it was in create's own time */
	while (domain_reap())
		slices++;
	assert_true(slices >= 8u * 256 / 512);
	assert_int_equal(host_free_frames(), free);
}

/* All ids are used in turn; an id comes back only after a round. */
static void test_ids(void **state)
{
	char why[200];
	struct domain *d = create(why);
	domid_t first = d->id;

	(void)state;
	domain_destroy(d);
	reap();
	d = create(why);
	assert_int_not_equal(d->id, first);
	domain_destroy(d);
	reap();
}

/* Equal names of share groups are one group; no name is a group of one's own. */
static void test_groups(void **state)
{
	struct domain_config c = description;
	struct domain *d[3];
	char why[200] = "";

	(void)state;
	snprintf(c.kernel, sizeof(c.kernel), "%s", bundle_name(0));
	for (unsigned i = 0; i < 3; i++) {
		snprintf(c.name, sizeof(c.name), "g%u", i);
		snprintf(c.share_group, sizeof(c.share_group), "%s", i < 2 ? "both" : "");
		d[i] = domain_create(&c, why, sizeof(why));
		assert_string_equal(why, "");
		assert_non_null(d[i]);
	}
	assert_int_equal(d[0]->space.share_group, d[1]->space.share_group);
	assert_int_equal(d[2]->space.share_group, d[2]->id);
	assert_true(d[0]->space.share_group >= MAX_DOMAINS);
	for (unsigned i = 0; i < 3; i++)
		domain_destroy(d[i]);
	reap();
}

/* The first end counts, and is told; a guest's end frees nothing by itself. */
static void test_shutdown(void **state)
{
	char why[200];
	struct domain *d = create(why);

	(void)state;
	domain_shutdown(d, SHUTDOWN_REBOOT_);
	domain_shutdown(d, SHUTDOWN_CRASH_);
	assert_int_equal(d->shutdown, SHUTDOWN_REBOOT_);
	assert_non_null(strstr(host_console, "name=a reason=reboot"));
	assert_false(vcpu_may_run(d->vcpus[0]));
	assert_ptr_equal(domain_find_name("a"), d);
	domain_destroy(d);
	reap();
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_life),
	    T(test_no_memory),
	    T(test_ids),
	    T(test_groups),
	    T(test_shutdown),
	    T(test_quota),
	    T(test_made_in_steps),
	    T(test_given_up),
	    T(test_room_is_made),
	    T(test_undone_in_slices),
	    T(test_room_at_each_step),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
