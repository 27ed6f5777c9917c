/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  Prepared transactions: which gid, whose, where, since when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_PREPARED_H
#define FT_PREPARED_H

#include "access/xact.h"
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

/*
 * The same of one, for a process that is connected to no database and has no
 * transaction; gid points into *buffer.  False if it is not there, or if this
 * server keeps its prepared transactions in another way.
 */
typedef char FtGid[GIDSIZE];
extern bool ft_prepared_lookup(TransactionId xid, FtPrepared *prepared, FtGid *buffer);

#endif							/* FT_PREPARED_H */
