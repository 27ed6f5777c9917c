/*-------------------------------------------------------------------------
 *
 * memory_context.c
 *	  ft.memory_contexts() and ft.log_memory_contexts(): what a process uses
 *	  its memory for.
 *
 * The server's pg_backend_memory_contexts is not the same in all versions,
 * and says of each context what it has for itself only.  Here each also says
 * what it has with all below it, which is what names the culprit.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "diagnostics/kernel_file.h"

PG_FUNCTION_INFO_V1(ft_memory_contexts);
PG_FUNCTION_INFO_V1(ft_log_memory_contexts);

/* As the server has it: an ident can be a whole query. */
#define MAX_IDENT_LENGTH	1024

/* Columns of ft.memory_contexts(). */
enum
{
	CONTEXT_LEVEL,
	CONTEXT_PATH,
	CONTEXT_NAME,
	CONTEXT_IDENT,
	CONTEXT_TOTAL_BYTES,
	CONTEXT_USED_BYTES,
	CONTEXT_FREE_BYTES,
	CONTEXT_TREE_BYTES,
	CONTEXT_BLOCKS,
	CONTEXT_CHILDREN,
	CONTEXT_COLUMNS
};

typedef struct Visit
{
	MemoryContext context;
	const char *name;
	char	   *ident;
	int			parent;			/* index of its visit, -1 for the first */
	int			level;
	int			children;
	int64		tree_bytes;
	MemoryContextCounters counters;
} Visit;

typedef struct Visits
{
	Visit	   *items;
	int			count;
	int			capacity;
} Visits;

/* Enough visits, with room for some that the walk itself may add. */
static int
count_contexts(MemoryContext context)
{
	int			count = 1;

	for (MemoryContext child = context->firstchild; child != NULL; child = child->nextchild)
	{
		check_stack_depth();
		count += count_contexts(child);
	}
	return count;
}

static void
visit(Visits *visits, MemoryContext context, int parent)
{
	int			index = visits->count;
	Visit	   *item;

	check_stack_depth();
	if (index == visits->capacity)
		return;
	item = &visits->items[visits->count++];
	item->context = context;
	item->parent = parent;
	item->level = parent < 0 ? 0 : visits->items[parent].level + 1;
	context->methods->stats(context, NULL, NULL, &item->counters, true);
	item->tree_bytes = item->counters.totalspace;

	for (MemoryContext child = context->firstchild; child != NULL; child = child->nextchild)
	{
		visits->items[index].children++;
		visit(visits, child, index);
	}
}

static char *
cut_ident(const char *ident)
{
	int			length;
	char	   *cut;

	if (ident == NULL)
		return NULL;
	length = strlen(ident);
	if (length >= MAX_IDENT_LENGTH)
		length = pg_mbcliplen(ident, length, MAX_IDENT_LENGTH - 1);
	cut = pnstrdup(ident, length);
	return cut;
}

/*
 * What can be done only after the walk: texts are copied, because a context
 * may go while rows are made, and trees are added up.  In the order of the
 * visits a context comes before those below it.
 */
static void
finish_visits(Visits *visits)
{
	for (int i = visits->count - 1; i >= 0; i--)
	{
		Visit	   *item = &visits->items[i];

		item->name = pstrdup(item->context->name);
		item->ident = cut_ident(item->context->ident);
		if (item->parent >= 0)
			visits->items[item->parent].tree_bytes += item->tree_bytes;
	}
}

static void
put_context(ReturnSetInfo *rsinfo, const Visits *visits, int index)
{
	const Visit *item = &visits->items[index];
	const MemoryContextCounters *counters = &item->counters;
	Datum		values[CONTEXT_COLUMNS] = {0};
	bool		nulls[CONTEXT_COLUMNS] = {0};
	Datum	   *path = palloc(sizeof(Datum) * (item->level + 1));

	for (int i = index; i >= 0; i = visits->items[i].parent)
		path[visits->items[i].level] = CStringGetTextDatum(visits->items[i].name);

	values[CONTEXT_LEVEL] = Int32GetDatum(item->level);
	values[CONTEXT_PATH] =
		PointerGetDatum(construct_array(path, item->level + 1, TEXTOID, -1, false, TYPALIGN_INT));
	ft_put_text(values, nulls, CONTEXT_NAME, item->name);
	ft_put_text(values, nulls, CONTEXT_IDENT, item->ident);
	ft_put_int64(values, nulls, CONTEXT_TOTAL_BYTES, counters->totalspace);
	ft_put_int64(values, nulls, CONTEXT_USED_BYTES, counters->totalspace - counters->freespace);
	ft_put_int64(values, nulls, CONTEXT_FREE_BYTES, counters->freespace);
	ft_put_int64(values, nulls, CONTEXT_TREE_BYTES, item->tree_bytes);
	ft_put_int64(values, nulls, CONTEXT_BLOCKS, counters->nblocks);
	values[CONTEXT_CHILDREN] = Int32GetDatum(item->children);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * ft.memory_contexts()
 *
 * All figures are taken before any row is made, so that what the rows take is
 * not in them.
 */
Datum
ft_memory_contexts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Visits		visits = {0};
	MemoryContext work;
	MemoryContext caller;

	InitMaterializedSRF(fcinfo, 0);
	visits.capacity = count_contexts(TopMemoryContext) + 16;
	visits.items = MemoryContextAllocExtended(CurrentMemoryContext,
											  sizeof(Visit) * visits.capacity,
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	visit(&visits, TopMemoryContext, -1);
	finish_visits(&visits);

	work = AllocSetContextCreate(CurrentMemoryContext, "fault_tolerance rows",
								 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	for (int i = 0; i < visits.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_context(rsinfo, &visits, i);
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	return (Datum) 0;
}

/*
 * ft.log_memory_contexts(pid int)
 *
 * As pg_log_backend_memory_contexts(), for those who may execute that.
 */
Datum
ft_log_memory_contexts(PG_FUNCTION_ARGS)
{
	if (!ft_may_execute(F_PG_LOG_BACKEND_MEMORY_CONTEXTS, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to log the memory contexts of another process"),
				 errdetail("It takes the privilege to execute pg_log_backend_memory_contexts(), which superusers have."),
				 errhint("GRANT EXECUTE ON FUNCTION pg_catalog.pg_log_backend_memory_contexts(int) TO %s",
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	return DirectFunctionCall1(pg_log_backend_memory_contexts, PG_GETARG_DATUM(0));
}
