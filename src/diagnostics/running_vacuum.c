/*-------------------------------------------------------------------------
 *
 * running_vacuum.c
 *	  Which tables are being vacuumed, by whom.
 *
 * As pg_stat_progress_vacuum, but without a copy of all that sessions do,
 * which would be kept to the end of the transaction.
 *
 * Locking: none; entries are read by the protocol of st_changecount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"

#include "compat.h"
#include "diagnostics/running_vacuum.h"

/* False if this process does not vacuum. */
static bool
read_entry(volatile PgBackendStatus *entry, FtRunningVacuum *vacuum)
{
	for (;;)
	{
		int			before;
		int			after;
		bool		found;

		pgstat_begin_read_activity(entry, before);
		found = entry->st_procpid > 0 &&
			entry->st_progress_command == PROGRESS_COMMAND_VACUUM;
		vacuum->pid = entry->st_procpid;
		vacuum->database = entry->st_databaseid;
		vacuum->relid = entry->st_progress_command_target;
		vacuum->started = entry->st_xact_start_timestamp;
		pgstat_end_read_activity(entry, after);

		if (pgstat_read_activity_complete(before, after))
			return found;
		CHECK_FOR_INTERRUPTS();
	}
}

FtRunningVacuums *
ft_running_vacuums(void)
{
	FtRunningVacuums *list = palloc0(sizeof(FtRunningVacuums));
	PgBackendStatus *entries;
	int			capacity = 8;

	list->items = palloc(capacity * sizeof(FtRunningVacuum));
	if (MyBEEntry == NULL)
		return list;
	entries = MyBEEntry - ft_my_status_slot();
	for (int i = 0; i < MaxBackends; i++)
	{
		if (list->count == capacity)
		{
			capacity *= 2;
			list->items = repalloc(list->items, capacity * sizeof(FtRunningVacuum));
		}
		if (read_entry(&entries[i], &list->items[list->count]))
			list->count++;
	}
	return list;
}

int
ft_vacuum_pid(const FtRunningVacuums *vacuums, Oid database, Oid relid)
{
	for (int i = 0; i < vacuums->count; i++)
	{
		if (vacuums->items[i].relid == relid &&
			(vacuums->items[i].database == database || !OidIsValid(database)))
			return vacuums->items[i].pid;
	}
	return 0;
}
