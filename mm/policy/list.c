/* SPDX-License-Identifier: MIT */
/* The scan policies that there are: one line for each. */
#include "mm/policy/policy.h"

const struct scan_policy *const scan_policies[] = {
    &policy_dirty,        /* reads what was written and has been quiet; the unshared soon */
    &policy_plain,        /* round robin; reads what was written and has been quiet for one pass */
    &policy_ksm,          /* Linux KSM */
    &policy_esx,          /* VMware ESX */
    &policy_xlh,          /* KSM with hints, newest first */
    &policy_dirtybit2011, /* KSM that passes by what was written */
    NULL,
};

const struct scan_policy *const scan_settler = &policy_plain;
