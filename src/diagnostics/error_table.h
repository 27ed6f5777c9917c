/*-------------------------------------------------------------------------
 *
 * error_table.h
 *	  Counts of errors by their kind, and by the second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ERROR_TABLE_H
#define FT_ERROR_TABLE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

#define FT_ERROR_SECONDS	3600	/* how far back errors are counted by
									 * second */
#define FT_ERROR_MINUTES	64	/* how far back each kind is, and a bit more */
#define FT_ERROR_SUMMARY	256 /* longest message kept of a kind, with its
								 * end */

/* The levels that are counted. */
typedef enum FtErrorLevel
{
	FT_ERROR_WARNING,
	FT_ERROR_ERROR,
	FT_ERROR_FATAL,
	FT_ERROR_PANIC
} FtErrorLevel;

#define FT_ERROR_LEVELS (FT_ERROR_PANIC + 1)

/* What makes a kind.  Zeroed before it is filled: it is compared as bytes. */
typedef struct FtErrorKey
{
	int			sqlstate;
	FtErrorLevel level;
	Oid			database;
	Oid			role;
	char		application[NAMEDATALEN];

	/* as the client called them, where there was no Oid yet */
	char		datname[NAMEDATALEN];
	char		usename[NAMEDATALEN];
} FtErrorKey;

/* A kind, as read. */
typedef struct FtErrorCount
{
	bool		other;			/* not of one kind: the table was full */
	FtErrorKey	key;
	uint64		count;
	uint64		window_count;
	TimestampTz first_seen;
	TimestampTz last_seen;
	int			encoding;		/* of message */
	char		message[FT_ERROR_SUMMARY];	/* of the last one */
} FtErrorCount;

typedef struct FtErrorTable FtErrorTable;

/* shared memory */
extern Size ft_error_table_size(int kinds);
extern void ft_error_table_create(FtErrorTable *table, int kinds);

/* Count one.  May be done anywhere where shared memory is there. */
extern void ft_error_table_count(FtErrorTable *table, const FtErrorKey *key,
								 const char *message, TimestampTz now);

/*
 * Read: the kinds, with those of the last minutes that a window of so many
 * seconds touches; the number of errors of the last seconds; both up to now.
 */
extern FtErrorCount *ft_error_table_read(FtErrorTable *table, int window,
										 TimestampTz now, int *count);
extern uint64 ft_error_table_in_window(FtErrorTable *table, int window, TimestampTz now);
extern TimestampTz ft_error_table_since(FtErrorTable *table);

/* The caller sees to it that nobody else does. */
extern void ft_error_table_reset(FtErrorTable *table, TimestampTz now);

#endif							/* FT_ERROR_TABLE_H */
