/*-------------------------------------------------------------------------
 *
 * deadlock_report.h
 *	  What the server's report of a deadlock says, taken apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DEADLOCK_REPORT_H
#define FT_DEADLOCK_REPORT_H

#include "storage/lock.h"

/* A piece of the report; nothing is copied. */
typedef struct FtPiece
{
	const char *start;			/* NULL if it is not there */
	int			length;
} FtPiece;

/* A process that takes part: it waits for a lock, and for the next one. */
typedef struct FtDeadlockLine
{
	int			pid;
	int			blocked_by;
	FtPiece		mode;
	FtPiece		object;
	bool		tag_known;
	LOCKTAG		tag;
	FtPiece		statement;
} FtDeadlockLine;

/*
 * Take apart a report that was made in this session, in its language.  Detail
 * is what the client is told, and the beginning of what the log gets.  At most
 * so many lines are filled; returns how many processes take part, 0 if the
 * report is not understood.  Allocates nothing with palloc and reports no errors.
 */
extern int	ft_deadlock_report_read(const char *detail, const char *detail_log,
									FtDeadlockLine *lines, int max_lines);

#endif							/* FT_DEADLOCK_REPORT_H */
