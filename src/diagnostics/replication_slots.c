/*-------------------------------------------------------------------------
 *
 * replication_slots.c
 *	  Since when a replication slot has been without a consumer.
 *
 * Servers before 17 do not tell.  The sampler's task "slots" looks at the
 * slots now and then, and notes when it first found one without a consumer:
 * the answer is late by up to its interval, and starts anew with the server,
 * as that of 17 does.
 *
 * Locking: ReplicationSlotControlLock, shared, and a spinlock for each slot,
 * while they are copied; then shared->lock.  Never both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "diagnostics/replication_slots.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_slot_inactive_since);

typedef struct SlotState
{
	NameData	name;			/* empty if there is no such slot */
	TimestampTz inactive_since; /* 0 while it has a consumer */
} SlotState;

/* As many as there can be slots; found by their place in the server's array. */
typedef struct SlotShared
{
	LWLock	   *lock;			/* constant; protects slots */
	SlotState	slots[FLEXIBLE_ARRAY_MEMBER];
} SlotShared;

static SlotShared *shared = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(SlotShared, slots),
					mul_size(max_replication_slots, sizeof(SlotState)));
}

static void
create_shared(void *memory, LWLockPadded *locks)
{
	((SlotShared *) memory)->lock = &locks[0].lock;
}

static const FtShmemPart part = {
	.name = "slots",
	.size = shared_size,
	.locks = 1,
	.create = create_shared,
	.address = (void **) &shared,
};

void
ft_replication_slots_init(void)
{
	ft_shmem_register(&part);
}

/* Copy the names of the slots that have no consumer; the rest is left empty. */
static void
copy_inactive(NameData *names)
{
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		if (slot->active_pid == 0)
			names[i] = slot->data.name;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
}

/*
 * The sampler's task.
 */
void
ft_replication_slots_sample(TimestampTz now)
{
	NameData   *names;

	if (max_replication_slots == 0)
		return;

	names = palloc0(sizeof(NameData) * max_replication_slots);
	copy_inactive(names);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < max_replication_slots; i++)
	{
		SlotState  *state = &shared->slots[i];

		if (NameStr(names[i])[0] == '\0')
			state->inactive_since = 0;
		else if (state->inactive_since == 0 ||
				 strcmp(NameStr(state->name), NameStr(names[i])) != 0)
			state->inactive_since = now;
		state->name = names[i];
	}
	LWLockRelease(shared->lock);
	pfree(names);
}

/*
 * NULL where it has a consumer, was not looked at yet, or nothing is sampled.
 *
 * ft.slot_inactive_since(slot_name name)
 */
Datum
ft_slot_inactive_since(PG_FUNCTION_ARGS)
{
	Name		name = PG_GETARG_NAME(0);
	TimestampTz since = 0;

	if (shared == NULL)
		PG_RETURN_NULL();

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		if (strcmp(NameStr(shared->slots[i].name), NameStr(*name)) == 0)
			since = shared->slots[i].inactive_since;
	}
	LWLockRelease(shared->lock);

	if (since == 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(since);
}
