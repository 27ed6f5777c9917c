/*-------------------------------------------------------------------------
 *
 * bloat.h
 *	  Space of a table or an index that holds no live data.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_BLOAT_H
#define FT_BLOAT_H

#include "storage/buf.h"
#include "storage/block.h"
#include "threshold.h"
#include "utils/relcache.h"

/* What was found on the pages of a relation. */
typedef struct FtPages
{
	int64		live_tuples;
	int64		live_bytes;
	int64		live_space;		/* with alignment and line pointers */
	uint32		least_length;	/* of live tuples */
	uint32		most_length;
	int64		dead_tuples;	/* a vacuum now would remove them */
	int64		dead_bytes;
	int64		kept_tuples;	/* dead, but kept by the horizon */
	int64		kept_bytes;
	int64		dead_items;		/* line pointers of what is removed already */
	int64		free_bytes;
	int64		empty_pages;	/* nothing on them */
	int64		leaf_pages;		/* of a b-tree, as the next two */
	int64		internal_pages;
	int64		fragments;		/* leaf pages followed by an earlier one */
} FtPages;

/* Look at one page; its buffer is locked. */
extern void ft_bloat_heap_page(FtPages *pages, Relation relation, Buffer buffer,
							   TransactionId oldest_xmin);
extern void ft_bloat_btree_page(FtPages *pages, Buffer buffer);

/*
 * Pages that so many rows take when they are written anew, each taking so many
 * bytes of a page on average.
 */
extern double ft_heap_pages(double tuples, double space, bool same_length, int fillfactor);

/*
 * Pages of a b-tree whose leaves hold so many bytes, and whose inner pages
 * point to them by tuples of so many.
 */
extern double ft_btree_pages(double leaf_space, double pivot_space, int fillfactor);

typedef struct FtBloatLimits
{
	const FtThreshold *percent;
	const FtThreshold *bytes;
} FtBloatLimits;

extern void ft_bloat_limits(FtBloatLimits *limits);

/* By the share, where it is enough to matter. */
extern FtSeverity ft_bloat_severity(const FtBloatLimits *limits, double bytes, double percent);

#endif							/* FT_BLOAT_H */
