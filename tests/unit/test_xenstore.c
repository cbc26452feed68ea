/* SPDX-License-Identifier: MIT */
/*
 * xenstore's tree from the guest's side of the ring: what Xen's manual says of each request
 * (docs/misc/xenstore.txt), whom a guest may ask about, and where its quotas are.
 */
#include "tests/unit/xs_guest.h"

/* ---- nodes ---- */

/* READ and WRITE store and read octets; WRITE creates missing parents with empty values. */
static void test_read_write(void **state)
{
	(void)state;
	ASK(XS_READ, "memory/target");
	IS("65536");
	WRITE("data/a/b\0v\0w");
	OK();
	ASK(XS_READ, "data/a/b");
	IS("v\0w");
	ASK(XS_READ, "data/a");
	IS("");
	WRITE("data/a/b\0");
	OK();
	ASK(XS_READ, "/local/domain/7/data/a/b"); /* the same node */
	IS("");
	ASK(XS_READ, "data/nothing");
	ERROR("ENOENT");
}

/* MKDIR leaves an existing value; RM takes the children too, and wants a parent. */
static void test_mkdir_rm(void **state)
{
	(void)state;
	WRITE("data/a\0x");
	ASK(XS_MKDIR, "data/a");
	OK();
	ASK(XS_READ, "data/a");
	IS("x");
	ASK(XS_MKDIR, "data/a/b/c/d");
	OK();
	ASK(XS_MKDIR, "data/a/b/e");
	ASK(XS_RM, "data/a");
	OK();
	ASK(XS_READ, "data/a/b/c/d");
	ERROR("ENOENT");
	ASK(XS_RM, "data/a"); /* gone already: no error */
	OK();
	ASK(XS_RM, "data/a/b");
	ERROR("ENOENT"); /* its parent is not there */
	assert_int_equal(c->store->nr_free_nodes, XS_NODES - 1 - 5);
}

/* DIRECTORY: the names of the children, each with its NUL. */
static void test_directory(void **state)
{
	(void)state;
	ASK(XS_DIRECTORY, "data");
	IS("");
	WRITE("data/one\0");
	WRITE("data/two\0");
	ASK(XS_DIRECTORY, "data");
	assert_int_equal(head.len, 8);
	assert_true(!memcmp(payload, "two\0one", 8) || !memcmp(payload, "one\0two", 8));
	ASK(XS_DIRECTORY, "device");
	ERROR("ENOENT");
}

/* A guest writes what it was given and what it has made, and reads all of its home. */
static void test_permissions(void **state)
{
	(void)state;
	WRITE("memory/target\0"
	      "1");
	ERROR("EACCES");
	WRITE("new\0");
	ERROR("EACCES");
	WRITE("control/other\0");
	ERROR("EACCES");
	WRITE("control/feature-poweroff\0"
	      "1");
	OK();
	WRITE("control/shutdown\0");
	OK();
	ASK(XS_RM, "memory");
	ERROR("EACCES");
	ASK(XS_RM, "/local/domain/7");
	ERROR("EACCES");
	ASK(XS_GET_PERMS, "memory/target");
	IS("n0\0r7\0");
	ASK(XS_GET_PERMS, "data");
	IS("n7\0");
	ASK(XS_SET_PERMS, "data\0n7\0r0");
	OK();
	ASK(XS_GET_PERMS, "data");
	IS("n7\0r0\0");
	ASK(XS_SET_PERMS, "data\0n0");
	ERROR("EPERM");
	ASK(XS_SET_PERMS, "data\0x7");
	ERROR("EINVAL");
	ASK(XS_SET_PERMS, "data");
	ERROR("EINVAL");
	ASK(XS_SET_PERMS, "memory/target\0n7");
	ERROR("EACCES");
	ASK(XS_SET_PERMS, "data\0n7\0r1\0r2\0r3\0r4\0r5");
	ERROR("ENOSPC");
}

/* Nothing outside of its home: neither what is there nor that there is something. */
static void test_home_only(void **state)
{
	static const char *const paths[] = {"/",
	                                    "/local",
	                                    "/local/domain",
	                                    "/local/domain/0/name",
	                                    "/local/domain/70",
	                                    "/local/domain/7x",
	                                    "/vm/1",
	                                    "@releaseDomain"};
	static const uint32_t types[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(types); k++) {
			ask_tx(0, types[k], paths[i], strlen(paths[i]) + 1);
			ERROR("EACCES");
		}
	ASK(XS_WATCH, "/local/domain\0t");
	ERROR("EACCES");
}

