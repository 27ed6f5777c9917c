/*-------------------------------------------------------------------------
 *
 * session_outcomes.c
 *	  How transactions and sessions end, by application.
 *
 * The server counts commits, rollbacks and broken sessions by database; whose
 * they are is what one wants to know.  Here they are counted by database, role
 * and application name, in a table of fixed size; when it is full, the rest is
 * counted as one group, "other".
 *
 * Each process counts in a place of its own, which costs a transaction two
 * comparisons and an addition, and moves what it counted to its group when the
 * group changes and at its end.  A reader adds the places to the groups, so
 * that what is shown is complete at any time.
 *
 * Counted are processes that are connected to a database: sessions of clients
 * and background workers; not parallel workers, which are part of another's
 * transaction.  A process that is killed by a signal 9 takes the shared memory
 * with it, and the counts.
 *
 * Locking: shared->lock protects groups, ring and, against each other, those
 * who move counts, who reset, and who read them.  A process counts in its place
 * without it: it is the only one that does, and 8 bytes are written at once.
 * A reset remembers what a place had instead of changing it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/counter_ring.h"
#include "diagnostics/session_outcomes.h"
#include "errors.h"
#include "guc.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_session_outcome_counts);
PG_FUNCTION_INFO_V1(ft_recent_outcomes);
PG_FUNCTION_INFO_V1(ft_reset_session_outcomes);

#define COLUMNS 11
#define OTHER 0					/* the group of what has no place of its own */

typedef enum Outcome
{
	COMMITS,
	ROLLBACKS,
	SESSIONS,
	ABANDONED,
	FATAL_ENDS,
	KILLED,
	OUTCOMES
} Outcome;

typedef struct OutcomeGroup
{
	Oid			database;
	Oid			role;
	char		application[NAMEDATALEN];
	uint64		counts[OUTCOMES];
} OutcomeGroup;

/* Where one process counts; in a cache line of its own. */
typedef struct OutcomePlace
{
	int			group;			/* -1 if nobody counts here */
	uint64		transactions[2];	/* COMMITS and ROLLBACKS */
	uint64		before[2];		/* what they were at the last reset */
} OutcomePlace;

typedef union PaddedPlace
{
	OutcomePlace place;
	char		pad[PG_CACHE_LINE_SIZE];
} PaddedPlace;

typedef struct OutcomeShared
{
	LWLock	   *lock;
	TimestampTz since;			/* start of the server, or the last reset */
	uint32		generation;		/* read without the lock; changed by a reset */
	int			max_groups;		/* constant */
	int			group_count;
	int			place_count;	/* constant */
	FtCounterRing ring;
	PaddedPlace *places;		/* constant: the array itself is not */
	OutcomeGroup groups[FLEXIBLE_ARRAY_MEMBER];
} OutcomeShared;

static OutcomeShared *shared = NULL;

/* of this process */
static OutcomePlace *my_place = NULL;
static OutcomeGroup my_key;
static uint32 my_generation;

static Size
groups_size(void)
{
	return CACHELINEALIGN(add_size(offsetof(OutcomeShared, groups),
								   mul_size(ft_max_session_outcomes, sizeof(OutcomeGroup))));
}

static Size
shared_size(void)
{
	return add_size(groups_size(), mul_size(MaxBackends, sizeof(PaddedPlace)));
}

static void
create_shared(void *memory, LWLockPadded *locks)
{
	OutcomeShared *created = (OutcomeShared *) memory;

	created->lock = &locks[0].lock;
	created->since = GetCurrentTimestamp();
	created->max_groups = ft_max_session_outcomes;
	created->group_count = 1;
	created->place_count = MaxBackends;
	created->places = (PaddedPlace *) ((char *) memory + groups_size());
	for (int i = 0; i < created->place_count; i++)
		created->places[i].place.group = -1;
}

static const FtShmemPart part = {
	.name = "outcomes",
	.size = shared_size,
	.locks = 1,
	.create = create_shared,
	.address = (void **) &shared,
};

static int
find_or_add_group(const OutcomeGroup *key)
{
	OutcomeGroup *group;

	for (int i = OTHER + 1; i < shared->group_count; i++)
	{
		group = &shared->groups[i];
		if (group->database == key->database && group->role == key->role &&
			strcmp(group->application, key->application) == 0)
			return i;
	}
	if (shared->group_count == shared->max_groups)
		return OTHER;

	group = &shared->groups[shared->group_count];
	*group = *key;
	memset(group->counts, 0, sizeof(group->counts));
	return shared->group_count++;
}

