/*-------------------------------------------------------------------------
 *
 * step_alone.c
 *	  Steps whose command runs by itself, outside of any transaction block:
 *	  VACUUM, CREATE INDEX CONCURRENTLY, procedures that commit.
 *
 * What the command did and the record of it cannot be one: a crash between
 * the two has it run again.  So these steps run at least once, where others
 * run exactly once.  The claim reaches the disk before the command begins, so
 * that an attempt that was lost is known as one.
 *
 * Locking: as in step.c; nothing of the engine's is locked while the command
 * runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "orchestration/command.h"
#include "orchestration/portal_command.h"
#include "orchestration/step_alone.h"

struct FtStepAlone
{
	const FtStepClaim *claim;
	FtStepData	data;
	ParamListInfo parameters;
	bool		skipped;
};

FtStepAlone *
ft_step_alone(const FtStepClaim *claim)
{
	FtStepAlone *alone = palloc0(sizeof(FtStepAlone));

	alone->claim = claim;
	ft_step_data_init(&alone->data, &claim->execution_id, &claim->task_id, claim->attempt);
	return alone;
}

/*
 * Fetched before it begins, since nothing may be read for it in between: it
 * has to find no snapshot.
 */
static void
fetch_parameters(FtStepAlone *alone)
{
	alone->parameters = makeParamList(FT_STEP_PARAMETERS);
	for (int i = 0; i < FT_STEP_PARAMETERS; i++)
	{
		ParamExternData *parameter = &alone->parameters->params[i];

		parameter->value = ft_step_parameter(&alone->data, i + 1);
		parameter->isnull = false;
		parameter->pflags = PARAM_FLAG_CONST;
		parameter->ptype = JSONBOID;
	}
}

bool
ft_step_alone_prepare(FtStepAlone *alone)
{
	const FtStepClaim *claim = alone->claim;

	if (!XLogRecPtrIsInvalid(XactLastCommitEnd))
		XLogFlush(XactLastCommitEnd);
	alone->skipped = claim->condition != NULL && !ft_command_is_true(claim->condition, &alone->data);
	if (alone->skipped || claim->command == NULL)
		return false;
	fetch_parameters(alone);
	return true;
}

void
ft_step_alone_command(FtStepAlone *alone)
{
	/* whoever began the transaction took one, which VACUUM must not find */
	while (ActiveSnapshotSet())
		PopActiveSnapshot();
	ft_command_run_alone(alone->claim->command, &alone->data, alone->parameters);
}

FtStepClaim *
ft_step_alone_complete(FtStepAlone *alone, bool may_continue)
{
	FtStepOutcome outcome = {.skipped = alone->skipped,.patch = alone->data.patch};

	return ft_step_end(alone->claim, &outcome, may_continue);
}
