/*-------------------------------------------------------------------------
 *
 * freeze_age.c
 *	  ft.freeze_age(): how far each database is on its way to wraparound.
 *
 * When the limits are reached is told from how fast ids were used up of late,
 * as if no vacuum moved the oldest one until then.
 *
 * Locking: ACCESS SHARE on pg_database and pg_class, conditionally; where
 * somebody holds pg_database locked there is no answer but an error, where
 * pg_class, a column is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/autovacuum.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/autovacuum.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/freeze_age.h"
#include "diagnostics/horizon.h"
#include "diagnostics/xid_clock.h"

PG_FUNCTION_INFO_V1(ft_freeze_age);

#define COLUMNS 22

typedef struct DatabaseAge
{
	Oid			oid;
	NameData	name;
	bool		allows_connections;
	TransactionId frozen_xid;
	int64		xid_age;
	int64		multixact_age;
} DatabaseAge;

/* What is oldest in this database; invalid if it could not be looked up. */
typedef struct OldestRelations
{
	Oid			by_xid;
	Oid			by_multixact;
} OldestRelations;

void
ft_freeze_limits(FtFreezeLimits *limits)
{
	FtThresholds *thresholds = ft_thresholds_read();

	limits->now = GetCurrentTimestamp();
	limits->next_xid = ReadNextFullTransactionId();
	limits->next_multixact = ReadNextMultiXactId();
	limits->freeze_age = ft_threshold(thresholds, "freeze_age");
	limits->xid_age = ft_threshold(thresholds, "xid_age");
	limits->multixact_age = ft_threshold(thresholds, "multixact_age");
}

int64
ft_multixact_age(const FtFreezeLimits *limits, MultiXactId multixact)
{
	if (!MultiXactIdIsValid(multixact))
		return 0;
	return Max((int32) (limits->next_multixact - multixact), 0);
}

/*
 * Of a limit of 0 anything is infinitely much: the server has no patience with
 * multixacts, however few, when the space of their members runs out.
 */
double
ft_percent(double part, double all)
{
	if (all <= 0)
		return part > 0 ? get_float8_infinity() : 0;
	return rint(10000.0 * part / all) / 100;
}

FtSeverity
ft_freeze_severity(const FtFreezeLimits *limits, int64 xid_age, int64 multixact_age,
				   int freeze_max_age, int multixact_freeze_max_age)
{
	FtSeverity	severity;

	severity = ft_severity_of(limits->xid_age, ft_percent(xid_age, FT_XID_STOP_AGE));
	severity = Max(severity, ft_severity_of(limits->multixact_age,
											ft_percent(multixact_age, FT_MULTIXACT_STOP_AGE)));
	severity = Max(severity, ft_severity_of(limits->freeze_age,
											ft_percent(xid_age, freeze_max_age)));
	return Max(severity, ft_severity_of(limits->freeze_age,
										ft_percent(multixact_age, multixact_freeze_max_age)));
}

/* Oldest first. */
static int
compare_databases(const void *a, const void *b)
{
	const DatabaseAge *left = (const DatabaseAge *) a;
	const DatabaseAge *right = (const DatabaseAge *) b;
	double		left_way = Max((double) left->xid_age / FT_XID_STOP_AGE,
							   (double) left->multixact_age / FT_MULTIXACT_STOP_AGE);
	double		right_way = Max((double) right->xid_age / FT_XID_STOP_AGE,
								(double) right->multixact_age / FT_MULTIXACT_STOP_AGE);

	if (left_way != right_way)
		return left_way > right_way ? -1 : 1;
	return strcmp(NameStr(left->name), NameStr(right->name));
}

static DatabaseAge *
read_databases(const FtFreezeLimits *limits, int *count)
{
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			capacity = 16;
	DatabaseAge *databases = palloc_array(DatabaseAge, capacity);

	if (!ConditionalLockRelationOid(DatabaseRelationId, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("pg_database is locked"),
				 errdetail("The age of databases stands in that catalog, and no lock is waited for."),
				 errhint("TABLE ft.lock_tree may tell who holds it; try again.")));

	*count = 0;
	relation = table_open(DatabaseRelationId, NoLock);
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		DatabaseAge *database;

		if (*count == capacity)
		{
			capacity *= 2;
			databases = repalloc_array(databases, DatabaseAge, capacity);
		}
		database = &databases[(*count)++];
		database->oid = form->oid;
		database->name = form->datname;
		database->allows_connections = form->datallowconn;
		database->frozen_xid = form->datfrozenxid;
		database->xid_age = ft_xid_age(limits->next_xid, form->datfrozenxid);
		database->multixact_age = ft_multixact_age(limits, form->datminmxid);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	qsort(databases, *count, sizeof(DatabaseAge), compare_databases);
	return databases;
}

