/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Prepared transactions: which gid, whose, where, since when.
 *
 * The server's state of them is private to twophase.c; pg_prepared_xact() is
 * the way to it, and is called here as the executor would.
 *
 * The sampler cannot call that: the description of its rows needs the types of
 * a database.  For it the table is read where it lies.
 *
 * Locking: TwoPhaseStateLock, shared, for the time of a copy, inside
 * pg_prepared_xact() or here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/twophase.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/typcache.h"

#include "compat.h"
#include "diagnostics/prepared.h"

#define PREPARED_COLUMNS	5

static void
add_prepared(FtPreparedList *list, Datum row, int *capacity)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple;
	Datum		values[PREPARED_COLUMNS];
	bool		nulls[PREPARED_COLUMNS];
	FtPrepared *prepared;

	Assert(desc->natts == PREPARED_COLUMNS);
	memset(&tuple, 0, sizeof(tuple));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	ReleaseTupleDesc(desc);

	if (list->count == *capacity)
	{
		*capacity *= 2;
		list->items = repalloc(list->items, sizeof(FtPrepared) * *capacity);
	}
	prepared = &list->items[list->count++];
	prepared->xid = DatumGetTransactionId(values[0]);
	prepared->gid = TextDatumGetCString(values[1]);
	prepared->prepared_at = DatumGetTimestampTz(values[2]);
	prepared->owner = DatumGetObjectId(values[3]);
	prepared->database = DatumGetObjectId(values[4]);
}

/*
 * All of them, in the current memory context.
 */
FtPreparedList *
ft_prepared_list(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	FtPreparedList *list = palloc0(sizeof(FtPreparedList));
	int			capacity = 16;
	ReturnSetInfo result_info;
	FmgrInfo	function;

	list->items = palloc(sizeof(FtPrepared) * capacity);
	if (max_prepared_xacts == 0)
		return list;

	fmgr_info(F_PG_PREPARED_XACT, &function);
	InitFunctionCallInfoData(*fcinfo, &function, 0, InvalidOid, NULL, (Node *) &result_info);
	memset(&result_info, 0, sizeof(result_info));
	result_info.type = T_ReturnSetInfo;
	result_info.econtext = CreateStandaloneExprContext();
	result_info.allowedModes = SFRM_ValuePerCall;
	result_info.returnMode = SFRM_ValuePerCall;

	for (;;)
	{
		Datum		row;

		fcinfo->isnull = false;
		result_info.isDone = ExprSingleResult;
		row = FunctionCallInvoke(fcinfo);
		if (result_info.isDone != ExprMultipleResult)
			break;
		add_prepared(list, row, &capacity);
	}
	FreeExprContext(result_info.econtext, true);
	return list;
}

/* NULL if there is none of that number. */
const FtPrepared *
ft_prepared_find(const FtPreparedList *list, TransactionId xid)
{
	for (int i = 0; i < list->count; i++)
	{
		if (list->items[i].xid == xid)
			return &list->items[i];
	}
	return NULL;
}

/*
 * The server's table; NULL if it has not the size that it should have, because
 * then it is not known what is in it.
 */
static const FtTwoPhaseTable *
two_phase_table(void)
{
	static const FtTwoPhaseTable *table = NULL;
	Size		expected = offsetof(FtTwoPhaseTable, items);
	bool		found;

	if (table != NULL || max_prepared_xacts == 0)
		return table;
	expected = MAXALIGN(expected + max_prepared_xacts * sizeof(FtGlobalTransaction *));
	expected += max_prepared_xacts * sizeof(FtGlobalTransaction);
	if (TwoPhaseShmemSize() == expected)
		table = ShmemInitStruct("Prepared Transaction Table", expected, &found);
	return table;
}

bool
ft_prepared_lookup(TransactionId xid, FtPrepared *prepared, char *gid)
{
	const FtTwoPhaseTable *table = two_phase_table();
	bool		found = false;

	if (table == NULL)
		return false;
	LWLockAcquire(TwoPhaseStateLock, LW_SHARED);
	for (int i = 0; i < table->count && !found; i++)
	{
		const FtGlobalTransaction *transaction = table->items[i];

		if (transaction->xid != xid || !transaction->valid)
			continue;
		found = true;
		strlcpy(gid, transaction->gid, GIDSIZE);
		prepared->xid = xid;
		prepared->gid = gid;
		prepared->prepared_at = transaction->prepared_at;
		prepared->owner = transaction->owner;
		prepared->database = ProcGlobal->allProcs[transaction->pgprocno].databaseId;
	}
	LWLockRelease(TwoPhaseStateLock);
	return found;
}
