/*-------------------------------------------------------------------------
 *
 * compensation_due.c
 *	  Whose compensations are due, and when the next will be.
 *
 * For the scheduler, which starts and wakes executors: of each execution it
 * looks at the compensation that is next, once in a tick.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "shmem.h"

#define DUE		"(next.next_attempt_at <= $1) IS NOT FALSE"

/*
 * By owner, and by who has claimed it: whether something is due, whether a
 * suspect is, whether something has been waiting since the server started, and
 * when the first is due.
 */
FT_STATEMENT(next_of_owners,
			 "SELECT execution.owner_oid, execution.owner::text, next.pid, next.epoch, next.worker,"
			 "       count(*) FILTER (WHERE " DUE ") > 0,"
			 "       count(*) FILTER (WHERE " DUE " AND next.suspicion = 'server') > 0,"
			 "       count(*) FILTER (WHERE greatest(next.next_attempt_at, execution.updated_at) <= $2) > 0,"
			 "       min(coalesce(next.next_attempt_at, $1))"
			 FT_NEXT_COMPENSATION
			 " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2",
			 TIMESTAMPTZOID, TIMESTAMPTZOID);

/* The entry of an owner, who is the last one or has none yet. */
static FtCompensationsDue *
entry_of(List **entries, Oid oid, char *name)
{
	FtCompensationsDue *entry = *entries == NIL ? NULL : llast(*entries);

	if (entry == NULL || entry->owner.oid != oid || strcmp(entry->owner.name, name) != 0)
	{
		entry = palloc0(sizeof(FtCompensationsDue));
		entry->owner.oid = oid;
		entry->owner.name = name;
		entry->next_due = DT_NOEND;
		*entries = lappend(*entries, entry);
	}
	return entry;
}

List *
ft_compensations_due(TimestampTz now)
{
	/* what is claimed is looked at again with the next poll */
	TimestampTz poll = TimestampTzPlusMilliseconds(now, ft_recovery_interval);
	List	   *entries = NIL;
	uint64		n = ft_run(&next_of_owners,
						   FT_ARGS(FT_TIME(now),
								   FT_TIME(ft_shared != NULL ? ft_shared->started_at : now)));

	for (uint64 row = 0; row < n; row++)
	{
		FtCompensationsDue *entry = entry_of(&entries, ft_column_oid(row, 1), ft_column_text(row, 2));
		bool		claimed = !ft_column_is_null(row, 3);

		entry->due |= ft_column_bool(row, 6) && !ft_compensation_claim_alive(row, 3);
		entry->suspect |= ft_column_bool(row, 7) && !claimed;
		entry->since_start |= ft_column_bool(row, 8) && !claimed;
		entry->next_due = ft_earlier(entry->next_due, claimed ? poll : ft_column_time(row, 9));
	}
	return entries;
}