static OldestRelations
read_oldest_relations(const FtFreezeLimits *limits)
{
	OldestRelations oldest = {InvalidOid, InvalidOid};
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		most_xids = -1;
	int64		most_multixacts = -1;

	if (!ConditionalLockRelationOid(RelationRelationId, AccessShareLock))
		return oldest;
	relation = table_open(RelationRelationId, NoLock);
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		int64		xids = ft_xid_age(limits->next_xid, form->relfrozenxid);
		int64		multixacts = ft_multixact_age(limits, form->relminmxid);

		CHECK_FOR_INTERRUPTS();
		if (!TransactionIdIsNormal(form->relfrozenxid))
			continue;
		if (xids > most_xids || (xids == most_xids && form->oid < oldest.by_xid))
		{
			most_xids = xids;
			oldest.by_xid = form->oid;
		}
		if (multixacts > most_multixacts ||
			(multixacts == most_multixacts && form->oid < oldest.by_multixact))
		{
			most_multixacts = multixacts;
			oldest.by_multixact = form->oid;
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return oldest;
}

static Datum
seconds_to_interval(double seconds)
{
	return DirectFunctionCall7(make_interval, Int32GetDatum(0), Int32GetDatum(0),
							   Int32GetDatum(0), Int32GetDatum((int32) Min(seconds / SECS_PER_DAY, 1e8)),
							   Int32GetDatum(0), Int32GetDatum(0),
							   Float8GetDatum(seconds < 1e8 * SECS_PER_DAY ?
											  floor(fmod(seconds, SECS_PER_DAY)) : 0));
}

static void
put_time_left(Datum *value, bool *isnull, double seconds)
{
	*isnull = seconds < 0;
	if (!*isnull)
		*value = seconds_to_interval(seconds);
}

static void
put_database(ReturnSetInfo *result, const DatabaseAge *database, const FtFreezeLimits *limits,
			 int multixact_max_age, TransactionId oldest, const OldestRelations *relations)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	TimestampTz now = limits->now;
	TimestampTz since;
	int64		xids_left = FT_XID_STOP_AGE - database->xid_age;
	int64		multixacts_left = FT_MULTIXACT_STOP_AGE - database->multixact_age;
	bool		here = database->oid == MyDatabaseId;
	char	   *by_xid = here ? ft_relation_name(relations->by_xid) : NULL;
	char	   *by_multixact;
	int			i = 0;

	values[i++] = NameGetDatum(&database->name);
	values[i++] = CStringGetTextDatum(ft_severity_name(ft_freeze_severity(limits,
																		  database->xid_age,
																		  database->multixact_age,
																		  autovacuum_freeze_max_age,
																		  multixact_max_age)));
	values[i++] = Int64GetDatum(database->xid_age);
	values[i++] = Int64GetDatum(database->multixact_age);
	values[i++] = Float8GetDatum(ft_percent(database->xid_age, autovacuum_freeze_max_age));
	values[i++] = Float8GetDatum(ft_percent(database->multixact_age, multixact_max_age));
	values[i++] = Float8GetDatum(ft_percent(database->xid_age, FT_XID_STOP_AGE));
	values[i++] = Float8GetDatum(ft_percent(database->multixact_age, FT_MULTIXACT_STOP_AGE));
	values[i++] = Int64GetDatum(Max(xids_left, 0));
	values[i++] = Int64GetDatum(Max(multixacts_left, 0));
	put_time_left(&values[i], &nulls[i], ft_xid_clock_seconds(xids_left, false, now));
	i++;
	put_time_left(&values[i], &nulls[i], ft_xid_clock_seconds(multixacts_left, true, now));
	i++;
	values[i++] = BoolGetDatum(database->frozen_xid == oldest);
	nulls[i] = by_xid == NULL;
	values[i++] = by_xid == NULL ? (Datum) 0 : CStringGetTextDatum(by_xid);
	by_multixact = here ? ft_relation_name(relations->by_multixact) : NULL;
	nulls[i] = by_multixact == NULL;
	values[i++] = by_multixact == NULL ? (Datum) 0 : CStringGetTextDatum(by_multixact);
	nulls[i] = !ft_xid_clock_time(database->frozen_xid, limits->next_xid, now, &since);
	values[i++] = TimestampTzGetDatum(since);
	values[i++] = Int32GetDatum(autovacuum_freeze_max_age);
	values[i++] = Int32GetDatum(multixact_max_age);
	values[i++] = Int64GetDatum(FT_XID_STOP_AGE);
	values[i++] = Int64GetDatum(FT_MULTIXACT_STOP_AGE);
	values[i++] = BoolGetDatum(database->allows_connections);
	values[i++] = ObjectIdGetDatum(database->oid);
	Assert(i == COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
ft_freeze_age(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FtFreezeLimits limits;
	OldestRelations relations;
	TransactionId oldest = InvalidTransactionId;
	DatabaseAge *databases;
	int			multixact_max_age;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	ft_freeze_limits(&limits);
	multixact_max_age = ft_multixact_freeze_max_age();
	databases = read_databases(&limits, &count);
	relations = read_oldest_relations(&limits);
	for (int i = 0; i < count; i++)
	{
		if (!TransactionIdIsValid(oldest) ||
			TransactionIdPrecedes(databases[i].frozen_xid, oldest))
			oldest = databases[i].frozen_xid;
	}

	ft_names_begin();
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_database(result, &databases[i], &limits, multixact_max_age, oldest, &relations);
	}
	ft_names_end();
	return (Datum) 0;
}
