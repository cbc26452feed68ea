/* SPDX-License-Identifier: MIT */
/* The page-table format of the native tests: plain, and unlike both real ones. */
#ifndef TESTS_HOST_TOY_FORMAT_H
#define TESTS_HOST_TOY_FORMAT_H

#include "mm/pte_format.h"

extern const struct pte_format toy_format;
extern const struct pte_format toy_format_no_dirty; /* a CPU without accessed and dirty flags */

#endif
