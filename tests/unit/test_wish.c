/* SPDX-License-Identifier: MIT */
/*
 * What the operator wants of a guest: that it is told in the tree that the guest watches and
 * by the event of hypercall 50, and that what it does not do is noticed. The guest here is
 * its ring page: what it was told is read there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/abi/quire.h"
#include "kernel/evtchn.h"
#include "kernel/xenstore.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include "tests/host/machine.h"
#include <xen/io/xs_wire.h>

#define PAGES 8192u /* 32 MiB */
#define S     UINT64_C(1000000000)

static struct domain *d;
static struct xenstore_domain_interface *ring;
static char sentence[100];

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 1);
	d->target_pages = PAGES;
	d->config.vcpus = 1;
	assert_true(xenstore_create(d));
	ring = (struct xenstore_domain_interface *)(void *)d->special[SPECIAL_STORE].page;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fake_domain_free(d);
	fake_stop();
	return 0;
}

static void put(const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ring->req[MASK_XENSTORE_IDX(ring->req_prod++)] = ((const char *)bytes)[i];
}

/* One request, and the payload of what comes first in return. */
static const char *ask(uint32_t type, const char *payload, uint32_t n)
{
	static char answer[XENSTORE_RING_SIZE + 1];
	struct xsd_sockmsg head = {type, 1, 0, n};
	uint32_t got = 0;

	put(&head, sizeof(head));
	put(payload, n);
	while (xenstore_event(d))
		;
	while (ring->rsp_cons != ring->rsp_prod && got < XENSTORE_RING_SIZE)
		answer[got++] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons++)];
	answer[got] = '\0';
	return got > sizeof(head) ? answer + sizeof(head) : "";
}

static void watch(const char *path)
{
	char both[64];
	size_t n = strlen(path) + 1;

	memcpy(both, path, n);
	memcpy(both + n, "t", 2);
	assert_string_equal(ask(XS_WATCH, both, (uint32_t)n + 2), "OK");
}

static bool told(const char *path)
{
	struct xsd_sockmsg head;
	char seen[64];

	if (ring->rsp_prod - ring->rsp_cons < sizeof(head))
		return false;
	for (unsigned i = 0; i < sizeof(head); i++)
		((char *)&head)[i] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons++)];
	for (unsigned i = 0; i < head.len; i++)
		seen[i % sizeof(seen)] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons++)];
	return head.type == XS_WATCH_EVENT && !strcmp(seen, path);
}

static void value_is(const char *path, const char *value)
{
	char seen[32];

	assert_true(xenstore_read(d, path, seen, sizeof(seen)));
	assert_string_equal(seen, value);
}

static void give_back(uint64_t first, uint64_t pages)
{
	for (uint64_t g = first; g < first + pages; g++)
		assert_int_equal(balloon_out(&d->space, &(gfn_t){g}, 1, 0), 1);
	d->balloon_ns = machine_ns();
}

/* ---- telling ---- */

/* The tree says what Xen's toolstack would: KiB, and who the guest is. */
static void test_tree(void **state)
{
	(void)state;
	value_is("domid", "1");
	value_is("name", "fake1");
	value_is("memory/target", "32768");
	value_is("memory/static-max", "32768");
	value_is("cpu/0/availability", "online");
	value_is("control/shutdown", "");
	assert_false(xenstore_read(d, "cpu/1/availability", sentence, sizeof(sentence)));
	assert_int_equal(p2m_lookup(&d->space, special_gfn(SPECIAL_STORE)).type, P2M_FOREIGN);
}

static void test_told(void **state)
{
	(void)state;
	assert_false(domain_listens(d, WISH_MEMORY));
	watch("memory");
	watch("control/shutdown");
	watch("control/sysrq");
	assert_true(domain_listens(d, WISH_MEMORY) && domain_listens(d, WISH_SHUTDOWN) &&
	            domain_listens(d, WISH_SYSRQ));
	domain_set_target(d, PAGES / 2);
	assert_true(told("memory/target"));
	value_is("memory/target", "16384");
	domain_request_shutdown(d, QUIRE_SHUTDOWN_REBOOT);
	assert_true(told("control/shutdown"));
	value_is("control/shutdown", "reboot");
	domain_request_shutdown(d, QUIRE_SHUTDOWN_POWEROFF);
	assert_true(told("control/shutdown"));
	value_is("control/shutdown", "poweroff");
	domain_sysrq(d, 'h');
	assert_true(told("control/sysrq"));
	value_is("control/sysrq", "h");
	assert_false(told(""));
}

