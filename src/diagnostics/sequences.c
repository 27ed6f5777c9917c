/*-------------------------------------------------------------------------
 *
 * sequences.c
 *	  How far each sequence has come.
 *
 * pg_sequences shows the last value only to those who may read the sequence,
 * and waits for whoever alters it.  Here its one row is read as it is.
 *
 * Locking: each sequence conditionally, for the time of its row; one that is
 * locked has no value.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(ft_sequence_values);

#define COLUMNS 7

/*
 * The last value that was given out.  False if there is none, or if it cannot
 * be told without waiting.
 */
static bool
last_value(Oid relid, int64 *value)
{
	Relation	relation;
	Buffer		buffer;
	Page		page;
	bool		known = false;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return false;
	}

	/* another session's temporary one is in that session's memory */
	if (relation->rd_rel->relkind == RELKIND_SEQUENCE &&
		!RELATION_IS_OTHER_TEMP(relation) &&
		!(RecoveryInProgress() &&
		  relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT))
	{
		buffer = ReadBuffer(relation, 0);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (PageGetMaxOffsetNumber(page) >= FirstOffsetNumber)
		{
			ItemId		item = PageGetItemId(page, FirstOffsetNumber);
			HeapTupleHeader tuple = (HeapTupleHeader) PageGetItem(page, item);
			Form_pg_sequence_data data =
				(Form_pg_sequence_data) ((char *) tuple + tuple->t_hoff);

			*value = data->last_value;
			known = data->is_called;
		}
		UnlockReleaseBuffer(buffer);
	}
	relation_close(relation, AccessShareLock);
	return known;
}

/*
 * ft.sequence_values()
 */
Datum
ft_sequence_values(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitMaterializedSRF(fcinfo, 0);

	catalog = table_open(SequenceRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_sequence form = (Form_pg_sequence) GETSTRUCT(tuple);
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {0};
		int64		value = 0;

		CHECK_FOR_INTERRUPTS();
		values[0] = ObjectIdGetDatum(form->seqrelid);
		nulls[1] = !last_value(form->seqrelid, &value);
		values[1] = Int64GetDatum(value);
		values[2] = Int64GetDatum(form->seqstart);
		values[3] = Int64GetDatum(form->seqmin);
		values[4] = Int64GetDatum(form->seqmax);
		values[5] = Int64GetDatum(form->seqincrement);
		values[6] = BoolGetDatum(form->seqcycle);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return (Datum) 0;
}
