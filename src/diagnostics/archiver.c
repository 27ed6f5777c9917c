/*-------------------------------------------------------------------------
 *
 * archiver.c
 *	  How many WAL files wait to be archived.
 *
 * The server counts what was archived and what failed, but not what waits:
 * that is the number of .ready files in pg_wal/archive_status.
 *
 * Locking: none.  The folder is read as the archiver reads it; a file that
 * goes away meanwhile is not counted, or was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(ft_archive_queue);

/* Past that many the number is the least that wait. */
#define MAX_COUNTED 100000

#define STATUS_FOLDER XLOGDIR "/archive_status"

typedef struct ArchiveQueue
{
	int64		files;
	bool		complete;		/* not cut at MAX_COUNTED */
	char		oldest[MAXFNAMELEN];	/* without the suffix; "" if none */
} ArchiveQueue;

/*
 * The archiver takes timeline histories first, then by name.
 */
static bool
comes_before(const char *name, const char *other)
{
	bool		history = IsTLHistoryFileName(name);

	if (other[0] == '\0')
		return true;
	if (history != IsTLHistoryFileName(other))
		return history;
	return strcmp(name, other) < 0;
}

static void
count_queue(ArchiveQueue *queue)
{
	DIR		   *folder = AllocateDir(STATUS_FOLDER);
	struct dirent *entry;

	queue->files = 0;
	queue->complete = true;
	queue->oldest[0] = '\0';

	while ((entry = ReadDir(folder, STATUS_FOLDER)) != NULL)
	{
		char		name[MAXFNAMELEN];
		size_t		length = strlen(entry->d_name);

		CHECK_FOR_INTERRUPTS();

		if (length <= strlen(".ready") ||
			length - strlen(".ready") >= sizeof(name) ||
			strcmp(entry->d_name + length - strlen(".ready"), ".ready") != 0)
			continue;
		if (queue->files == MAX_COUNTED)
		{
			queue->complete = false;
			break;
		}
		queue->files++;
		strlcpy(name, entry->d_name, length - strlen(".ready") + 1);
		if (comes_before(name, queue->oldest))
			strlcpy(queue->oldest, name, sizeof(queue->oldest));
	}
	FreeDir(folder);
}

/* When a file became ready; false if it was archived meanwhile. */
static bool
ready_since(const char *name, TimestampTz *since)
{
	char		path[MAXPGPATH];
	struct stat status;

	StatusFilePath(path, name, ".ready");
	if (stat(path, &status) != 0)
		return false;
	*since = time_t_to_timestamptz((pg_time_t) status.st_mtime);
	return true;
}

static const char *
mode_name(void)
{
	switch (XLogArchiveMode)
	{
		case ARCHIVE_MODE_ON:
			return "on";
		case ARCHIVE_MODE_ALWAYS:
			return "always";
		default:
			return "off";
	}
}

/*
 * Whether this node archives now, with what, and what waits.
 */
Datum
ft_archive_queue(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[7] = {0};
	bool		nulls[7] = {0};
	bool		library = XLogArchiveLibrary != NULL && XLogArchiveLibrary[0] != '\0';
	bool		command = XLogArchiveCommand != NULL && XLogArchiveCommand[0] != '\0';
	ArchiveQueue queue;
	TimestampTz since;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	count_queue(&queue);

	values[0] = CStringGetTextDatum(mode_name());
	values[1] = BoolGetDatum(XLogArchiveMode == ARCHIVE_MODE_ALWAYS ||
							 (XLogArchiveMode == ARCHIVE_MODE_ON &&
							  !RecoveryInProgress()));
	nulls[2] = !library && !command;
	values[2] = CStringGetTextDatum(library ? "library" : "command");
	values[3] = Int64GetDatum(queue.files);
	values[4] = BoolGetDatum(queue.complete);
	nulls[5] = queue.oldest[0] == '\0';
	values[5] = CStringGetTextDatum(queue.oldest);
	if (nulls[5] || !ready_since(queue.oldest, &since))
		nulls[6] = true;
	else
		values[6] = TimestampTzGetDatum(since);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}