/* The event channel of the store is pending when there is something to read; and that of
 * hypercall 50 too, for those who bound it. */
static void test_events(void **state)
{
	const unsigned port = d->special[SPECIAL_STORE].port;
	uint64_t *pending = (uint64_t *)(void *)(d->shared_info + 2048);
	int64_t control;

	(void)state;
	assert_true(port > 0);
	domain_set_target(d, PAGES / 2);
	assert_false(*pending >> port & 1); /* nobody watches */
	watch("memory/target");
	*pending = 0;
	control = evtchn_bind(d, EVTCHN_UNBOUND, 0, 0);
	d->control_port = (uint16_t)control;
	domain_set_target(d, PAGES / 4);
	assert_true(*pending >> port & 1);
	assert_true(*pending >> control & 1);
	assert_int_equal(evtchn_send(d, port), 1 + SPECIAL_STORE);
}

/* A domain without a store is asked all the same, in the other way. */
static void test_without(void **state)
{
	(void)state;
	xenstore_free(d);
	domain_set_target(d, PAGES / 2);
	domain_request_shutdown(d, QUIRE_SHUTDOWN_POWEROFF);
	domain_sysrq(d, 'h');
	assert_int_equal(d->target_pages, PAGES / 2);
	assert_false(domain_listens(d, WISH_SHUTDOWN));
	assert_false(xenstore_event(d));
	assert_int_equal(xenstore_stats(d).nodes, 0);
}

/* ---- noticing ---- */

static void test_memory_lags(void **state)
{
	(void)state;
	assert_false(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "");
	domain_set_target(d, PAGES / 2);
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "is on its way: asked for 16 MiB 0 s ago, has 32");
	host_now_ns[0] += 12 * S;
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "does not follow: asked for 16 MiB 12 s ago, has 32");
	give_back(0, 1024); /* slowly, but it does */
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "is on its way: asked for 16 MiB 12 s ago, has 28");
	give_back(1024, 3072 - 200); /* as near as a guest's own count comes */
	assert_false(domain_lags(d, sentence, sizeof(sentence)));
}

static void test_shutdown_lags(void **state)
{
	(void)state;
	domain_request_shutdown(d, QUIRE_SHUTDOWN_POWEROFF);
	host_now_ns[0] += 3 * S;
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence,
	                    "does not follow: asked to power off 3 s ago, has not looked");
	assert_string_equal(ask(XS_WRITE, "control/shutdown", 17), "OK");
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "does not follow: asked to power off 3 s ago, still runs");
	d->shutdown = SHUTDOWN_POWEROFF_;
	assert_false(domain_lags(d, sentence, sizeof(sentence)));
	d->shutdown = SHUTDOWN_NONE;
}

/* A key that was not taken is shown; one that was, or was never pressed, is not. */
static void test_sysrq_lags(void **state)
{
	(void)state;
	host_now_ns[0] += S;
	assert_string_equal(ask(XS_WRITE, "control/sysrq\0x", 15), "OK");
	assert_false(domain_lags(d, sentence, sizeof(sentence)));
	domain_sysrq(d, 'h');
	value_is("control/sysrq", "h");
	host_now_ns[0] += 4 * S;
	assert_true(domain_lags(d, sentence, sizeof(sentence)));
	assert_string_equal(sentence, "does not follow: SysRq pressed 4 s ago, has not looked");
	assert_string_equal(ask(XS_WRITE, "control/sysrq", 14), "OK");
	assert_false(domain_lags(d, sentence, sizeof(sentence)));
}

/* ---- making ---- */

/* No memory for one of its parts: there is no store, and nothing is lost. */
static void test_shortage(void **state)
{
	struct domain *other = fake_domain(2, 64, 1);
	uint64_t k = 0;
	bool made;

	(void)state;
	other->config.vcpus = 1;
	fake_domain_free(other);
	do {
		other = fake_domain(2, 64, 1);
		host_fail_alloc(++k);
		made = xenstore_create(other);
		host_fail_alloc(0);
		assert_true(made || !other->store);
		assert_false(xenstore_event(other));
		fake_domain_free(other); /* fake_stop finds what is missing */
	} while (!made);
	assert_true(k > 4);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(test_tree),        T(test_told),          T(test_events),     T(test_without),
	    T(test_memory_lags), T(test_shutdown_lags), T(test_sysrq_lags), T(test_shortage),
	};

	return cmocka_run_group_tests_name("wish", tests, NULL, NULL);
}
