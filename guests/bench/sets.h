/* SPDX-License-Identifier: MIT */
/* Memory for the scanner to work on, one kind of content after the other. */
#ifndef GUEST_BENCH_SETS_H
#define GUEST_BENCH_SETS_H

/*
 * Fill pages= pages (2048) with each content in turn; print "# set NAME pages=N" and
 * sleep until the memory target changes, so that whoever measures can let the
 * scanner settle meanwhile. Then check that every byte is as written.
 */
void sets_run(void);

#endif
