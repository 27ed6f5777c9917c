/*-------------------------------------------------------------------------
 *
 * blocking_advice.c
 *	  What to do about a session or prepared transaction that blocks others.
 *
 * Decides from what was gathered; changes nothing and takes no locks.
 *
 * The SQL is made to be pasted late.  It finds its session by pid, by the
 * start of the session and by that of its transaction, or, outside of one, by
 * when it last did anything, so that it does nothing once the case it was
 * written for is gone; times are written so that every
 * DateStyle reads them alike.  It is one statement without a semicolon, so
 * that psql's \gexec runs it; what has to be known besides stands in a comment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "diagnostics/blocking_advice.h"
#include "diagnostics/catalog_names.h"

/*
 * Names that would end the comment, or open another in it, are not put there.
 */
static void
append_in_comment(StringInfo text, const char *kind, const char *name, Oid oid)
{
	if (name != NULL && strstr(name, "*/") == NULL && strstr(name, "/*") == NULL)
		appendStringInfo(text, "%s %s", kind, quote_identifier(name));
	else
		appendStringInfo(text, "the %s with OID %u", kind, oid);
}

/* Who may signal a session. */
static void
append_privilege(StringInfo text, const FtActivity *activity)
{
	const FtRoleName *role = ft_role_name(activity->role);

	if (role != NULL && !role->superuser)
	{
		appendStringInfoString(text, "as a superuser, a member of ");
		append_in_comment(text, "role", NameStr(role->name), role->oid);
		appendStringInfoString(text, ", or one of both pg_signal_backend and pg_read_all_stats");
	}
	else
		appendStringInfoString(text, "as a superuser");
}

char *
ft_signal_sql(const char *function, const FtActivity *activity)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text,
					 "SELECT pg_catalog.%s(pid) FROM pg_catalog.pg_stat_activity"
					 " WHERE pid = %d AND backend_start = '%s'",
					 function, activity->pid, timestamptz_to_str(activity->backend_start));
	if (activity->xact_start != 0)
		appendStringInfo(&text, " AND xact_start = '%s'",
						 timestamptz_to_str(activity->xact_start));
	else if (activity->state_change != 0)
		appendStringInfo(&text, " AND state_change = '%s'",
						 timestamptz_to_str(activity->state_change));
	appendStringInfoString(&text, " /* in any database, ");
	append_privilege(&text, activity);
	appendStringInfoString(&text, " */");
	return text.data;
}

static FtBlockingAdvice
advise(const char *action, char *sql, const char *reason)
{
	FtBlockingAdvice advice = {action, sql, reason};

	return advice;
}

static FtBlockingAdvice
cancel(const FtActivity *activity, const char *reason)
{
	return advise("cancel", ft_signal_sql("pg_cancel_backend", activity), reason);
}

static FtBlockingAdvice
terminate(const FtActivity *activity, const char *reason)
{
	return advise("terminate", ft_signal_sql("pg_terminate_backend", activity), reason);
}

char *
ft_rollback_prepared_sql(const FtPrepared *prepared)
{
	const FtDatabaseName *database = ft_database_name(prepared->database);
	const FtRoleName *owner = ft_role_name(prepared->owner);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "ROLLBACK PREPARED %s /* in ", quote_literal_cstr(prepared->gid));
	append_in_comment(&text, "database", database ? NameStr(database->name) : NULL,
					  prepared->database);
	appendStringInfoString(&text, ", outside a transaction block, as a superuser or as ");
	append_in_comment(&text, "role", owner ? NameStr(owner->name) : NULL, prepared->owner);
	appendStringInfoString(&text, "; COMMIT PREPARED instead if its coordinator decided so */");
	return text.data;
}

static FtBlockingAdvice
advise_prepared(const FtPrepared *prepared)
{
	if (prepared == NULL)
		return advise("look again", NULL, "the prepared transaction was finished meanwhile");
	return advise("rollback prepared", ft_rollback_prepared_sql(prepared),
				  psprintf("prepared at %s and held until someone commits it or rolls it back; no session holds it, no timeout ends it",
						   timestamptz_to_str(prepared->prepared_at)));
}

/* A session of a client. */
static FtBlockingAdvice
advise_client(const FtActivity *activity)
{
	switch (activity->state)
	{
		case STATE_IDLEINTRANSACTION:
			return terminate(activity,
							 "idle in transaction: there is no statement to cancel, only the end of its transaction frees its locks");

		case STATE_IDLEINTRANSACTION_ABORTED:
			return terminate(activity,
							 "its transaction has failed, so what it still holds are advisory locks of the session");

		case STATE_IDLE:
			return terminate(activity,
							 "idle and in no transaction, so what it holds are advisory locks of the session: it frees them by pg_advisory_unlock() or by its end");

		default:
			if (activity->wait_event_info == WAIT_EVENT_CLIENT_WRITE)
				return terminate(activity,
								 "sends to a client that does not read, and does not hear a cancel while it does");
			return cancel(activity,
						  "runs a statement: cancelling it rolls its transaction back, which frees all locks but advisory ones of the session");
	}
}

static FtBlockingAdvice
advise_process(const FtActivity *activity, uint8 status_flags)
{
	switch (activity->backend_type)
	{
		case B_BACKEND:
			return advise_client(activity);

		case B_AUTOVAC_WORKER:
			if (status_flags & PROC_VACUUM_FOR_WRAPAROUND)
				return advise("wait", NULL,
							  "an autovacuum against transaction id wraparound, which would start again at once if cancelled");
			return cancel(activity,
						  "an autovacuum, which does not resume but comes again; it gives way by itself when a waiter's deadlock_timeout has passed");

		case B_WAL_SENDER:
			return terminate(activity,
							 "serves a standby or a subscriber, which connects again by itself");

		case B_STARTUP:
			return advise("end it on the primary", NULL,
						  "replays an ACCESS EXCLUSIVE lock of a transaction of the primary, and holds it until that transaction ends there");

		case B_BG_WORKER:
			if (activity->state == STATE_RUNNING)
				return cancel(activity, "a background worker that runs a statement");
			return terminate(activity, "a background worker that runs no statement to cancel");

		default:
			return advise("wait", NULL, "a process of the server itself");
	}
}

FtBlockingAdvice
ft_blocking_advice(const FtBlockingRoot *root)
{
	if (root->is_prepared)
		return advise_prepared(root->prepared);
	if (!root->activity->found)
		return advise("look again", NULL, "the session ended meanwhile");
	if (root->in_cycle)
		return advise("wait", NULL,
					  "in a deadlock: the server cancels one of its sessions when the deadlock_timeout of one has passed");
	if (root->waits)
		return advise("look again", NULL,
					  "waits itself, for one who is not known at this moment");
	if (root->activity->pid == MyProcPid)
		return advise("end own transaction", NULL,
					  "this very session: commit or roll back, or free its advisory locks");
	if (!root->activity->visible)
		return advise("unknown", NULL,
					  "what it does is shown to members of pg_read_all_stats only");
	return advise_process(root->activity, root->status_flags);
}
