/* SPDX-License-Identifier: MIT */
/* Who uses up frames that are no guest's page: see charge.h. */
#include "mm/charge.h"
#include "mm/core.h"

static struct charge charges[MM_MAX_SPACES];

void charge_init(void)
{
	__builtin_memset(charges, 0, sizeof(charges));
}

domid_t charge_owner(uint16_t owner)
{
	return owner < MM_MAX_SPACES ? owner : 0;
}

static uint64_t *charge_counter(enum frame_kind kind, domid_t owner)
{
	struct charge *c = &charges[charge_owner(owner)];

	if (kind == FRAME_TABLE)
		return &c->tables;
	if (kind == FRAME_STORE)
		return &c->store;
	return kind == FRAME_SERVICE ? &c->service : &c->hypervisor;
}

bool charge_add(enum frame_kind kind, domid_t owner, uint64_t pages)
{
	const struct charge *c = &charges[charge_owner(owner)];
	uint64_t room = CHARGE_MAX_PAGES - min_u64(c->service + c->hypervisor, CHARGE_MAX_PAGES);

	ASSERT(lock_held(LOCK_FREE));
	if (owner && kind != FRAME_TABLE && kind != FRAME_STORE && pages > room)
		return false;
	*charge_counter(kind, owner) += pages;
	return true;
}

void charge_drop(enum frame_kind kind, domid_t owner, uint64_t pages)
{
	uint64_t *n = charge_counter(kind, owner);

	ASSERT(lock_held(LOCK_FREE) && *n >= pages);
	*n -= pages;
}

struct charge charge_of(domid_t owner)
{
	struct charge c;

	lock_take(&mm.free_lock, LOCK_FREE);
	c = charges[charge_owner(owner)];
	lock_drop(&mm.free_lock, LOCK_FREE);
	return c;
}
