/*-------------------------------------------------------------------------
 *
 * backend_entry.c
 *	  What the server keeps of what a session does, one session at a time.
 *
 * The server's own functions copy the entries of all sessions and keep the
 * copy to the end of the transaction.  Here an entry is copied when it is
 * asked for, straight from the array, by sessions and by workers that have no
 * transaction.
 *
 * Locking: none; entries are read by the protocol of st_changecount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "compat.h"
#include "diagnostics/backend_entry.h"

FtBackendReader *
ft_backend_reader(void)
{
	FtBackendReader *reader = palloc0(sizeof(FtBackendReader));

	if (MyBEEntry != NULL)
		reader->entries = MyBEEntry - ft_my_status_slot();
	reader->query = palloc(pgstat_track_activity_query_size);
	return reader;
}

/* As strlcpy(), but not byte by byte: queries are long. */
static int
copy_string(char *to, const char *from, int size)
{
	int			length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
	return length;
}

/* Copy an entry if it is that of a process; as pgstat_read_current_status(). */
static bool
copy_entry(FtBackendReader *reader, int slot, int pid, FtBackendEntry *copy)
{
	volatile PgBackendStatus *entry = &reader->entries[slot];

	copy->query = reader->query;
	for (;;)
	{
		int			before;
		int			after;

		pgstat_begin_read_activity(entry, before);
		copy->status.st_procpid = entry->st_procpid;
		if (copy->status.st_procpid == pid)
		{
			memcpy(&copy->status, unvolatize(PgBackendStatus *, entry), sizeof(PgBackendStatus));
			copy_string(copy->application, entry->st_appname, NAMEDATALEN);
			copy_string(copy->hostname, entry->st_clienthostname, NAMEDATALEN);
			copy->query_length = copy_string(reader->query, entry->st_activity_raw,
											 pgstat_track_activity_query_size);
		}
		pgstat_end_read_activity(entry, after);

		if (pgstat_read_activity_complete(before, after))
			return copy->status.st_procpid == pid;
		CHECK_FOR_INTERRUPTS();
	}
}

/* False if the process is gone, or has no entry. */
bool
ft_backend_entry(FtBackendReader *reader, int procno, int pid, FtBackendEntry *entry)
{
	int			slot = ft_status_slot(&ProcGlobal->allProcs[procno]);

	if (reader->entries == NULL || pid == 0)
		return false;
	if (slot >= 0 && slot < (int) ProcGlobal->allProcCount &&
		copy_entry(reader, slot, pid, entry))
		return true;
	for (int i = 0; i < ft_auxiliary_status_slots; i++)
	{
		if (copy_entry(reader, MaxBackends + i, pid, entry))
			return true;
	}
	return false;
}

const char *
ft_backend_state_name(BackendState state)
{
	if (ft_state_is_starting(state))
		return "starting";
	switch (state)
	{
		case STATE_IDLE:
			return "idle";
		case STATE_RUNNING:
			return "active";
		case STATE_IDLEINTRANSACTION:
			return "idle in transaction";
		case STATE_FASTPATH:
			return "fastpath function call";
		case STATE_IDLEINTRANSACTION_ABORTED:
			return "idle in transaction (aborted)";
		case STATE_DISABLED:
			return "disabled";
		default:
			return NULL;
	}
}
