/* SPDX-License-Identifier: MIT */
/*
 * The keys of a domain's description, one a line: the only list of them.
 * kernel/config.c includes it; tools/pack reads it as text, so that what the
 * build refuses is what the boot refuses.
 *
 *	CONFIG_NAME(key, longest)	letters, digits and . _ -, not only digits
 *	CONFIG_FILE(key, longest)	a file's name; folders before it are for the build only
 *	CONFIG_TEXT(key, longest)	any printable text
 *	CONFIG_NUMBER(key, field, least, most)
 *	CONFIG_FLAG(key)		0 or 1
 */
CONFIG_NAME(name, 31)
CONFIG_FILE(kernel, 63)
CONFIG_FILE(ramdisk, 63)
CONFIG_TEXT(extra, 255)
CONFIG_NUMBER(memory, memory_mib, 2, 16776192)
CONFIG_NUMBER(maxmem, maxmem_mib, 2, 16776192)
CONFIG_NUMBER(min, min_mib, 0, 16776192)
CONFIG_NUMBER(vcpus, vcpus, 1, 8)
CONFIG_NUMBER(count, count, 1, 255)
CONFIG_NAME(share_group, 31)
CONFIG_FLAG(superpages)
CONFIG_FLAG(paused)