/* Paths that are none, and payloads that lack their NULs or have too many. */
static void test_malformed(void **state)
{
	static const char *const paths[] = {"",      "data/",  "data//a",
	                                    "da ta", "data\n", "/local/domain/7/"};
	char longest[XENSTORE_ABS_PATH_MAX + 2];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		ask_tx(0, XS_READ, paths[i], strlen(paths[i]) + 1);
		ERROR("EINVAL");
	}
	ASK_BARE(XS_READ, "data");
	ERROR("EINVAL");
	ASK_BARE(XS_READ, "");
	ERROR("EINVAL");
	ASK(XS_READ, "data\0data");
	ERROR("EINVAL");
	ASK_BARE(XS_WRITE, "data");
	ERROR("EINVAL");
	ASK(XS_WATCH, "data");
	ERROR("EINVAL");
	ASK_BARE(XS_WATCH, "data\0token");
	ERROR("EINVAL");
	memset(longest, 'a', sizeof(longest));
	longest[XENSTORE_REL_PATH_MAX + 1] = '\0';
	ask_tx(0, XS_READ, longest, XENSTORE_REL_PATH_MAX + 2);
	ERROR("EINVAL");
	longest[XENSTORE_REL_PATH_MAX] = '\0';
	ask_tx(0, XS_READ, longest, XENSTORE_REL_PATH_MAX + 1);
	ERROR("ENOENT");
}

/* Types that domain 0 may use alone, that we have not, and that nobody has. */
static void test_other_types(void **state)
{
	static const uint32_t forbidden[] = {XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME,
	                                     XS_SET_TARGET};
	static const uint32_t unknown[] = {
	    XS_WATCH_EVENT, XS_ERROR, XS_DIRECTORY_PART, XS_TYPE_COUNT, XS_INVALID, 20, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
		ASK(forbidden[i], "7\0"
		                  "1\0"
		                  "1");
		ERROR("EACCES");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		ASK(unknown[i], "data");
		ERROR("ENOSYS");
	}
	ASK(XS_GET_DOMAIN_PATH, "12");
	IS("/local/domain/12\0");
	ASK(XS_GET_DOMAIN_PATH, "twelve");
	ERROR("EINVAL");
	ASK(XS_IS_DOMAIN_INTRODUCED, "7");
	IS("T\0");
	ASK(XS_IS_DOMAIN_INTRODUCED, "8");
	IS("F\0");
}

/* ---- quotas ---- */

/* However much the guest writes, the hypervisor can still write. */
static void test_node_quota(void **state)
{
	char path[64];
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		size_t n = (size_t)snprintf(path, sizeof(path), "data/%u", i) + 1;

		ask_tx(0, XS_WRITE, path, n);
		if (head.type == XS_ERROR)
			break;
	}
	ERROR("ENOSPC");
	assert_int_equal(c->store->nr_free_nodes, XS_KEPT_NODES);
	hv_write("cpu/9/availability", "online");
}

static void test_byte_quota(void **state)
{
	static char value[XENSTORE_PAYLOAD_MAX];
	uint16_t before;

	(void)state;
	memcpy(value, "data/0", 7);
	ask_tx(0, XS_WRITE, value, 7 + XS_VALUE_MAX + 1);
	ERROR("ENOSPC");
	for (unsigned i = 0; i < 26; i++) {
		value[5] = (char)('a' + i);
		before = c->store->strings.heap.nr_free;
		ask_tx(0, XS_WRITE, value, 7 + XS_VALUE_MAX);
		if (head.type == XS_ERROR)
			break;
	}
	ERROR("ENOSPC");
	assert_int_equal(c->store->strings.heap.nr_free, before); /* and no node was left behind */
	assert_true(before >= XS_KEPT_BLOCKS);
	value[5] = 'a'; /* a value as long as the one that it replaces */
	ask_tx(0, XS_WRITE, value, 7 + XS_VALUE_MAX);
	OK();
	hv_write("control/shutdown", "reboot");
}

static void test_watch_quota(void **state)
{
	char text[64] = "data";
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		ask_tx(0, XS_WATCH, text, 5 + (size_t)sprintf(text + 5, "%u", i) + 1);
		if (head.type == XS_ERROR)
			break;
		assert_true(receive());
	}
	ERROR("E2BIG");
	assert_int_equal(i, XS_WATCHES);
	ASK(XS_WATCH, "data\0"
	              "0123456789012345678901234567890123456789012345678901234567890123456789"
	              "0123456789012345678901234567890123456789012345678901234567890123456789"
	              "0123456789012345678901234567890123456789012345678901234567890123456789"
	              "0123456789012345678901234567890123456789012345678901234567890123456789");
	ERROR("EINVAL"); /* a token of 280 bytes */
}

/* A directory that fits into no answer. */
static void test_directory_too_big(void **state)
{
	char path[600] = "data/";

	(void)state;
	memset(path + 5, 'x', 500);
	for (unsigned i = 0; i < 9; i++) {
		path[5] = (char)('a' + i);
		ask_tx(0, XS_MKDIR, path, 506);
		OK();
	}
	ASK(XS_DIRECTORY, "data");
	ERROR("E2BIG");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(test_read_write), T(test_mkdir_rm),    T(test_directory),         T(test_permissions),
	    T(test_home_only),  T(test_malformed),   T(test_other_types),       T(test_node_quota),
	    T(test_byte_quota), T(test_watch_quota), T(test_directory_too_big),
	};

	return cmocka_run_group_tests_name("xenstore", tests, NULL, NULL);
}
