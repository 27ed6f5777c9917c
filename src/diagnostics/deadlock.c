/*-------------------------------------------------------------------------
 *
 * deadlock.c
 *	  Deadlocks that the server reported, with who took part.
 *
 * The victim's session reports the deadlock, and while it does so all others
 * still wait: its locks are given back only after the report was written.  So
 * the log hook finds in their entries of the array of backend statuses who
 * they are, which the report does not say.
 *
 * Locking: none in the hook; see ring.c.  Statuses are read by the protocol of
 * st_changecount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/deadlock.h"
#include "diagnostics/deadlock_count.h"
#include "diagnostics/deadlock_report.h"
#include "diagnostics/lock_object.h"
#include "diagnostics/visibility.h"
#include "errors.h"
#include "guc.h"
#include "recode.h"
#include "redact.h"
#include "ring.h"
#include "shmem.h"
#include "traceparent.h"

PG_FUNCTION_INFO_V1(ft_deadlocks);

#define MAX_PARTICIPANTS	16
#define TEXT_SIZE			8192	/* for all statements of one deadlock */
#define MODE_SIZE			32
#define OBJECT_SIZE			96
#define CONTEXT_SIZE		256
#define COLUMNS				20

/* As DeadLockReport() has it before translation. */
#define DEADLOCK_MESSAGE	"deadlock detected"

typedef struct Participant
{
	int			pid;
	int			blocked_by;
	Oid			role;			/* InvalidOid where it is not known */
	Oid			database;
	bool		tag_known;
	LOCKTAG		tag;
	char		object[OBJECT_SIZE];	/* in the report's words, if no tag */
	char		mode[MODE_SIZE];
	char		application[NAMEDATALEN];
	char		traceparent[FT_TRACEPARENT_SIZE];
	int			statement;		/* offset in texts; -1 if there is none */
} Participant;

typedef struct DeadlockRecord
{
	TimestampTz time;
	Oid			database;
	Oid			role;			/* of the victim */
	int			victim;			/* pid */
	int			encoding;		/* of all texts */
	int			count;			/* who took part; 0: report not understood */
	char		context[CONTEXT_SIZE];	/* of the victim */
	Participant participants[MAX_PARTICIPANTS];
	char		texts[TEXT_SIZE];	/* statements; or the report itself */
} DeadlockRecord;

static FtRing *ring = NULL;

static Size
ring_size(void)
{
	return ft_ring_size(ft_deadlocks_kept, sizeof(DeadlockRecord));
}

static void
ring_create(void *memory, LWLockPadded *locks)
{
	ft_ring_create(ring, ft_deadlocks_kept, sizeof(DeadlockRecord));
}

static const FtShmemPart part = {
	.name = "deadlocks",
	.size = ring_size,
	.locks = 0,
	.create = ring_create,
	.address = (void **) &ring,
};

void
ft_deadlock_init(void)
{
	ft_shmem_register(&part);
	ft_deadlock_count_init();
}

/* Copy from an entry if it is that of a process.  Looks again a few times. */
static bool
copy_status(volatile PgBackendStatus *entry, Participant *participant)
{
	for (int looks = 0; looks < 100; looks++)
	{
		int			before;
		int			after;
		bool		found;

		pgstat_begin_read_activity(entry, before);
		found = entry->st_procpid == participant->pid;
		if (found)
		{
			participant->role = entry->st_userid;
			participant->database = entry->st_databaseid;
			strlcpy(participant->application, (const char *) entry->st_appname, NAMEDATALEN);
		}
		pgstat_end_read_activity(entry, after);
		if (pgstat_read_activity_complete(before, after))
			return found;
	}
	return false;
}

/* Who a process is, by the array of backend statuses. */
static void
identify(Participant *participant)
{
	PgBackendStatus *entries;

	participant->role = InvalidOid;
	participant->database = InvalidOid;
	participant->application[0] = '\0';
	if (MyBEEntry == NULL)
		return;
	entries = MyBEEntry - ft_my_status_slot();
	for (int i = 0; i < MaxBackends; i++)
	{
		if (entries[i].st_procpid == participant->pid && copy_status(&entries[i], participant))
			return;
	}
	participant->role = InvalidOid;
	participant->database = InvalidOid;
	participant->application[0] = '\0';
}

