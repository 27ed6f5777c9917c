/*-------------------------------------------------------------------------
 *
 * row_width.c
 *	  How much of a page a row takes, from statistics.
 *
 * The average widths of columns and shares of nulls that ANALYZE found, laid
 * out as heap_form_tuple() and index_form_tuple() would.  Nothing of what is in
 * the columns is told.
 *
 * Locking: none but those of system cache look-ups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/itup.h"
#include "access/tupmacs.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "storage/itemid.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "diagnostics/row_width.h"

/* What is known of the values of a column. */
typedef struct ColumnWidth
{
	double		width;			/* of those that are not null */
	double		null_part;
	double		distinct;		/* as stadistinct; 0 if not known */
	bool		known;
} ColumnWidth;

/* A row that is being laid out, its length an average. */
typedef struct Layout
{
	double		data;			/* bytes so far */
	double		without_null;	/* probability that none is null so far */
	bool		same_length;
	char	   *guessed;
} Layout;

static void
column_width(Oid relid, AttrNumber column, Form_pg_attribute attribute, ColumnWidth *result)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(column), BoolGetDatum(false));

	memset(result, 0, sizeof(ColumnWidth));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_statistic form = (Form_pg_statistic) GETSTRUCT(tuple);

		result->width = form->stawidth;
		result->null_part = form->stanullfrac;
		result->distinct = form->stadistinct;
		result->known = true;
		ReleaseSysCache(tuple);
	}
	else
		result->width = get_typavgwidth(attribute->atttypid, attribute->atttypmod);

	if (attribute->attlen > 0)
	{
		result->width = attribute->attlen;
		result->known = true;
	}
}

static int
alignment(char typalign)
{
	switch (typalign)
	{
		case TYPALIGN_CHAR:
			return 1;
		case TYPALIGN_SHORT:
			return ALIGNOF_SHORT;
		case TYPALIGN_INT:
			return ALIGNOF_INT;
		default:
			return ALIGNOF_DOUBLE;
	}
}

/* A short value of variable length needs no alignment. */
static void
add_column(Layout *layout, Form_pg_attribute attribute, const ColumnWidth *column)
{
	double		align = alignment(attribute->attalign);
	double		start = ceil(layout->data / align) * align;

	if (attribute->attlen < 0)
	{
		layout->same_length = false;
		if (column->width <= VARATT_SHORT_MAX)
			start = layout->data;
	}
	if (column->null_part > 0)
		layout->same_length = false;
	layout->without_null *= 1 - column->null_part;
	layout->data += (1 - column->null_part) * (start + column->width - layout->data);
	if (!column->known && layout->guessed == NULL)
		layout->guessed = pstrdup(NameStr(attribute->attname));
}

/* Where lengths vary, alignment costs half of its size on average. */
static double
aligned(const Layout *layout, double length)
{
	if (layout->same_length)
		return ceil(length / MAXIMUM_ALIGNOF) * MAXIMUM_ALIGNOF;
	return length + (MAXIMUM_ALIGNOF - 1) / 2.0;
}

void
ft_row_width(Form_pg_class form, FtRowWidth *width)
{
	Layout		layout = {.without_null = 1,.same_length = true};
	double		bitmap = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(form->relnatts));
	double		header = MAXALIGN(SizeofHeapTupleHeader);

	for (AttrNumber i = 1; i <= form->relnatts; i++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(form->oid),
											Int16GetDatum(i));
		Form_pg_attribute attribute;
		ColumnWidth column;

		if (!HeapTupleIsValid(tuple))
			continue;
		attribute = (Form_pg_attribute) GETSTRUCT(tuple);
		if (attribute->attisdropped)
			layout.without_null = 0;
		else
		{
			column_width(form->oid, i, attribute, &column);
			add_column(&layout, attribute, &column);
		}
		ReleaseSysCache(tuple);
	}

	header = layout.without_null * header + (1 - layout.without_null) * bitmap;
	width->space = aligned(&layout, header + layout.data) + sizeof(ItemIdData);
	width->same_length = layout.same_length;
	width->guessed = layout.guessed;
}

/* Different values among so many rows; all, if it is not known. */
static double
count_distinct(const ColumnWidth *column, double tuples)
{
	if (column->distinct > 0)
		return column->distinct;
	if (column->distinct < 0)
		return -column->distinct * tuples;
	return tuples;
}

void
ft_entry_width(Form_pg_index form, double tuples, FtEntryWidth *width)
{
	Layout		layout = {.without_null = 1,.same_length = true};
	double		null_part = 1;
	double		header;

	width->distinct = 1;
	for (int i = 0; i < form->indnatts; i++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(form->indexrelid),
											Int16GetDatum(i + 1));
		AttrNumber	of_table = form->indkey.values[i];
		Form_pg_attribute attribute;
		ColumnWidth column;

		if (!HeapTupleIsValid(tuple))
			continue;
		attribute = (Form_pg_attribute) GETSTRUCT(tuple);
		if (of_table != 0)
			column_width(form->indrelid, of_table, attribute, &column);
		else
			column_width(form->indexrelid, i + 1, attribute, &column);
		add_column(&layout, attribute, &column);
		if (i < form->indnkeyatts)
		{
			width->distinct *= Max(count_distinct(&column, tuples), 1);
			null_part *= column.null_part;
		}
		ReleaseSysCache(tuple);
	}

	width->null_rows = null_part * tuples;
	width->distinct = Min(width->distinct, Max(tuples - width->null_rows, 1));
	header = layout.without_null * sizeof(IndexTupleData) +
		(1 - layout.without_null) * MAXALIGN(sizeof(IndexTupleData) + sizeof(IndexAttributeBitMapData));
	width->key = aligned(&layout, header + layout.data);
	width->space = width->key + sizeof(ItemIdData);
	width->guessed = layout.guessed;
}
