/*-------------------------------------------------------------------------
 *
 * portal_command.c
 *	  Running one statement as a client's would be: by itself.
 *
 * SPI runs a statement as a part of something larger, in which VACUUM, CREATE
 * INDEX CONCURRENTLY, or a COMMIT within a procedure cannot be.  Here it goes
 * through a portal at the top level, as exec_simple_query() does it with what
 * a client sends.
 *
 * Locking: none of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parse_param.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errors.h"
#include "orchestration/portal_command.h"

static void
parameters_setup(ParseState *state, void *argument)
{
	ParamListInfo parameters = argument;
	Oid		   *types = palloc(sizeof(Oid) * parameters->numParams);

	for (int i = 0; i < parameters->numParams; i++)
		types[i] = parameters->params[i].ptype;
	setup_parse_fixed_parameters(state, types, parameters->numParams);
}

/* Parse, analyze and plan it; the plans are for a portal. */
static List *
plan(RawStmt *statement, const char *command, ParamListInfo parameters)
{
	bool		snapshot = analyze_requires_snapshot(statement);
	List	   *queries;
	List	   *plans;

	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	queries = pg_analyze_and_rewrite_withcb(statement, command, parameters_setup, parameters, NULL);
	plans = pg_plan_queries(queries, command, CURSOR_OPT_PARALLEL_OK, parameters);
	if (snapshot)
		PopActiveSnapshot();
	return plans;
}

static RawStmt *
parse(const char *command)
{
	List	   *statements = pg_parse_query(command);
	RawStmt    *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a command that runs by itself must be one SQL statement"),
				 errdetail("There are %d in it.", list_length(statements)),
				 errhint("Make a step of each.")));
	statement = linitial_node(RawStmt, statements);
	if (IsA(statement->stmt, TransactionStmt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("a step must not begin or end a transaction block"),
				 errdetail("Nothing would be left of it for the next statement."),
				 errhint("Put what belongs into one transaction into a transactional step, or into a procedure.")));
	return statement;
}

void
ft_portal_command(const char *command, ParamListInfo parameters)
{
	RawStmt    *statement = parse(command);
	CommandTag	tag = CreateCommandTag(statement->stmt);
	DestReceiver *receiver = CreateDestReceiver(DestNone);
	QueryCompletion completion;
	int16		format = 0;
	Portal		portal;
	List	   *plans;

	Assert(!ActiveSnapshotSet());
	CHECK_FOR_INTERRUPTS();
	plans = plan(statement, command, parameters);

	/* everything that is passed is in the caller's context, and outlives it */
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, command, tag, plans, NULL);
	PortalStart(portal, parameters, 0, InvalidSnapshot);
	PortalSetResultFormat(portal, 1, &format);

	(void) ft_portal_run(portal, receiver, &completion);
	receiver->rDestroy(receiver);
	PortalDrop(portal, false);
}