static void
copy_piece(char *to, Size size, const FtPiece *piece)
{
	ft_copy_clipped_len(to, size, piece->start, piece->length);
}

/* The trace, from the whole statement, which is in the report. */
static void
find_trace(Participant *participant, const FtPiece *statement, char *buffer, Size size)
{
	participant->traceparent[0] = '\0';
	if (statement->start != NULL)
	{
		copy_piece(buffer, size, statement);
		if (ft_traceparent_in_query(buffer, participant->traceparent))
			return;
	}
	ft_traceparent_in_name(participant->application, participant->traceparent);
}

static void
keep_participants(DeadlockRecord *record, const FtDeadlockLine *lines, int count)
{
	Size		share = TEXT_SIZE / count;

	for (int i = 0; i < count; i++)
	{
		const FtDeadlockLine *line = &lines[i];
		Participant *participant = &record->participants[i];

		participant->pid = line->pid;
		participant->blocked_by = line->blocked_by;
		participant->tag_known = line->tag_known;
		participant->tag = line->tag;
		copy_piece(participant->object, OBJECT_SIZE, &line->object);
		copy_piece(participant->mode, MODE_SIZE, &line->mode);
		identify(participant);

		/* what is behind this statement's place is not in use yet */
		find_trace(participant, &line->statement, record->texts + i * share, TEXT_SIZE - i * share);
		participant->statement = line->statement.start == NULL ? -1 : (int) (i * share);
		if (line->statement.start != NULL)
		{
			copy_piece(record->texts + i * share, share, &line->statement);
			ft_redact_passwords(record->texts + i * share, share);
		}
	}
}

void
ft_deadlock_note(const ErrorData *edata, TimestampTz now)
{
	/* one more, which says where the statement before it ends */
	FtDeadlockLine lines[MAX_PARTICIPANTS + 1];
	DeadlockRecord *record;
	uint64		number;

	/* 40P01 is raised for other things too, and by users */
	if (edata->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED ||
		edata->message_id == NULL || strcmp(edata->message_id, DEADLOCK_MESSAGE) != 0 ||
		edata->detail == NULL || edata->detail_log == NULL || ring == NULL)
		return;

	ft_deadlock_count(MyDatabaseId);
	record = ft_ring_begin(ring, &number);
	if (record == NULL)
		return;
	record->time = now;
	record->database = MyDatabaseId;
	record->role = MyProc != NULL ? MyProc->roleId : InvalidOid;
	record->victim = MyProcPid;
	record->encoding = GetDatabaseEncoding();
	ft_copy_clipped(record->context, CONTEXT_SIZE, edata->hide_ctx ? NULL : edata->context);
	ft_redact_passwords(record->context, CONTEXT_SIZE);
	record->count = ft_deadlock_report_read(edata->detail, edata->detail_log,
											lines, MAX_PARTICIPANTS + 1);
	if (record->count > 0)
		keep_participants(record, lines, Min(record->count, MAX_PARTICIPANTS));
	else
	{
		record->participants[0].pid = MyProcPid;
		identify(&record->participants[0]);
		ft_copy_clipped(record->texts, TEXT_SIZE, edata->detail_log);
		ft_redact_passwords(record->texts, TEXT_SIZE);
	}
	ft_ring_end(ring, record, number);
}

