/*-------------------------------------------------------------------------
 *
 * horizon_advice.c
 *	  What to do about one who keeps vacuum from removing dead rows.
 *
 * Decides from what was gathered; changes nothing and takes no locks.  The SQL
 * is safe to paste late, as that of blocking_advice.c; that for a slot does
 * nothing once the slot is in use again or has moved on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

#include "diagnostics/blocking_advice.h"
#include "diagnostics/horizon_advice.h"

static FtHorizonAdvice
advise(const char *action, char *sql, const char *reason)
{
	FtHorizonAdvice advice = {action, sql, reason};

	return advice;
}

static FtHorizonAdvice
cancel(const FtActivity *activity, const char *reason)
{
	return advise("cancel", ft_signal_sql("pg_cancel_backend", activity), reason);
}

static FtHorizonAdvice
terminate(const FtActivity *activity, const char *reason)
{
	return advise("terminate", ft_signal_sql("pg_terminate_backend", activity), reason);
}

static FtHorizonAdvice
advise_session(const FtActivity *activity)
{
	if (activity->state == STATE_IDLEINTRANSACTION)
		return terminate(activity,
						 "idle in transaction: there is no statement to cancel, only the end of its transaction lets go");
	if (activity->state == STATE_RUNNING &&
		activity->wait_event_info != WAIT_EVENT_CLIENT_WRITE)
		return cancel(activity,
					  "runs a statement: cancelling it rolls its transaction back");
	return terminate(activity,
					 "runs no statement that hears a cancel");
}

static FtHorizonAdvice
advise_process(const FtActivity *activity)
{
	if (!activity->found)
		return advise("look again", NULL, "the session ended meanwhile");
	if (activity->pid == MyProcPid)
		return advise("end own transaction", NULL,
					  "this very session: commit or roll back");
	if (!activity->visible)
		return advise("unknown", NULL,
					  "what it does is shown to members of pg_read_all_stats only");

	switch (activity->backend_type)
	{
		case B_BACKEND:
		case B_BG_WORKER:
			return advise_session(activity);

		case B_AUTOVAC_WORKER:
			return cancel(activity,
						  "an autovacuum that analyzes: it comes again; one that only vacuums holds nothing");

		case B_WAL_SENDER:
			return terminate(activity,
							 "a walsender that exports a snapshot, as for the first copy of a subscription: that begins anew");

		default:
			return advise("wait", NULL, "a process of the server itself");
	}
}

static void
append_held(StringInfo text, const char *column, TransactionId xid)
{
	if (TransactionIdIsValid(xid))
		appendStringInfo(text, " AND %s = '%u'", column, xid);
}

static FtHorizonAdvice
advise_slot(const FtHolder *slot)
{
	StringInfoData text;

	if (slot->pid != 0)
		return slot->logical ?
			advise("let its consumer catch up", NULL,
				   "a logical slot in use: it moves on when its consumer confirms what it got, and old transactions that are being decoded have ended; see ft.replication_lag()") :
			advise("end the query on the standby", NULL,
				   "a slot of a standby with hot_standby_feedback: a query there holds it, or what holds that standby's own standbys; ft.xmin_horizon() there tells which");

	initStringInfo(&text);
	appendStringInfo(&text,
					 "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots"
					 " WHERE slot_name = %s AND NOT active",
					 quote_literal_cstr(NameStr(slot->slot)));
	append_held(&text, "xmin", slot->shown_xmin);
	append_held(&text, "catalog_xmin", slot->shown_catalog_xmin);
	appendStringInfoString(&text, " /* as a superuser or a role with REPLICATION; its consumer has to be set up anew */");
	return advise("drop the slot", text.data,
				  "nobody uses the slot: either its consumer comes back, or it keeps this for ever");
}

FtHorizonAdvice
ft_horizon_advice(const FtHolder *holder, const FtActivity *activity,
				  const FtPrepared *prepared)
{
	switch (holder->kind)
	{
		case FT_HOLDER_BACKEND:
			return advise_process(activity);

		case FT_HOLDER_FEEDBACK:
			return advise("end the query on the standby", NULL,
						  "hot_standby_feedback of a standby: a query there holds it; ft.xmin_horizon() there tells which. Ending the walsender helps until the standby reports again");

		case FT_HOLDER_PREPARED:
			if (prepared == NULL)
				return advise("look again", NULL, "the prepared transaction was finished meanwhile");
			return advise("rollback prepared", ft_rollback_prepared_sql(prepared),
						  "held until someone commits it or rolls it back; no session holds it, no timeout ends it");

		case FT_HOLDER_SLOT:
			return advise_slot(holder);

		case FT_HOLDER_PRIMARY:
			return advise("end it on the primary", NULL,
						  "a transaction of the primary, which is known here by its id only; vacuum runs there");

		default:
			return advise("lower the setting",
						  pstrdup("ALTER SYSTEM RESET vacuum_defer_cleanup_age /* then SELECT pg_reload_conf(); as a superuser, outside a transaction block */"),
						  "vacuum_defer_cleanup_age keeps the rows of the last transactions for standbys");
	}
}
