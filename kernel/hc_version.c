/* SPDX-License-Identifier: MIT */
/* xen_version: what a guest asks to learn what it runs on. */
#include "kernel/hypercall.h"
#include "kernel/string.h"

#define VERSION_MAJOR 4u
#define VERSION_MINOR 17u

static const uint32_t features0 = 1u << XENFEAT_auto_translated_physmap |
                                  1u << XENFEAT_hvm_callback_vector |
                                  1u << XENFEAT_hvm_safe_pvclock;

/* So that a call that answers with a number has no buffers on its stack, and no canary for them. */
#define OUT_OF_LINE __attribute__((noinline))

/* Text in a field of fixed size, the rest zero. */
static int64_t hc_version_text(struct hypercall *h, const char *text, uint64_t bytes)
{
	char field[1024] = {0};
	struct guest_buffer out;
	int64_t rc;

	ASSERT(bytes <= sizeof(field) && strlen(text) < bytes);
	memcpy(field, text, strlen(text));
	rc = hc_reserve(h, &out, 1, 0, bytes);
	if (!rc)
		guest_copy_out(&out, field, bytes);
	return rc;
}

static OUT_OF_LINE int64_t hc_features(struct hypercall *h)
{
	struct xen_feature_info info;
	struct guest_buffer out;
	int64_t rc = hc_in(h, &info.submap_idx, 1, sizeof(info.submap_idx));

	if (rc)
		return rc;
	if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
		return -XEN_EINVAL;
	rc = hc_reserve(h, &out, 1, offsetof(struct xen_feature_info, submap), sizeof(uint32_t));
	if (!rc)
		guest_copy_out(&out, &features0, sizeof(features0));
	return rc;
}

/* Who built us and how is nobody's business: the word that Xen gives unprivileged guests. */
#define DENIED "<denied>"

static OUT_OF_LINE int64_t hc_compile_info(struct hypercall *h)
{
	static const struct xen_compile_info info = {DENIED, DENIED, DENIED, DENIED};
	struct guest_buffer out;
	int64_t rc = hc_reserve(h, &out, 1, 0, sizeof(info));

	if (!rc)
		guest_copy_out(&out, &info, sizeof(info));
	return rc;
}

/* Where our half of the address space begins: a PVH guest has none of it. A word of the caller. */
static OUT_OF_LINE int64_t hc_platform(struct hypercall *h)
{
	static const uint64_t none;
	struct guest_buffer out;
	int64_t rc = hc_reserve(h, &out, 1, 0, h->wide ? 8 : 4);

	if (!rc)
		guest_copy_out(&out, &none, h->wide ? 8 : 4);
	return rc;
}

int64_t hc_xen_version(struct hypercall *h)
{
	switch (h->arg[0]) {
	case XENVER_version:
		return VERSION_MAJOR << 16 | VERSION_MINOR;
	case XENVER_extraversion:
		return hc_version_text(h, "-quire", sizeof(xen_extraversion_t));
	case XENVER_compile_info:
		return hc_compile_info(h);
	case XENVER_capabilities:
		return hc_version_text(h, "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64",
		                       sizeof(xen_capabilities_info_t));
	case XENVER_changeset:
		return hc_version_text(h, DENIED, sizeof(xen_changeset_info_t));
	case XENVER_platform_parameters:
		return hc_platform(h);
	case XENVER_get_features:
		return hc_features(h);
	case XENVER_pagesize:
		return PAGE_SIZE;
	case XENVER_guest_handle:
		return hc_version_text(h, "", sizeof(xen_domain_handle_t));
	case XENVER_commandline:
		return hc_version_text(h, DENIED, sizeof(xen_commandline_t));
	}
	return -XEN_ENOSYS;
}