static void
set(Datum *values, bool *nulls, int column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

static void
set_text(Datum *values, bool *nulls, int column, const char *string, int encoding)
{
	if (string != NULL && string[0] != '\0')
		set(values, nulls, column, CStringGetTextDatum(ft_recode(string, encoding)));
}

/* What is said of the deadlock in each of its rows. */
static void
set_deadlock(Datum *values, bool *nulls, uint64 number, const DeadlockRecord *record)
{
	const FtDatabaseName *database = ft_database_name(record->database);

	set(values, nulls, 0, Int64GetDatum((int64) number));
	set(values, nulls, 1, TimestampTzGetDatum(record->time));
	if (database != NULL)
		set(values, nulls, 2, NameGetDatum(&database->name));
	if (record->count > 0)
		set(values, nulls, 4, Int32GetDatum(record->count));
	set(values, nulls, 18, ObjectIdGetDatum(record->database));
}

static void
set_role(Datum *values, bool *nulls, Oid oid)
{
	const FtRoleName *role = ft_role_name(oid);

	if (role != NULL)
		set(values, nulls, 7, NameGetDatum(&role->name));
	if (OidIsValid(oid))
		set(values, nulls, 19, ObjectIdGetDatum(oid));
}

static void
put_participant(ReturnSetInfo *result, uint64 number, const DeadlockRecord *record, int i)
{
	const Participant *participant = &record->participants[i];
	bool		victim = participant->pid == record->victim;
	bool		visible = ft_may_see(participant->role);
	int			encoding = record->encoding;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];

	memset(nulls, true, sizeof(nulls));
	set_deadlock(values, nulls, number, record);
	set(values, nulls, 3, Int32GetDatum(i + 1));
	set(values, nulls, 5, Int32GetDatum(participant->pid));
	set(values, nulls, 6, BoolGetDatum(victim));
	set_role(values, nulls, participant->role);
	set_text(values, nulls, 8, participant->application, encoding);
	set_text(values, nulls, 9, participant->mode, encoding);
	if (participant->tag_known)
	{
		set_text(values, nulls, 10, ft_lock_type(&participant->tag), PG_SQL_ASCII);
		set(values, nulls, 11, CStringGetTextDatum(ft_lock_object(&participant->tag, NULL)));
	}
	else
		set_text(values, nulls, 11, participant->object, encoding);
	set(values, nulls, 12, Int32GetDatum(participant->blocked_by));
	if (!visible)
		set_text(values, nulls, 13, FT_NOT_VISIBLE, encoding);
	else
	{
		if (participant->statement >= 0)
			set_text(values, nulls, 13, record->texts + participant->statement, encoding);
		set_text(values, nulls, 14, participant->traceparent, encoding);
		if (victim)
			set_text(values, nulls, 15, record->context, encoding);
	}
	if (i == MAX_PARTICIPANTS - 1 && record->count > MAX_PARTICIPANTS)
		set(values, nulls, 17,
			CStringGetTextDatum(psprintf("%d more took part", record->count - MAX_PARTICIPANTS)));

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A report that was not understood: who was the victim, and its text. */
static void
put_report(ReturnSetInfo *result, uint64 number, const DeadlockRecord *record)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];

	memset(nulls, true, sizeof(nulls));
	set_deadlock(values, nulls, number, record);
	set(values, nulls, 5, Int32GetDatum(record->victim));
	set(values, nulls, 6, BoolGetDatum(true));
	set_role(values, nulls, record->role);
	set_text(values, nulls, 8, record->participants[0].application, record->encoding);
	if (ft_may_see(record->role))
		set_text(values, nulls, 15, record->context, record->encoding);
	set_text(values, nulls, 16, ft_may_see_all() ? record->texts : FT_NOT_VISIBLE, record->encoding);
	set_text(values, nulls, 17, "the report was not understood", PG_SQL_ASCII);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.deadlocks(): a row for each who took part, the newest deadlock first.
 */
Datum
ft_deadlocks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DeadlockRecord *record = palloc(sizeof(DeadlockRecord));
	MemoryContext row_context;
	MemoryContext old_context;
	uint64		oldest;

	ft_require_preload("ft.deadlocks()");
	InitMaterializedSRF(fcinfo, 0);
	Assert(result->setDesc->natts == COLUMNS);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "deadlocks row",
										ALLOCSET_DEFAULT_SIZES);
	ft_names_begin();
	oldest = ft_ring_oldest(ring);
	for (uint64 number = ft_ring_newest(ring); number >= oldest; number--)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ft_ring_read(ring, number, record))
			continue;
		old_context = MemoryContextSwitchTo(row_context);
		if (record->count == 0)
			put_report(result, number, record);
		for (int i = 0; i < Min(record->count, MAX_PARTICIPANTS); i++)
			put_participant(result, number, record, i);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	ft_names_end();
	return (Datum) 0;
}
