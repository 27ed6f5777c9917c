/*-------------------------------------------------------------------------
 *
 * suspect.h
 *	  Steps and compensations that were running when an executor or the server
 *	  was lost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SUSPECT_H
#define FT_SUSPECT_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Under which suspicion a step is: who was lost while it ran. */
#define FT_SUSPICION_EXECUTOR	"executor"
#define FT_SUSPICION_SERVER		"server"

/*
 * What becomes of a running step, or compensation, whose executor is not there
 * any more.
 */
typedef struct FtLoss
{
	bool		guilty;			/* it has failed; else it is only due again */
	const char *suspicion;		/* under which it is from now on, or NULL */
	const char *message;		/* where guilty */
	const char *sqlstate;		/* where guilty */
} FtLoss;

/* what is it: a step, or a compensation; for the message. */
extern FtLoss ft_suspect_judge(const char *what, const char *suspicion, bool server_lost);

/* In the engine: note a loss that is a failure. */
extern void ft_suspect_note(const pg_uuid_t *task_id, const char *suspicion);

/*
 * In the engine: what a short suspect that has completed has made due may have
 * been running in its place.
 */
extern void ft_suspect_successors(const pg_uuid_t *task_id, const char *suspicion,
								  TimestampTz now);

/* All of this database that was due when the server started has been claimed. */
extern void ft_suspect_settled(void);

/* Do claims have to reach the disk before anything is done under them? */
extern bool ft_suspect_claims_must_last(void);

#endif							/* FT_SUSPECT_H */
