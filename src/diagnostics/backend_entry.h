/*-------------------------------------------------------------------------
 *
 * backend_entry.h
 *	  What the server keeps of what a session does, one session at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_BACKEND_ENTRY_H
#define FT_BACKEND_ENTRY_H

#include "storage/proc.h"
#include "utils/backend_status.h"

/* An entry, with the strings that it points to. */
typedef struct FtBackendEntry
{
	PgBackendStatus status;
	char		application[NAMEDATALEN];
	char		hostname[NAMEDATALEN];
	char	   *query;			/* the reader's, good until it reads again */
	int			query_length;
} FtBackendEntry;

typedef struct FtBackendReader
{
	PgBackendStatus *entries;	/* the server's array */
	char	   *query;
} FtBackendReader;

/* Allocated in the current memory context; needs no transaction. */
extern FtBackendReader *ft_backend_reader(void);
extern bool ft_backend_entry(FtBackendReader *reader, int procno, int pid,
							 FtBackendEntry *entry);

/* As pg_stat_activity has it; NULL where it has none. */
extern const char *ft_backend_state_name(BackendState state);

#endif							/* FT_BACKEND_ENTRY_H */
