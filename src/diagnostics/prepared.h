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
 * transaction; its gid is copied to gid[GIDSIZE].  False if it is not there, or if this
 * server keeps its prepared transactions in another way.
 */
extern bool ft_prepared_lookup(TransactionId xid, FtPrepared *prepared, char *gid);

#endif							/* FT_PREPARED_H */
