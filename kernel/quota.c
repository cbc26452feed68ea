/* SPDX-License-Identifier: MIT */
/* See quota.h. */
#include "kernel/quota.h"
#include "kernel/grant_ref.h"
#include "kernel/xenstore.h"
#include "kernel/xs_conn.h"

static uint64_t quota_ports(struct domain *d)
{
	uint64_t n = 0;

	spin_lock(&d->event_lock);
	for (unsigned port = 1; port < MAX_EVTCHNS; port++)
		n += d->evtchn[port].state != EVTCHN_FREE;
	spin_unlock(&d->event_lock);
	return n;
}

static void quota_grants(struct domain *d, uint64_t *maps, uint64_t *lent)
{
	domain_peers_lock();
	for (unsigned i = 0; d->grants && i < GRANT_MAPS; i++)
		*maps += d->grants->map[i].used;
	for (unsigned i = 0; d->grants && i < GRANT_ACTIVE; i++)
		*lent += d->grants->active[i].readers || d->grants->active[i].writers;
	domain_peers_unlock();
}

void quota_look(struct domain *d, struct quota q[QUOTAS])
{
	struct xenstore_stats store = xenstore_stats(d);
	struct space_stats space = space_stats(&d->space);
	uint64_t maps = 0, lent = 0;

	quota_grants(d, &maps, &lent);
	q[QUOTA_PORTS] = (struct quota){"ports", "Ports", quota_ports(d), MAX_EVTCHNS - 1};
	q[QUOTA_NODES] = (struct quota){"nodes", "Nodes", store.nodes, XS_NODES - XS_KEPT_NODES};
	q[QUOTA_WATCHES] = (struct quota){"watches", "Watches", store.watches, XS_WATCHES};
	q[QUOTA_TRANSACTIONS] =
	    (struct quota){"transactions", "Trans", store.transactions, XS_TX_MAX};
	q[QUOTA_MAPS] = (struct quota){"maps", "Maps", maps, GRANT_MAPS};
	q[QUOTA_LENT] = (struct quota){"lent", "Lent", lent, GRANT_ACTIVE};
	q[QUOTA_TABLES] = (struct quota){
	    "tables", "Tables", space.table_frames - d->space.table_pool_pages, space.table_frames};
	q[QUOTA_PINS] = (struct quota){"pins", "Pins", space.pinned, SPACE_MAX_PINS};
	q[QUOTA_LOG] = (struct quota){"log_bytes", "Log", console_used(d), CONSOLE_BURST};
}
