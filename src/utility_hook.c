/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  Utility commands that concern the background workers.
 *
 * Commands that need a database for themselves stop its workers first, or
 * they would fail because of sessions that the user knows nothing of.  Others
 * change what workers have read at their start.
 *
 * Only commands that a client sent are looked at.  Workers are stopped only
 * for somebody who may do what the command asks for, as far as that is easily
 * told: else everybody could stop them.
 *
 * Locking: none is held while waiting for workers, neither ours nor that of
 * the command, which has not started yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "compat.h"
#include "fault_tolerance.h"
#include "quiesce.h"
#include "shmem.h"
#include "transaction.h"
#include "two_phase.h"
#include "utility_hook.h"

static ProcessUtility_hook_type previous_process_utility_hook = NULL;

/* The option of that name, or NULL. */
static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* InvalidOid where the command will complain about the database anyway. */
static Oid
database_of_mine(const char *name)
{
	Oid			dboid = get_database_oid(name, true);

	if (OidIsValid(dboid) && ft_owns_database(dboid, GetUserId()))
		return dboid;
	return InvalidOid;
}

/* Templates have no workers, nor databases that take no connections. */
static bool
stops_workers(AlterDatabaseStmt *stmt)
{
	return find_option(stmt->options, "tablespace") != NULL ||
		find_option(stmt->options, "is_template") != NULL ||
		find_option(stmt->options, "allow_connections") != NULL;
}

static bool
drops_extension(DropStmt *stmt)
{
	ListCell   *cell;

	if (stmt->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, stmt->objects)
	{
		if (strcmp(strVal(lfirst(cell)), FT_EXTENSION_NAME) == 0)
			return true;
	}
	return false;
}

/* Settings of a role matter if the schedulers have them. */
static bool
sets_schedulers_role(AlterRoleSetStmt *stmt)
{
	return stmt->role == NULL ||
		get_rolespec_oid(stmt->role, true) == BOOTSTRAP_SUPERUSERID;
}

static void
before_utility(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			{
				Oid			dboid = database_of_mine(((DropdbStmt *) stmt)->dbname);

				ft_quiesce_until_end(dboid);
				ft_forget_database_at_commit(dboid);
				break;
			}

		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				ft_quiesce_until_end(database_of_mine(((RenameStmt *) stmt)->subname));
			break;

		case T_AlterDatabaseStmt:
			if (stops_workers((AlterDatabaseStmt *) stmt))
				ft_quiesce_until_end(database_of_mine(((AlterDatabaseStmt *) stmt)->dbname));
			ft_rescan_at_commit();
			break;

		case T_CreatedbStmt:
			{
				DefElem    *template = find_option(((CreatedbStmt *) stmt)->options,
												   "template");

				if (template != NULL && template->arg != NULL)
					ft_quiesce_until_end(database_of_mine(defGetString(template)));
				ft_rescan_at_commit();
				break;
			}

		case T_DropStmt:
			if (drops_extension((DropStmt *) stmt) && superuser())
				ft_quiesce_until_end(MyDatabaseId);
			break;

		case T_AlterDatabaseSetStmt:
			ft_restart_schedulers_at_commit(get_database_oid(((AlterDatabaseSetStmt *) stmt)->dbname,
															 true));
			break;

		case T_AlterRoleSetStmt:
			if (sets_schedulers_role((AlterRoleSetStmt *) stmt))
				ft_restart_schedulers_at_commit(InvalidOid);
			break;

		case T_AlterExtensionStmt:
			/* who updates what workers are at would meet them in a deadlock */
			if (strcmp(((AlterExtensionStmt *) stmt)->extname, FT_EXTENSION_NAME) == 0 && superuser())
				ft_quiesce_until_end(MyDatabaseId);
			break;

		case T_TransactionStmt:
			if (((TransactionStmt *) stmt)->kind == TRANS_STMT_PREPARE)
				ft_transaction_name(((TransactionStmt *) stmt)->gid);
			break;

		default:
			break;
	}
}

/*
 * The key of the prepared transaction that a command ends, 0 if it is no such
 * command.
 */
static uint64
prepared_to_end(Node *stmt, bool *commits)
{
	TransactionStmt *transaction;

	if (!IsA(stmt, TransactionStmt))
		return 0;
	transaction = (TransactionStmt *) stmt;
	*commits = transaction->kind == TRANS_STMT_COMMIT_PREPARED;
	if (!*commits && transaction->kind != TRANS_STMT_ROLLBACK_PREPARED)
		return 0;
	return ft_two_phase_key(transaction->gid);
}

/* It has ended: what its own commit would have told the workers is told now. */
static void
end_prepared(uint64 key, bool committed)
{
	bool		roles;
	bool		work = ft_two_phase_take(MyDatabaseId, key, &roles);

	if (committed && work)
		ft_wake_worker_at_commit();
	if (committed && roles)
		ft_roles_changed_at_commit();
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString,
				bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	uint64		prepared = 0;
	bool		commits = false;

	/* this one may be in a function too */
	if (IsA(stmt, DropRoleStmt) ||
		(IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_ROLE))
		ft_roles_changed_at_commit();

	if (context == PROCESS_UTILITY_TOPLEVEL && ft_shared != NULL)
	{
		before_utility(stmt);
		prepared = prepared_to_end(stmt, &commits);
	}

	if (previous_process_utility_hook)
		previous_process_utility_hook(pstmt, queryString, readOnlyTree, context,
									  params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);

	/* The statement may be gone by now, say in CALL of what did a ROLLBACK. */
	if (prepared != 0)
		end_prepared(prepared, commits);
}

void
ft_utility_hook_init(void)
{
	previous_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
