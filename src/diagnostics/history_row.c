/*-------------------------------------------------------------------------
 *
 * history_row.c
 *	  What was sampled of a session, as columns.
 *
 * Numbers become names when they are read: of roles and databases that are
 * there now, of relations of this database.  Who may see what is as in
 * pg_stat_activity, by the role that the session had.
 *
 * Locking: see catalog_names.c and history_store.c; none is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "diagnostics/backend_entry.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/history.h"
#include "diagnostics/lock_object.h"
#include "diagnostics/visibility.h"
#include "recode.h"

/* A prepared transaction that was seen: its gid is among the texts. */
typedef struct SeenPrepared
{
	TransactionId xid;
	Oid			database;
	uint64		texts_at;
} SeenPrepared;

struct FtHistoryViewer
{
	bool		see_all;
	SeenPrepared *prepared;
	int			prepared_count;
};

FtHistoryViewer *
ft_history_viewer(const FtHistory *history)
{
	FtHistoryViewer *viewer = palloc0(sizeof(FtHistoryViewer));
	int			count = 0;

	viewer->see_all = ft_may_see_all();
	for (int i = 0; i < history->run_count; i++)
		count += history->runs[i].state.pid == 0;
	viewer->prepared = palloc(sizeof(SeenPrepared) * (count + 1));
	for (int i = 0; i < history->run_count; i++)
	{
		const FtHistoryState *state = &history->runs[i].state;

		if (state->pid == 0)
		{
			SeenPrepared *prepared = &viewer->prepared[viewer->prepared_count++];

			prepared->xid = state->xid;
			prepared->database = state->database;
			prepared->texts_at = state->texts_at;
		}
	}
	return viewer;
}

