/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  Prepared transactions: which gid, whose, where, since when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_PREPARED_H
#define FT_PREPARED_H

#include "datatype/timestamp.h"

typedef struct FtPrepared
{
	TransactionId xid;
	char	   *gid;
	TimestampTz prepared_at;
	Oid			owner;
	Oid			database;
} FtPrepared;

typedef struct FtPreparedList
{
	FtPrepared *items;
	int			count;
} FtPreparedList;

extern FtPreparedList *ft_prepared_list(void);
extern const FtPrepared *ft_prepared_find(const FtPreparedList *list, TransactionId xid);

#endif							/* FT_PREPARED_H */
