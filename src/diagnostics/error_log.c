/*-------------------------------------------------------------------------
 *
 * error_log.c
 *	  The hook that sees what is written to the server's log, and what it
 *	  keeps of errors.
 *
 * It sees what reaches the log and nothing else: an error that is caught in a
 * function does not, nor one below log_min_messages.
 *
 * The hook runs in any context: out of memory, in a critical section, in a
 * signal handler, in a process that has no PGPROC yet or none any more.  So it
 * only copies into memory that is there already, asks no catalog, and reports
 * nothing.  In the postmaster itself, which must not touch shared memory that a
 * dying backend may have damaged, it does nothing.
 *
 * Locking: none in the hook; see error_table.c and ring.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/pg_shmem.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "client_names.h"
#include "diagnostics/deadlock.h"
#include "diagnostics/error_log.h"
#include "guc.h"
#include "recode.h"
#include "redact.h"
#include "shmem.h"

FtErrorsShared *ft_errors_shared = NULL;

static emit_log_hook_type previous_emit_log_hook = NULL;

/* How often the hook is running in this process: signal handlers log, too. */
static int	depth = 0;

static Size
errors_size(void)
{
	Size		size = MAXALIGN(sizeof(FtErrorsShared));

	size = add_size(size, MAXALIGN(ft_error_table_size(ft_max_error_kinds)));
	return add_size(size, ft_ring_size(ft_errors_kept, sizeof(FtErrorRecord)));
}

static void
errors_create(void *memory, LWLockPadded *locks)
{
	char	   *rest = (char *) memory + MAXALIGN(sizeof(FtErrorsShared));

	ft_errors_shared->reset_lock = &locks[0].lock;
	ft_errors_shared->table = (FtErrorTable *) rest;
	ft_error_table_create(ft_errors_shared->table, ft_max_error_kinds);
	rest += MAXALIGN(ft_error_table_size(ft_max_error_kinds));
	ft_errors_shared->ring = (FtRing *) rest;
	ft_ring_create(ft_errors_shared->ring, ft_errors_kept, sizeof(FtErrorRecord));
}

static const FtShmemPart part = {
	.name = "errors",
	.size = errors_size,
	.locks = 1,
	.create = errors_create,
	.address = (void **) &ft_errors_shared,
};

static FtErrorLevel
level_of(int elevel)
{
	if (elevel >= PANIC)
		return FT_ERROR_PANIC;
	if (elevel >= FATAL)
		return FT_ERROR_FATAL;
	if (elevel >= ERROR)
		return FT_ERROR_ERROR;
	return FT_ERROR_WARNING;
}

/*
 * As pg_stat_activity has it.  While a session is starting its setting is not
 * there yet, but what the client sent is.
 */
static const char *
application(void)
{
	if (IsInitProcessingMode() && ft_client_application() != NULL)
		return ft_client_application();
	if (application_name != NULL && application_name[0] != '\0')
		return application_name;
	if (MyBgworkerEntry != NULL)
		return MyBgworkerEntry->bgw_name;
	return NULL;
}

static void
fill_key(FtErrorKey *key, const ErrorData *edata)
{
	memset(key, 0, sizeof(FtErrorKey));
	key->sqlstate = edata->sqlerrcode;
	key->level = level_of(edata->elevel);
	key->database = MyDatabaseId;
	key->role = MyProc != NULL ? MyProc->roleId : InvalidOid;
	ft_copy_clipped(key->application, NAMEDATALEN, application());

	if (!OidIsValid(key->database))
		ft_copy_clipped(key->datname, NAMEDATALEN, ft_client_database());
	if (!OidIsValid(key->role))
		ft_copy_clipped(key->usename, NAMEDATALEN, ft_client_user());
}

static void
keep(const FtErrorKey *key, const ErrorData *edata, TimestampTz now)
{
	const char *query = edata->hide_stmt ? NULL : debug_query_string;
	uint64		number;
	FtErrorRecord *record = ft_ring_begin(ft_errors_shared->ring, &number);

	if (record == NULL)
		return;
	record->time = now;
	record->key = *key;
	record->pid = MyProcPid;
	record->encoding = GetDatabaseEncoding();
	record->backend_type = MyBackendType;
	record->query_id = MyBEEntry != NULL ? MyBEEntry->st_query_id : 0;
	ft_traceparent_find(query, key->application, record->traceparent);
	ft_copy_clipped(record->message, FT_ERROR_MESSAGE, edata->message);

	/* of a deadlock the detail for the log has the statements of others */
	record->detail_for_log = edata->detail_log != NULL;
	ft_copy_clipped(record->detail, FT_ERROR_DETAIL,
					edata->detail_log != NULL ? edata->detail_log : edata->detail);
	ft_copy_clipped(record->hint, FT_ERROR_HINT, edata->hint);
	ft_copy_clipped(record->context, FT_ERROR_CONTEXT, edata->hide_ctx ? NULL : edata->context);
	ft_copy_clipped(record->query, FT_ERROR_QUERY, query);

	/* a line of pg_hba.conf may have one, too */
	ft_redact_passwords(record->detail, FT_ERROR_DETAIL);
	ft_redact_passwords(record->context, FT_ERROR_CONTEXT);
	ft_redact_passwords(record->query, FT_ERROR_QUERY);
	ft_ring_end(ft_errors_shared->ring, record, number);
}

static bool
is_tracked(const ErrorData *edata)
{
	switch (ft_track_errors)
	{
		case FT_TRACK_ERRORS_OFF:
			return false;
		case FT_TRACK_ERRORS_ERROR:
			return edata->elevel >= ERROR;
		default:
			return edata->elevel >= WARNING;
	}
}

static void
emit_log(ErrorData *edata)
{
	FtErrorKey	key;
	TimestampTz now;

	if (previous_emit_log_hook)
		previous_emit_log_hook(edata);

	/* the logger is a child as well, and has let go of shared memory */
	if (!edata->output_to_server || !is_tracked(edata) ||
		!IsUnderPostmaster || UsedShmemSegAddr == NULL || ft_errors_shared == NULL)
		return;

	depth++;
	now = GetCurrentTimestamp();
	fill_key(&key, edata);
	ft_error_table_count(ft_errors_shared->table, &key, edata->message, now);
	if (depth == 1)
	{
		keep(&key, edata, now);
		ft_deadlock_note(edata, now);
	}
	depth--;
}

void
ft_error_log_init(void)
{
	ft_shmem_register(&part);
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = emit_log;
}
