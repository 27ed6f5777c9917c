/*-------------------------------------------------------------------------
 *
 * bloat.c
 *	  Space of a table or an index that holds no live data.
 *
 * What is read from a page, as pgstattuple and pgstatindex do it, and what
 * live data would take were it written anew.
 *
 * Locking: none; the caller has the buffers locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

#include "compat.h"
#include "diagnostics/bloat.h"

static void
add_live(FtPages *pages, uint32 length)
{
	if (pages->live_tuples == 0 || length < pages->least_length)
		pages->least_length = length;
	pages->most_length = Max(pages->most_length, length);
	pages->live_tuples++;
	pages->live_bytes += length;
	pages->live_space += MAXALIGN(length) + sizeof(ItemIdData);
}

/*
 * Rows that are being inserted or deleted count as live: so they are until the
 * transaction ends.
 */
static void
add_heap_tuple(FtPages *pages, HeapTuple tuple, TransactionId oldest_xmin, Buffer buffer)
{
	switch (HeapTupleSatisfiesVacuum(tuple, oldest_xmin, buffer))
	{
		case HEAPTUPLE_DEAD:
			pages->dead_tuples++;
			pages->dead_bytes += tuple->t_len;
			break;
		case HEAPTUPLE_RECENTLY_DEAD:
			pages->kept_tuples++;
			pages->kept_bytes += tuple->t_len;
			break;
		default:
			add_live(pages, tuple->t_len);
			break;
	}
}

void
ft_bloat_heap_page(FtPages *pages, Relation relation, Buffer buffer, TransactionId oldest_xmin)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber last;

	if (PageIsNew(page) || PageIsEmpty(page))
	{
		pages->empty_pages++;
		pages->free_bytes += PageIsNew(page) ? BLCKSZ - SizeOfPageHeaderData :
			PageGetExactFreeSpace(page);
		return;
	}

	pages->free_bytes += PageGetExactFreeSpace(page);
	last = PageGetMaxOffsetNumber(page);
	for (OffsetNumber i = FirstOffsetNumber; i <= last; i = OffsetNumberNext(i))
	{
		ItemId		item = PageGetItemId(page, i);
		HeapTupleData tuple;

		if (ItemIdIsDead(item))
			pages->dead_items++;
		if (!ItemIdIsNormal(item))
			continue;
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), i);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(relation);
		add_heap_tuple(pages, &tuple, oldest_xmin, buffer);
	}
}

/* Entries of a leaf page; one of duplicates stands for many rows. */
static void
add_leaf_page(FtPages *pages, Page page, BTPageOpaque opaque)
{
	OffsetNumber last = PageGetMaxOffsetNumber(page);

	for (OffsetNumber i = P_FIRSTDATAKEY(opaque); i <= last; i = OffsetNumberNext(i))
	{
		ItemId		item = PageGetItemId(page, i);
		IndexTuple	tuple = (IndexTuple) PageGetItem(page, item);
		int			rows = BTreeTupleIsPosting(tuple) ? BTreeTupleGetNPosting(tuple) : 1;

		if (ItemIdIsDead(item))
		{
			pages->dead_tuples += rows;
			pages->dead_bytes += ItemIdGetLength(item);
		}
		else
		{
			add_live(pages, ItemIdGetLength(item));
			pages->live_tuples += rows - 1;
		}
	}
}

void
ft_bloat_btree_page(FtPages *pages, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	BTPageOpaque opaque;

	if (PageIsNew(page))
	{
		pages->empty_pages++;
		pages->free_bytes += BLCKSZ - SizeOfPageHeaderData;
		return;
	}
	if (PageGetSpecialSize(page) != MAXALIGN(sizeof(BTPageOpaqueData)))
		return;

	opaque = BTPageGetOpaque(page);
	if (P_ISMETA(opaque))
		return;
	if (P_IGNORE(opaque))
	{
		pages->empty_pages++;
		pages->free_bytes += BLCKSZ - SizeOfPageHeaderData;
	}
	else if (P_ISLEAF(opaque))
	{
		pages->leaf_pages++;
		pages->free_bytes += PageGetExactFreeSpace(page);
		if (opaque->btpo_next != P_NONE && opaque->btpo_next < BufferGetBlockNumber(buffer))
			pages->fragments++;
		add_leaf_page(pages, page, opaque);
	}
	else
		pages->internal_pages++;
}

/*
 * Rows of one length leave what is too small for one more; of rows of many
 * lengths, half of one on average is taken to stay free.
 */
double
ft_heap_pages(double tuples, double space, bool same_length, int fillfactor)
{
	double		usable = BLCKSZ - SizeOfPageHeaderData - BLCKSZ * (100 - fillfactor) / 100;

	if (tuples <= 0 || space <= 0)
		return 0;
	if (same_length)
		return ceil(tuples / Max(floor(usable / space), 1));
	return ceil(tuples * space / Max(usable - space / 2, Min(space, usable)));
}

double
ft_btree_pages(double leaf_space, double pivot_space, int fillfactor)
{
	double		page = BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(BTPageOpaqueData));
	double		level = ceil(leaf_space / Max(page * fillfactor / 100 - pivot_space / 2, pivot_space));
	double		pages = 1;		/* the first, which points to the root */
	double		fan_out = Max(floor(page * BTREE_NONLEAF_FILLFACTOR / 100 / pivot_space), 2);

	if (leaf_space <= 0)
		return pages;
	for (; level > 1; level = ceil(level / fan_out))
		pages += level;
	return pages + level;
}

void
ft_bloat_limits(FtBloatLimits *limits)
{
	FtThresholds *thresholds = ft_thresholds_read();

	limits->percent = ft_threshold(thresholds, "bloat");
	limits->bytes = ft_threshold(thresholds, "bloat_size");
}

FtSeverity
ft_bloat_severity(const FtBloatLimits *limits, double bytes, double percent)
{
	if (ft_severity_of(limits->bytes, bytes) == FT_SEVERITY_OK)
		return FT_SEVERITY_OK;
	return ft_severity_of(limits->percent, percent);
}
