/*-------------------------------------------------------------------------
 *
 * running_vacuum.h
 *	  Which tables are being vacuumed, by whom.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RUNNING_VACUUM_H
#define FT_RUNNING_VACUUM_H

#include "datatype/timestamp.h"

typedef struct FtRunningVacuum
{
	Oid			database;
	Oid			relid;
	int			pid;
	TimestampTz started;		/* its transaction, which is one per table */
} FtRunningVacuum;

typedef struct FtRunningVacuums
{
	FtRunningVacuum *items;
	int			count;
} FtRunningVacuums;

/* In the current memory context; needs no transaction. */
extern FtRunningVacuums *ft_running_vacuums(void);

/* The process that vacuums a table, 0 if none does. */
extern int	ft_vacuum_pid(const FtRunningVacuums *vacuums, Oid database, Oid relid);

#endif							/* FT_RUNNING_VACUUM_H */
