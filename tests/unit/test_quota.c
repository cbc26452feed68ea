/* SPDX-License-Identifier: MIT */
/*
 * A guest that takes all that it can of everything: each kind ends in an error to it, the
 * monitor's figures say how much it has, a neighbour still has all of its own, and its
 * end gives every frame back. Grants have this in test_grant.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "kernel/evtchn.h"
#include "kernel/quota.h"
#include "kernel/xen_abi.h"
#include "kernel/xs_conn.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"
#include "kernel/xenstore.h"

static struct domain *d, *neighbour;
static uint64_t free_at_start;

static uint64_t used(struct domain *of, enum quota_kind kind)
{
	struct quota q[QUOTAS];

	quota_look(of, q);
	assert_true(q[kind].used <= q[kind].most);
	return q[kind].used;
}

static uint64_t most(enum quota_kind kind)
{
	struct quota q[QUOTAS];

	quota_look(d, q);
	return q[kind].most;
}

static int start(void **state)
{
	(void)state;
	fake_start(1);
	host_now_ns[0] = 1000; /* 0 is "never" to console.c */
	free_at_start = host_free_frames();
	d = fake_domain(1, 512, 2);
	neighbour = fake_domain(2, 512, 1);
	assert_true(xenstore_create(d) && xenstore_create(neighbour));
	return 0;
}

/* The neighbour has used nothing but what it was made with. */
static int stop(void **state)
{
	(void)state;
	assert_int_equal(used(neighbour, QUOTA_WATCHES), 0);
	assert_int_equal(used(neighbour, QUOTA_TRANSACTIONS), 0);
	assert_int_equal(used(neighbour, QUOTA_PORTS), 1);
	assert_int_equal(used(neighbour, QUOTA_PINS), 0);
	assert_int_equal(used(neighbour, QUOTA_LOG), 0);
	assert_string_equal(mm_audit().first, "");
	fake_domain_free(neighbour);
	fake_domain_free(d);
	assert_int_equal(host_free_frames(), free_at_start);
	fake_stop();
	return 0;
}

static void ports(void **state)
{
	int64_t rc, n = (int64_t)used(d, QUOTA_PORTS);

	(void)state;
	while ((rc = evtchn_bind(d, EVTCHN_IPI, 0, 0)) > 0)
		assert_int_equal(used(d, QUOTA_PORTS), ++n);
	assert_int_equal(rc, -XEN_ENOSPC);
	assert_int_equal(n, most(QUOTA_PORTS));
	assert_int_equal(evtchn_close(d, 5), 0);
	assert_int_equal(used(d, QUOTA_PORTS), most(QUOTA_PORTS) - 1);
}

static int guest_write(unsigned i, const char *value)
{
	char path[32];

	snprintf(path, sizeof(path), "data/%u", i);
	return xs_store_write(d->store->store, XS_GUEST, path, strlen(path), value, strlen(value));
}

static void nodes(void **state)
{
	unsigned i = 0;
	int rc;

	(void)state;
	while ((rc = guest_write(i, "")) == 0)
		i++;
	assert_int_equal(rc, -XEN_ENOSPC);
	assert_int_equal(used(d, QUOTA_NODES), most(QUOTA_NODES));
	/* The operator's word still reaches it. */
	assert_true(xenstore_write(d, "control/shutdown", "poweroff"));
}

static void watches(void **state)
{
	unsigned i = 0;
	int rc;

	(void)state;
	do {
		const struct xs_path p = {"data", 4, false};
		char token[16];

		snprintf(token, sizeof(token), "%u", i++);
		rc = xs_watch_add(&d->store->watches, &p, token, strlen(token));
	} while (!rc);
	assert_int_equal(rc, -XEN_E2BIG);
	assert_int_equal(used(d, QUOTA_WATCHES), most(QUOTA_WATCHES));
}

static void transactions(void **state)
{
	int error = 0;

	(void)state;
	while (xs_tx_start(&d->store->txs, d->store->store, &error))
		;
	assert_int_equal(error, -XEN_ENOSPC);
	assert_int_equal(used(d, QUOTA_TRANSACTIONS), most(QUOTA_TRANSACTIONS));
}

static void pins(void **state)
{
	enum mm_status st = MM_OK;
	uint64_t n = 0;
	void *page;

	(void)state;
	while ((st = mm_pin(&d->space, GFN(n), &page)) == MM_OK)
		n++;
	assert_int_equal(st, MM_LIMIT);
	assert_int_equal(used(d, QUOTA_PINS), n);
	assert_int_equal(n, most(QUOTA_PINS));
	while (n)
		mm_unpin(&d->space, GFN(--n));
}

/* Pages of ours put further and further away, each with tables of its own. */
static void tables(void **state)
{
	enum mm_status st = MM_OK;
	uint64_t before = used(d, QUOTA_TABLES), gfn = 0x100000;
	uint64_t word = 7, seen = 0;

	(void)state;
	while ((st = mm_map_service(&d->space, GFN(gfn), d->shared_info_frame)) == MM_OK) {
		assert_int_equal(mm_unmap_service(&d->space, GFN(gfn)), MM_OK);
		gfn += LARGE_PAGES;
	}
	assert_int_equal(st, MM_LIMIT);
	assert_true(used(d, QUOTA_TABLES) > before);
	/* Memory that was promised has its tables all the same. */
	assert_int_equal(mm_write(&d->space, 511 << PAGE_SHIFT, &word, 8), MM_OK);
	assert_int_equal(mm_read(&d->space, 511 << PAGE_SHIFT, &seen, 8), MM_OK);
	assert_int_equal(seen, 7);
}

static void log_bytes(void **state)
{
	const char line[] = "a line that is long enough to fill what it may print before long\n";

	(void)state;
	for (unsigned i = 0; i < 2000 && !d->log_dropped_all; i++)
		console_write(d, line, strlen(line));
	assert_true(d->log_dropped_all > 0);
	assert_true(used(d, QUOTA_LOG) > most(QUOTA_LOG) * 9 / 10);
	host_now_ns[0] += UINT64_C(20000000000);
	assert_int_equal(used(d, QUOTA_LOG),
	                 0); /* it is there again; what was dropped is remembered */
	assert_true(d->log_dropped_all > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(ports), T(nodes), T(watches), T(transactions), T(pins), T(tables), T(log_bytes),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
