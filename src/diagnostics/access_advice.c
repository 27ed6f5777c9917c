/*-------------------------------------------------------------------------
 *
 * access_advice.c
 *	  Tables that are read from end to end, statements that return very many
 *	  rows, and the size of an index without a lock on it.
 *
 * The counters of a table say that it is scanned, pg_stat_statements which
 * statements may be behind it: those that name the table, touch at least half
 * of its pages each time, and return a small part of its rows.  That extension
 * lives in any schema, or is not there, or its library is not loaded; then
 * tables are told of without statements.
 *
 * Locking: none on the tables told of, whose files are looked at by name.
 * Locks on catalogs are not waited for longer than FT_INQUIRY_LOCK_TIMEOUT.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "errors.h"
#include "inquiry.h"
#include "relation_size.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_size_on_disk);
PG_FUNCTION_INFO_V1(ft_scan_advice);

#define COLUMNS		16
#define MAX_ROWS	1000

/* Large tables that sequential scans read, less what is in them. */
static const char *const tables_query =
"WITH big AS MATERIALIZED ("
" SELECT n.nspname, c.relname, c.oid, s.size, pg_stat_get_numscans(c.oid) AS seq_scan,"
"        pg_stat_get_tuples_returned(c.oid) / pg_stat_get_numscans(c.oid) AS rows_per_scan,"
"        (SELECT sum(pg_stat_get_numscans(i.indexrelid))::bigint"
"           FROM pg_index AS i WHERE i.indrelid = c.oid) AS idx_scan,"
"        c.relpages, c.reltuples"
"   FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
"  CROSS JOIN LATERAL (SELECT CASE WHEN pg_stat_get_numscans(c.oid) > 0"
"                                  THEN ft.size_on_disk(c.oid) END AS size) AS s"
"  WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
"    AND c.relpersistence <> 't' AND s.size >= " INT64_FORMAT
"    AND pg_stat_get_tuples_returned(c.oid) >= %f * pg_stat_get_numscans(c.oid)"
"), since AS MATERIALIZED ("
" SELECT pg_stat_get_db_stat_reset_time(d.oid) AS since"
"   FROM pg_database AS d WHERE d.datname = current_database()) ";

static const char *const without_statements =
"SELECT 'sequential scan', nspname, relname, size, seq_scan, rows_per_scan, idx_scan, since,"
"       NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::interval,"
"       'it is read from end to end; which statements do so is not known', oid"
"  FROM big, since ORDER BY seq_scan * size DESC";

static const char *const with_statements =
", statement AS MATERIALIZED ("
" SELECT query, queryid, calls, rows / calls AS rows_per_call,"
"        (shared_blks_hit + shared_blks_read) / calls AS blocks_per_call, total_exec_time,"
"        total_exec_time / calls * interval '1 ms' AS mean_duration"
"   FROM %s.pg_stat_statements AS p"
"   JOIN pg_database AS d ON d.oid = p.dbid AND d.datname = current_database()"
"  WHERE calls > 0)"
"(SELECT 'sequential scan', b.nspname, b.relname, b.size, b.seq_scan, b.rows_per_scan, b.idx_scan, since,"
"        s.query, s.queryid, s.calls, s.rows_per_call, s.blocks_per_call, s.mean_duration,"
"        CASE WHEN s.query IS NULL THEN 'it is read from end to end; no statement is known that does so for few rows'"
"             ELSE 'this statement names the table, reads half of it or more, and returns few rows: an index on what it filters by would spare that' END,"
"        b.oid"
"   FROM since, big AS b LEFT JOIN LATERAL ("
"        SELECT * FROM statement AS t"
"         WHERE strpos(lower(t.query), lower(b.relname)) > 0"
"           AND t.blocks_per_call >= greatest(b.relpages, 1) / 2.0"
"           AND t.rows_per_call <= greatest(b.reltuples, 0) / 10"
"           AND t.query ~* '^\\W*(select|with|update|delete|merge)\\M'"
"         ORDER BY t.total_exec_time DESC LIMIT 3) AS s ON true"
"  ORDER BY b.seq_scan * b.size DESC, s.total_exec_time DESC) "
"UNION ALL "
"(SELECT 'unbounded rows', NULL, NULL, NULL, NULL, NULL, NULL, since,"
"        query, queryid, calls, rows_per_call, blocks_per_call, mean_duration,"
"        'it has no LIMIT and returns very many rows: fetch them in portions, or let the server aggregate', NULL"
"   FROM statement, since"
"  WHERE rows_per_call >= %f AND query ~* '^\\W*(select|with|table|values)\\M'"
"    AND query !~* '\\m(limit|fetch\\s+(first|next)|into|insert)\\M'"
"  ORDER BY total_exec_time DESC LIMIT 20)";

Datum
ft_size_on_disk(PG_FUNCTION_ARGS)
{
	int64		size;

	if (ft_relation_total_size(PG_GETARG_OID(0), &size) != NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(size);
}

/* The schema that pg_stat_statements is in, quoted; NULL if it is not there. */
static char *
statements_schema(void)
{
	Oid			extension = get_extension_oid("pg_stat_statements", true);
	Relation	pg_extension;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	char	   *schema = NULL;

	if (!OidIsValid(extension))
		return NULL;
	pg_extension = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(pg_extension, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = get_namespace_name(((Form_pg_extension) GETSTRUCT(tuple))->extnamespace);
	systable_endscan(scan);
	table_close(pg_extension, AccessShareLock);
	return schema ? pstrdup(quote_identifier(schema)) : NULL;
}

/* One row of the answer is one of ours. */
static void
take_row(void *argument, HeapTuple tuple, TupleDesc desc)
{
	ReturnSetInfo *result = (ReturnSetInfo *) argument;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];

	Assert(desc->natts == COLUMNS && result->setDesc->natts == COLUMNS);
	heap_deform_tuple(tuple, desc, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
ft_scan_advice(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		min_size = PG_GETARG_INT64(0);
	FtThresholds *thresholds;
	FtInquiry	inquiry;
	ErrorData  *error = NULL;
	StringInfoData query;
	char	   *schema;

	if (min_size < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("min_size must not be negative"),
				 errhint("Use 0 to see tables of any size.")));
	InitMaterializedSRF(fcinfo, 0);

	ft_inquiry_begin(&inquiry);
	thresholds = ft_thresholds_read();
	initStringInfo(&query);
	appendStringInfo(&query, tables_query, min_size,
					 ft_threshold(thresholds, "scanned_rows")->warning);
	schema = statements_schema();
	if (schema != NULL)
	{
		int			tables_length = query.len;

		appendStringInfo(&query, with_statements, schema,
						 ft_threshold(thresholds, "returned_rows")->warning);
		error = ft_inquiry_ask(query.data, MAX_ROWS, take_row, result);
		if (error != NULL)
			ereport(NOTICE,
					(errmsg("pg_stat_statements does not answer, so no statements are told of"),
					 errdetail("%s", error->message)));
		query.data[query.len = tables_length] = '\0';
	}
	if (schema == NULL || error != NULL)
	{
		appendStringInfoString(&query, without_statements);
		error = ft_inquiry_ask(query.data, MAX_ROWS, take_row, result);
		if (error != NULL)
			ReThrowError(error);
	}
	ft_inquiry_end(&inquiry);
	return (Datum) 0;
}
