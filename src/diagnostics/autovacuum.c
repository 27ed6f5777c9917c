/*-------------------------------------------------------------------------
 *
 * autovacuum.c
 *	  When autovacuum comes to a table, by its own rules.
 *
 * By the formulas of relation_needs_vacanalyze(), from the storage parameters
 * of the table and the settings.  A TOAST table without storage parameters of
 * its own takes those of its table.
 *
 * Locking: none but those of system cache look-ups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/reloptions.h"
#include "access/xlog.h"
#include "postmaster/autovacuum.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "diagnostics/autovacuum.h"

HeapTuple
ft_toast_owner(Form_pg_class toast)
{
	Oid			relid;
	HeapTuple	tuple;

	/* its name tells */
	if (sscanf(NameStr(toast->relname), "pg_toast_%u", &relid) != 1)
		return NULL;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (HeapTupleIsValid(tuple) &&
		((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid != toast->oid)
	{
		ReleaseSysCache(tuple);
		return NULL;
	}
	return tuple;
}

/*
 * A standby does not know how many members there are, and the server then
 * takes the worst for granted.
 */
int
ft_multixact_freeze_max_age(void)
{
	return RecoveryInProgress() ? autovacuum_multixact_freeze_max_age :
		MultiXactMemberFreezeThreshold();
}

static void
set_thresholds(Form_pg_class form, const AutoVacOpts *options, FtAutovacuum *result)
{
	double		tuples = Max(form->reltuples, 0);
	double		scale = options != NULL && options->vacuum_scale_factor >= 0 ?
		options->vacuum_scale_factor : autovacuum_vac_scale;
	double		insert_scale = options != NULL && options->vacuum_ins_scale_factor >= 0 ?
		options->vacuum_ins_scale_factor : autovacuum_vac_ins_scale;
	int			base = options != NULL && options->vacuum_threshold >= 0 ?
		options->vacuum_threshold : autovacuum_vac_thresh;
	int			insert_base = options != NULL && options->vacuum_ins_threshold >= -1 ?
		options->vacuum_ins_threshold : autovacuum_vac_ins_thresh;

	result->threshold = base + scale * tuples;
	result->threshold = ft_capped_threshold(result->threshold, options);
	result->insert_threshold = insert_base < 0 ? -1 :
		insert_base + insert_scale * tuples * ft_unfrozen_part(form);
}

void
ft_autovacuum_of(HeapTuple tuple, HeapTuple owner, TupleDesc pg_class_desc,
				 int multixact_freeze_max_age, FtAutovacuum *result)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	bytea	   *options = extractRelOptions(tuple, pg_class_desc, NULL);
	const AutoVacOpts *vacuum = NULL;

	result->catalog_to_users = options != NULL &&
		form->relkind == RELKIND_RELATION &&
		((StdRdOptions *) options)->user_catalog_table;
	if (options == NULL && HeapTupleIsValid(owner))
		options = extractRelOptions(owner, pg_class_desc, NULL);
	if (options != NULL)
		vacuum = &((StdRdOptions *) options)->autovacuum;

	result->enabled = AutoVacuumingActive() &&
		(vacuum == NULL || vacuum->enabled) &&
		form->relpersistence != RELPERSISTENCE_TEMP;
	set_thresholds(form, vacuum, result);
	result->freeze_max_age = vacuum != NULL && vacuum->freeze_max_age >= 0 ?
		Min(vacuum->freeze_max_age, autovacuum_freeze_max_age) :
		autovacuum_freeze_max_age;
	result->multixact_freeze_max_age = vacuum != NULL && vacuum->multixact_freeze_max_age >= 0 ?
		Min(vacuum->multixact_freeze_max_age, multixact_freeze_max_age) :
		multixact_freeze_max_age;

	if (options != NULL)
		pfree(options);
}
