/*-------------------------------------------------------------------------
 *
 * row_width.h
 *	  How much of a page a row takes, from statistics.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ROW_WIDTH_H
#define FT_ROW_WIDTH_H

#include "catalog/pg_class.h"
#include "catalog/pg_index.h"

typedef struct FtRowWidth
{
	double		space;			/* bytes of a page, line pointer included */
	bool		same_length;	/* all rows take as much */
	char	   *guessed;		/* a column without statistics, else NULL */
} FtRowWidth;

/* Of a row of a table. */
extern void ft_row_width(Form_pg_class form, FtRowWidth *width);

typedef struct FtEntryWidth
{
	double		space;			/* of an entry for one row */
	double		key;			/* bytes of its key and header alone */
	double		distinct;		/* different keys among the rows */
	double		null_rows;		/* rows with nothing but nulls, one key */
	char	   *guessed;
} FtEntryWidth;

/* Of an entry of a b-tree of a table with so many rows. */
extern void ft_entry_width(Form_pg_index form, double tuples, FtEntryWidth *width);

#endif							/* FT_ROW_WIDTH_H */