/* What a place counted since it was last moved or reset. */
static uint64
counted(const OutcomePlace *place, Outcome outcome)
{
	return place->transactions[outcome] - place->before[outcome];
}

/* To be called with shared->lock held exclusively. */
static void
move_counts(OutcomePlace *place)
{
	if (place->group < 0)
		return;
	for (Outcome i = COMMITS; i <= ROLLBACKS; i++)
	{
		shared->groups[place->group].counts[i] += counted(place, i);
		place->before[i] = place->transactions[i];
	}
}

static void
process_ends(int code, Datum argument)
{
	Outcome		outcome;

	if (my_place == NULL)
		return;

	switch (pgStatSessionEndCause)
	{
		case DISCONNECT_CLIENT_EOF:
			outcome = ABANDONED;
			break;
		case DISCONNECT_FATAL:
			outcome = FATAL_ENDS;
			break;
		case DISCONNECT_KILLED:
			outcome = KILLED;
			break;
		default:
			outcome = OUTCOMES;
			break;
	}

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	move_counts(my_place);
	if (outcome != OUTCOMES && MyBackendType == B_BACKEND)
		shared->groups[my_place->group].counts[outcome]++;
	my_place->group = -1;
	LWLockRelease(shared->lock);
	my_place = NULL;
}

/* A process that is not shown by its place in the array counts nowhere. */
static bool
take_place(void)
{
	int			slot = ft_my_status_slot();

	if (slot < 0 || slot >= shared->place_count)
		return false;
	my_place = &shared->places[slot].place;
	on_shmem_exit(process_ends, (Datum) 0);
	return true;
}

/*
 * Count in another group from now on.  The transaction that made us look is
 * the first of it.
 */
static void
change_group(void)
{
	bool		is_new = my_place == NULL;

	if (is_new && !take_place())
		return;

	my_key.database = MyDatabaseId;
	my_key.role = GetSessionUserId();
	strlcpy(my_key.application, application_name != NULL ? application_name : "",
			sizeof(my_key.application));

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	move_counts(my_place);
	my_place->group = find_or_add_group(&my_key);
	my_generation = shared->generation;
	if (is_new)
	{
		memset(my_place->transactions, 0, sizeof(my_place->transactions));
		memset(my_place->before, 0, sizeof(my_place->before));
		if (MyBackendType == B_BACKEND)
			shared->groups[my_place->group].counts[SESSIONS]++;
	}
	LWLockRelease(shared->lock);
}

static void
count_transaction(Outcome outcome)
{
	if (my_place == NULL || my_generation != shared->generation ||
		my_key.role != GetSessionUserId() ||
		application_name == NULL || strcmp(my_key.application, application_name) != 0)
	{
		if (!OidIsValid(MyDatabaseId) || MyProc == NULL || IsParallelWorker() ||
			(MyBackendType != B_BACKEND && MyBackendType != B_BG_WORKER))
			return;
		change_group();
		if (my_place == NULL)
			return;
	}
	my_place->transactions[outcome]++;
}

static void
transaction_callback(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_COMMIT)
		count_transaction(COMMITS);
	else if (event == XACT_EVENT_ABORT)
		count_transaction(ROLLBACKS);
}

void
ft_session_outcomes_init(void)
{
	ft_shmem_register(&part);
	RegisterXactCallback(transaction_callback, NULL);
}

/* All that is counted of a group; to be called with the lock held. */
static void
add_places(OutcomeGroup *groups)
{
	for (int i = 0; i < shared->place_count; i++)
	{
		const OutcomePlace *place = &shared->places[i].place;

		if (place->group < 0)
			continue;
		groups[place->group].counts[COMMITS] += counted(place, COMMITS);
		groups[place->group].counts[ROLLBACKS] += counted(place, ROLLBACKS);
	}
}

static OutcomeGroup *
copy_groups(int *count, TimestampTz *since)
{
	OutcomeGroup *groups = palloc(sizeof(OutcomeGroup) * shared->max_groups);

	LWLockAcquire(shared->lock, LW_SHARED);
	*count = shared->group_count;
	*since = shared->since;
	memcpy(groups, shared->groups, sizeof(OutcomeGroup) * shared->group_count);
	add_places(groups);
	LWLockRelease(shared->lock);
	return groups;
}