static void
set(Datum *values, bool *nulls, FtHistoryColumn column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

static void
set_text(Datum *values, bool *nulls, FtHistoryColumn column, const char *value)
{
	if (value != NULL && value[0] != '\0')
		set(values, nulls, column, CStringGetTextDatum(value));
}

static void
set_time(Datum *values, bool *nulls, FtHistoryColumn column, TimestampTz value)
{
	if (value != 0)
		set(values, nulls, column, TimestampTzGetDatum(value));
}

static void
set_names(const FtHistoryState *state, Datum *values, bool *nulls)
{
	const FtDatabaseName *database = ft_database_name(state->database);
	const FtRoleName *role = ft_role_name(state->role);

	if (OidIsValid(state->database))
		set(values, nulls, FT_HISTORY_DATID, ObjectIdGetDatum(state->database));
	if (database != NULL)
		set(values, nulls, FT_HISTORY_DATNAME, NameGetDatum(&database->name));
	if (OidIsValid(state->role))
		set(values, nulls, FT_HISTORY_USESYSID, ObjectIdGetDatum(state->role));
	if (role != NULL)
		set(values, nulls, FT_HISTORY_USENAME, NameGetDatum(&role->name));
	if (TransactionIdIsValid(state->xid))
		set(values, nulls, FT_HISTORY_BACKEND_XID, TransactionIdGetDatum(state->xid));
}

/*
 * A text in the encoding of this database; it was stored in that of the
 * session's, and may have been cut in the middle of a character.
 */
static void
set_foreign_text(Oid database, const char *string, int length, FtHistoryColumn column,
				 Datum *values, bool *nulls)
{
	const FtDatabaseName *name = ft_database_name(database);
	int			encoding = name != NULL ? name->encoding : GetDatabaseEncoding();

	length = pg_encoding_mbcliplen(encoding, string, length, length);
	set(values, nulls, column, CStringGetTextDatum(ft_recode(pnstrdup(string, length), encoding)));
}

static void
set_gid(FtHistoryViewer *viewer, TransactionId xid, Datum *values, bool *nulls)
{
	FtHistoryTexts texts;

	for (int i = 0; i < viewer->prepared_count; i++)
	{
		if (viewer->prepared[i].xid == xid &&
			ft_history_texts(viewer->prepared[i].texts_at, &texts))
		{
			set_foreign_text(viewer->prepared[i].database, texts.query, texts.query_length,
							 FT_HISTORY_PREPARED_GID, values, nulls);
			return;
		}
	}
}

/* Who blocks whom is for everybody who may call the function, as in pg_locks. */
static void
set_blocking(FtHistoryViewer *viewer, const FtHistoryState *state, Datum *values, bool *nulls)
{
	int			method = state->tag.locktag_lockmethodid;

	if (state->flags & FT_HISTORY_IN_CHAIN)
		set(values, nulls, FT_HISTORY_IN_CYCLE, BoolGetDatum((state->flags & FT_HISTORY_CYCLE) != 0));
	if (state->flags & FT_HISTORY_WAITS)
	{
		set_text(values, nulls, FT_HISTORY_LOCKTYPE, ft_lock_type(&state->tag));
		set_text(values, nulls, FT_HISTORY_LOCK_OBJECT,
				 ft_lock_object(&state->tag,
								(state->flags & FT_HISTORY_ROW) ? &state->row : NULL));
		set_text(values, nulls, FT_HISTORY_WAITED_MODE, GetLockmodeName(method, state->waited_mode));
		set_time(values, nulls, FT_HISTORY_WAIT_START, state->wait_start);
	}
	if (state->flags & FT_HISTORY_BLOCKED)
	{
		bool		hard = (state->flags & FT_HISTORY_HARD) != 0;

		set(values, nulls, FT_HISTORY_BLOCKER_PID, Int32GetDatum(state->blocker_pid));
		set_text(values, nulls, FT_HISTORY_BLOCK_KIND, hard ? "hard" : "soft");
		if (hard)
			set_text(values, nulls, FT_HISTORY_HELD_MODE, GetLockmodeName(method, state->held_mode));
		if (state->blocker_pid == 0)
			set_gid(viewer, state->blocker_xid, values, nulls);
	}
}

static void
set_backend_type(const FtHistoryState *state, const FtHistoryTexts *texts,
				 Datum *values, bool *nulls)
{
	if (texts != NULL && texts->backend_type[0] != '\0')
		set_text(values, nulls, FT_HISTORY_BACKEND_TYPE, texts->backend_type);
	else
		set_text(values, nulls, FT_HISTORY_BACKEND_TYPE,
				 GetBackendTypeDesc((BackendType) state->backend_type));
}

/* What the role itself and members of pg_read_all_stats may see. */
static void
set_protected(const FtHistoryState *state, const FtHistoryTexts *texts,
			  Datum *values, bool *nulls)
{
	set_text(values, nulls, FT_HISTORY_STATE, ft_backend_state_name((BackendState) state->state));
	set_backend_type(state, texts, values, nulls);
	if (state->wait_event_info != 0)
	{
		set_text(values, nulls, FT_HISTORY_WAIT_EVENT_TYPE, pgstat_get_wait_event_type(state->wait_event_info));
		set_text(values, nulls, FT_HISTORY_WAIT_EVENT, pgstat_get_wait_event(state->wait_event_info));
	}
	if (state->query_id != 0)
		set(values, nulls, FT_HISTORY_QUERY_ID, Int64GetDatum(state->query_id));
	if (state->leader_pid != 0)
		set(values, nulls, FT_HISTORY_LEADER_PID, Int32GetDatum(state->leader_pid));
	set_time(values, nulls, FT_HISTORY_QUERY_START, state->query_start);
	set_time(values, nulls, FT_HISTORY_XACT_START, state->xact_start);
	set_time(values, nulls, FT_HISTORY_BACKEND_START, state->backend_start);
	set_time(values, nulls, FT_HISTORY_STATE_CHANGE, state->state_change);
	if (texts != NULL)
	{
		set_foreign_text(state->database, texts->query, texts->query_length,
						 FT_HISTORY_QUERY, values, nulls);
		set_text(values, nulls, FT_HISTORY_TRACEPARENT, texts->traceparent);
	}
}

void
ft_history_row(FtHistoryViewer *viewer, const FtHistoryState *state,
			   Datum *values, bool *nulls)
{
	FtHistoryTexts texts;
	bool		has_texts = ft_history_texts(state->texts_at, &texts);

	memset(values, 0, sizeof(Datum) * FT_HISTORY_COLUMNS);
	memset(nulls, true, sizeof(bool) * FT_HISTORY_COLUMNS);
	set(values, nulls, FT_HISTORY_PID, Int32GetDatum(state->pid));
	set_names(state, values, nulls);
	set_blocking(viewer, state, values, nulls);

	if (state->pid == 0)
	{
		set_text(values, nulls, FT_HISTORY_STATE, "prepared");
		set_time(values, nulls, FT_HISTORY_STATE_CHANGE, state->state_change);
		if (has_texts)
			set_foreign_text(state->database, texts.query, texts.query_length,
							 FT_HISTORY_PREPARED_GID, values, nulls);
		return;
	}
	if (has_texts)
		set(values, nulls, FT_HISTORY_APPLICATION_NAME, CStringGetTextDatum(texts.application));
	if (viewer->see_all || ft_may_see(state->role))
		set_protected(state, has_texts ? &texts : NULL, values, nulls);
	else
		set_text(values, nulls, FT_HISTORY_QUERY, FT_NOT_VISIBLE);
}
