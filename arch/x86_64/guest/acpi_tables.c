/* SPDX-License-Identifier: MIT */
/*
 * See acpi_tables.h. Sections are of ACPI 6.5; offsets and lengths are those of its
 * tables in 5.2. What a hardware-reduced machine does not have stays zero: power
 * management ports, SCI, FACS, the legacy devices' flags.
 */
#include "arch/x86_64/guest/acpi_tables.h"
#include "arch/x86_64/guest/vlapic.h"

#include "kernel/string.h"
#include "mm/leaf/assert.h"

/* Where each table lies in the page. */
#define AT_RSDP 0x000u
#define AT_XSDT 0x040u
#define AT_FADT 0x100u
#define AT_DSDT 0x240u
#define AT_MADT 0x280u

/* The common header, 5.2.6. */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
ASSERT_STATIC(sizeof(struct acpi_header) == 36);

/* 5.2.5.3 */
struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
ASSERT_STATIC(sizeof(struct acpi_rsdp) == 36);

/* 5.2.8 */
struct acpi_xsdt {
	struct acpi_header header;
	uint64_t entry[2];
} __attribute__((packed));

/* A register's address, 5.2.3.2. */
struct acpi_register {
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));
#define SPACE_IO    1u
#define ACCESS_BYTE 1u

/* 5.2.9: the fields that are used, and the gaps between them. */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t gap1[109 - 44];
	uint16_t boot_flags; /* IAPC_BOOT_ARCH */
	uint8_t gap2;
	uint32_t flags;
	struct acpi_register reset;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	uint8_t gap3[244 - 148];
	struct acpi_register sleep_control, sleep_status;
	char hypervisor[8];
} __attribute__((packed));
ASSERT_STATIC(offsetof(struct acpi_fadt, boot_flags) == 109);
ASSERT_STATIC(offsetof(struct acpi_fadt, flags) == 112);
ASSERT_STATIC(offsetof(struct acpi_fadt, x_dsdt) == 140);
ASSERT_STATIC(offsetof(struct acpi_fadt, sleep_control) == 244);
ASSERT_STATIC(sizeof(struct acpi_fadt) == 276);
#define FADT_WBINVD      (1u << 0)
#define FADT_PWR_BUTTON  (1u << 4) /* not a fixed register: none at all */
#define FADT_SLP_BUTTON  (1u << 5)
#define FADT_HW_REDUCED  (1u << 20)
#define BOOT_NO_VGA      (1u << 2)
#define BOOT_NO_MSI      (1u << 3)
#define BOOT_NO_CMOS_RTC (1u << 5)

/* 5.2.12, and 5.2.12.2 for a local APIC. */
struct acpi_lapic {
	uint8_t type, length, uid, id;
	uint32_t flags; /* bit 0: enabled */
} __attribute__((packed));
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address, flags;
	struct acpi_lapic lapic[];
} __attribute__((packed));
ASSERT_STATIC(AT_MADT + sizeof(struct acpi_madt) + ACPI_MAX_VCPUS * sizeof(struct acpi_lapic) <=
              4096);

/*
 * Name(\_S5, Package(4) {5, 0, 0, 0}): NameOp, root, the name, PackageOp, its length
 * with itself, how many, then BytePrefix 5 and three times ZeroOp (20.2, 7.4.2.6).
 */
static const uint8_t aml[] = {0x08, '\\', '_',  'S',           '5', '_', 0x12,
                              7,    4,    0x0a, ACPI_SLEEP_S5, 0,   0,   0};
ASSERT_STATIC(AT_XSDT + sizeof(struct acpi_xsdt) <= AT_FADT);
ASSERT_STATIC(AT_FADT + sizeof(struct acpi_fadt) <= AT_DSDT);
ASSERT_STATIC(AT_DSDT + sizeof(struct acpi_header) + sizeof(aml) <= AT_MADT);

static uint8_t acpi_sum(const void *table, size_t bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum - *p++);
	return sum;
}

/* The rest of the table is there already: the checksum is over all of it. */
static void acpi_header(void *table, const char *signature, uint8_t revision, uint32_t bytes)
{
	struct acpi_header *h = table;

	memcpy(h->signature, signature, 4);
	h->length = bytes;
	h->revision = revision;
	memcpy(h->oem_id, "Quire ", 6);
	memcpy(h->oem_table_id, "QUIREPVH", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "QUIR", 4);
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = acpi_sum(table, bytes);
}

static void acpi_rsdp(struct acpi_rsdp *r, uint64_t gpa)
{
	memcpy(r->signature, "RSD PTR ", 8);
	memcpy(r->oem_id, "Quire ", 6);
	r->revision = 2;
	r->length = sizeof(*r);
	r->xsdt = gpa + AT_XSDT;
	r->checksum = acpi_sum(r, 20);
	r->extended_checksum = acpi_sum(r, sizeof(*r));
}

static void acpi_fadt(struct acpi_fadt *f, uint64_t gpa)
{
	f->dsdt = (uint32_t)(gpa + AT_DSDT);
	f->x_dsdt = gpa + AT_DSDT;
	f->boot_flags = BOOT_NO_VGA | BOOT_NO_MSI | BOOT_NO_CMOS_RTC;
	f->flags = FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_HW_REDUCED;
	f->minor = 5;
	f->sleep_control =
	    (struct acpi_register){SPACE_IO, 8, 0, ACCESS_BYTE, ACPI_PORT_SLEEP_CONTROL};
	f->sleep_status =
	    (struct acpi_register){SPACE_IO, 8, 0, ACCESS_BYTE, ACPI_PORT_SLEEP_STATUS};
	memcpy(f->hypervisor, "Quire", 5);
	acpi_header(f, "FACP", 6, sizeof(*f));
}

static void acpi_madt(struct acpi_madt *m, unsigned vcpus)
{
	m->lapic_address = 0xfee00000;
	for (unsigned i = 0; i < vcpus; i++)
		m->lapic[i] = (struct acpi_lapic){0, sizeof(struct acpi_lapic), (uint8_t)i,
		                                  (uint8_t)vlapic_id_of(i), 1};
	acpi_header(m, "APIC", 5, (uint32_t)(sizeof(*m) + vcpus * sizeof(struct acpi_lapic)));
}

void acpi_tables_page(uint8_t page[4096], uint64_t gpa, unsigned vcpus)
{
	struct acpi_xsdt *x = (struct acpi_xsdt *)(void *)(page + AT_XSDT);

	ASSERT(vcpus <= ACPI_MAX_VCPUS && gpa < UINT32_MAX - 4096);
	memset(page, 0, 4096);
	memcpy(page + AT_DSDT + sizeof(struct acpi_header), aml, sizeof(aml));
	acpi_header(page + AT_DSDT, "DSDT", 2, sizeof(struct acpi_header) + sizeof(aml));
	acpi_fadt((struct acpi_fadt *)(void *)(page + AT_FADT), gpa);
	acpi_madt((struct acpi_madt *)(void *)(page + AT_MADT), vcpus);
	x->entry[0] = gpa + AT_FADT;
	x->entry[1] = gpa + AT_MADT;
	acpi_header(x, "XSDT", 1, sizeof(*x));
	acpi_rsdp((struct acpi_rsdp *)(void *)(page + AT_RSDP), gpa);
}
