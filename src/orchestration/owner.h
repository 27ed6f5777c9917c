/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Owners of executions: who has something due, and can it be run as them?
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_OWNER_H
#define FT_OWNER_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef struct FtOwner
{
	Oid			oid;
	char	   *name;
} FtOwner;

extern FtOwner *ft_owner_make(Oid oid, char *name);

/*
 * Park the executions whose owner goes by another name now, or is gone, if
 * that may have happened since it was last looked for here.  Returns up to
 * which change of the roles that was; nothing is claimed for anybody until
 * that has been published.
 */
extern uint64 ft_owners_check_names(void);

/* Whether the role of an execution's owner has the name that it had then. */
extern bool ft_owner_has_its_name(const FtOwner *owner);

/* Could a worker log in as this role, by whatever name it goes? */
extern bool ft_owner_can_connect(Oid oid);

/* Inside the engine: if it has not, park what is that owner's. */
extern void ft_owner_park_by_name(const FtOwner *owner);

/* What there is to run, and for whom. */
typedef struct FtOwnersDue
{
	List	   *owners;			/* OIDs, each once */
	Oid			suspect_owner;	/* who has a compensation due that may have
								 * taken the server down; or none */
	TimestampTz next_due;		/* or to be looked for; DT_NOEND: neither */
} FtOwnersDue;

/*
 * Owners with a step or a compensation that may run now.  What belongs to an
 * owner that no worker could connect as is parked, with the reason, until that
 * has changed.
 */
extern void ft_owners_due(TimestampTz now, FtOwnersDue *due);

#endif							/* FT_OWNER_H */
