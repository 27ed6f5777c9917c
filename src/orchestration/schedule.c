/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  Automatic recovery by pg_cron, for servers whose preloaded libraries
 *	  cannot be changed: ft.schedule_auto_recovery() and its reverse.
 *
 * pg_cron keeps its jobs in one database of the server, and can run them in
 * any.  Only where that database is this one can the job be made from here;
 * else the error's hint is the statement to run there.
 *
 * Nothing of pg_cron need exist when the extension is created.
 *
 * Locking: none; what pg_cron locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "errors.h"

PG_FUNCTION_INFO_V1(ft_schedule_auto_recovery);
PG_FUNCTION_INFO_V1(ft_unschedule_auto_recovery);

#define JOB_NAME		"auto-recover-failures"
#define JOB_COMMAND		"SELECT recovered_count FROM ft.auto_recover_failures()"

/*
 * Job names are unique for each user in all databases, and pg_cron would
 * change the job of another database without a word.  So the database is in
 * the name, except where it is pg_cron's own.
 */
static char *
job_name_elsewhere(const char *database)
{
	return psprintf("%s in %s", JOB_NAME, database);
}

/*
 * Raise an error unless pg_cron can be called here; call is what to run in
 * the database where it can.
 */
static void
require_pg_cron(const char *what, const char *call)
{
	const char *home;

	if (OidIsValid(get_extension_oid("pg_cron", true)))
		return;

	/* Where it is set but nobody has defined it, pg_cron is not loaded. */
	home = GetConfigOption("cron.database_name", true, false);
	if (home == NULL ||
		(GetConfigOptionFlags("cron.database_name", true) & GUC_CUSTOM_PLACEHOLDER) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s needs pg_cron, which is not loaded", what),
				 errdetail("Where fault_tolerance is preloaded, its own background worker recovers failures and pg_cron is not needed."),
				 errhint("Install pg_cron, add it to \"shared_preload_libraries\", and restart the server.")));
	if (strcmp(home, get_database_name(MyDatabaseId)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs the extension pg_cron in this database", what),
				 errhint("CREATE EXTENSION pg_cron;")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s cannot be run here: pg_cron lives in database \"%s\"",
					what, home),
			 errdetail("pg_cron keeps the jobs of all databases in the one that \"cron.database_name\" names."),
			 errhint("Run in database \"%s\": %s", home, call)));
}

/*
 * ft.schedule_auto_recovery(schedule text) returns bigint
 *
 * The job belongs to the caller, so it recovers what the caller may recover.
 */
Datum
ft_schedule_auto_recovery(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char	   *database = get_database_name(MyDatabaseId);
	bool		isnull;
	int64		job_id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("schedule must not be null"),
				 errhint("Give five fields as crontab(5) does, for example '*/5 * * * *'.")));

	require_pg_cron("ft.schedule_auto_recovery()",
					psprintf("SELECT cron.schedule_in_database(%s, %s, %s, %s);",
							 quote_literal_cstr(job_name_elsewhere(database)),
							 quote_literal_cstr(text_to_cstring(PG_GETARG_TEXT_PP(0))),
							 quote_literal_cstr(JOB_COMMAND),
							 quote_literal_cstr(database)));

	values[0] = CStringGetTextDatum(JOB_NAME);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = CStringGetTextDatum(JOB_COMMAND);
	SPI_connect();
	if (SPI_execute_with_args("SELECT cron.schedule($1, $2, $3)", 3, types,
							  values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "unexpected result of cron.schedule");
	job_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT64(job_id);
}

/*
 * ft.unschedule_auto_recovery() returns boolean
 *
 * False if the caller has no such job.
 */
Datum
ft_unschedule_auto_recovery(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	bool		found;

	require_pg_cron("ft.unschedule_auto_recovery()",
					psprintf("SELECT cron.unschedule(%s);",
							 quote_literal_cstr(job_name_elsewhere(get_database_name(MyDatabaseId)))));

	values[0] = CStringGetTextDatum(JOB_NAME);
	SPI_connect();
	if (SPI_execute_with_args("SELECT cron.unschedule(jobid) FROM cron.job"
							  " WHERE jobname OPERATOR(pg_catalog.=) $1"
							  " AND username OPERATOR(pg_catalog.=) CURRENT_USER",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of cron.unschedule");
	found = SPI_processed > 0;
	SPI_finish();
	PG_RETURN_BOOL(found);
}