static void
put_group(ReturnSetInfo *result, const OutcomeGroup *group, bool other, TimestampTz since)
{
	const FtDatabaseName *database = ft_database_name(group->database);
	const FtRoleName *role = ft_role_name(group->role);
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};

	nulls[0] = database == NULL;
	if (database != NULL)
		values[0] = NameGetDatum(&database->name);
	nulls[1] = role == NULL;
	if (role != NULL)
		values[1] = NameGetDatum(&role->name);
	values[2] = CStringGetTextDatum(other ? "other" : group->application);
	for (Outcome i = COMMITS; i < OUTCOMES; i++)
		values[3 + i] = Int64GetDatum((int64) group->counts[i]);
	values[9] = BoolGetDatum(other);
	values[10] = TimestampTzGetDatum(since);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * No row where the library was not preloaded.
 *
 * ft.session_outcome_counts()
 */
Datum
ft_session_outcome_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	OutcomeGroup *groups;
	TimestampTz since;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;

	groups = copy_groups(&count, &since);
	ft_names_begin();
	for (int i = 0; i < count; i++)
	{
		uint64		any = 0;

		CHECK_FOR_INTERRUPTS();
		for (Outcome outcome = COMMITS; outcome < OUTCOMES; outcome++)
			any |= groups[i].counts[outcome];
		if (any != 0)
			put_group(result, &groups[i], i == OTHER, since);
	}
	(void) ft_names_end();
	return (Datum) 0;
}

static void
total_counts(FtCounters *total, TimestampTz now)
{
	memset(total, 0, sizeof(*total));
	total->time = now;
	for (int i = 0; i < shared->group_count; i++)
	{
		for (Outcome outcome = COMMITS; outcome < OUTCOMES; outcome++)
			total->values[outcome] += shared->groups[i].counts[outcome];
	}
	for (int i = 0; i < shared->place_count; i++)
	{
		const OutcomePlace *place = &shared->places[i].place;

		if (place->group < 0)
			continue;
		total->values[COMMITS] += counted(place, COMMITS);
		total->values[ROLLBACKS] += counted(place, ROLLBACKS);
	}
}

/*
 * The sampler's task.
 */
void
ft_session_outcomes_sample(TimestampTz now)
{
	FtCounters	total;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	total_counts(&total, now);
	ft_counter_ring_add(&shared->ring, &total);
	LWLockRelease(shared->lock);
}

/*
 * What all groups together counted since the sample nearest to the begin of a
 * window.  NULL while there is none, and after a reset until there is.
 *
 * ft.recent_outcomes("window" interval)
 */
Datum
ft_recent_outcomes(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since =
		DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												TimestampTzGetDatum(now),
												PG_GETARG_DATUM(0)));
	TupleDesc	descriptor;
	Datum		values[OUTCOMES + 1] = {0};
	bool		nulls[OUTCOMES + 1];
	FtCounters	then;
	FtCounters	current;
	bool		known = false;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (since >= now)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("the window must be longer than nothing"),
				 errhint("Give an interval such as '1 min'.")));

	if (shared != NULL)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		known = ft_counter_ring_since(&shared->ring, since, &then);
		total_counts(&current, now);
		LWLockRelease(shared->lock);
	}

	memset(nulls, true, sizeof(nulls));
	if (known && then.time < now)
	{
		values[0] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(now),
										TimestampTzGetDatum(then.time));
		nulls[0] = false;
		for (Outcome i = COMMITS; i < OUTCOMES; i++)
		{
			values[i + 1] = Int64GetDatum((int64) (current.values[i] - then.values[i]));
			nulls[i + 1] = false;
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}

/*
 * Begin anew.  Who counts looks for its group again, before it counts there.
 *
 * ft.reset_session_outcomes()
 */
Datum
ft_reset_session_outcomes(PG_FUNCTION_ARGS)
{
	ft_require_preload("ft.reset_session_outcomes()");

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->generation++;
	shared->group_count = OTHER + 1;
	memset(shared->groups[OTHER].counts, 0, sizeof(shared->groups[OTHER].counts));
	for (int i = 0; i < shared->place_count; i++)
	{
		OutcomePlace *place = &shared->places[i].place;

		if (place->group < 0)
			continue;
		place->before[COMMITS] = place->transactions[COMMITS];
		place->before[ROLLBACKS] = place->transactions[ROLLBACKS];
		place->group = OTHER;
	}
	shared->ring.next = 0;
	shared->ring.used = 0;
	shared->since = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
	PG_RETURN_VOID();
}
