/*-------------------------------------------------------------------------
 *
 * horizon.h
 *	  Who keeps vacuum from removing dead rows, from the server's memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HORIZON_H
#define FT_HORIZON_H

#include "access/transam.h"
#include "datatype/timestamp.h"

/* There is a horizon of its own for each kind of table. */
typedef enum FtHorizonKind
{
	FT_HORIZON_DATA,			/* tables of one database */
	FT_HORIZON_CATALOG,			/* its catalogs */
	FT_HORIZON_SHARED			/* catalogs that all databases share */
} FtHorizonKind;

#define FT_HORIZONS (FT_HORIZON_SHARED + 1)

typedef enum FtHolderKind
{
	FT_HOLDER_BACKEND,
	FT_HOLDER_FEEDBACK,			/* a walsender, for a standby */
	FT_HOLDER_PREPARED,
	FT_HOLDER_SLOT,
	FT_HOLDER_PRIMARY,			/* on a standby: what runs on the primary */
	FT_HOLDER_SETTING			/* vacuum_defer_cleanup_age, before 16 */
} FtHolderKind;

typedef struct FtHolder
{
	FtHolderKind kind;
	TransactionId xid;			/* its own transaction, or none */
	TransactionId xmin;			/* its snapshot or the slot's, or none */
	TransactionId catalog_xmin; /* of a slot, or none */
	Oid			database;
	int			procno;			/* of backend and feedback */
	int			pid;			/* of these, and who uses the slot, or 0 */

	/* of a slot */
	NameData	slot;
	bool		logical;
	TransactionId shown_xmin;	/* as pg_replication_slots shows them */
	TransactionId shown_catalog_xmin;
	TimestampTz inactive_since; /* 0 if not known */
} FtHolder;

typedef struct FtHolders
{
	FtHolder   *items;
	int			count;
	FullTransactionId next;		/* the transaction id given out next */
} FtHolders;

/*
 * All holders of all databases, in the current memory context.  A transaction
 * is needed on a standby only, to see what runs on the primary.
 */
extern FtHolders *ft_holders(void);

/* Up to where a holder holds a horizon of a database; invalid if it does not. */
extern TransactionId ft_holder_xmin(const FtHolder *holder, FtHorizonKind kind,
									Oid database);

/* The horizon itself; invalid if nobody holds it. */
extern TransactionId ft_horizon(const FtHolders *holders, FtHorizonKind kind,
								Oid database);

extern const char *ft_horizon_name(FtHorizonKind kind);

/* Transactions begun since that of an id was, itself included. */
extern int64 ft_xid_age(FullTransactionId next, TransactionId xid);

#endif							/* FT_HORIZON_H */
