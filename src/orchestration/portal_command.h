/*-------------------------------------------------------------------------
 *
 * portal_command.h
 *	  Running one statement as a client's would be: by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_PORTAL_COMMAND_H
#define FT_PORTAL_COMMAND_H

#include "nodes/params.h"

/*
 * Run a command of one statement at the top level.  The caller has begun a
 * transaction, and has neither a snapshot nor anything else open in it; when
 * this returns it may be another transaction.  What lives in the current
 * context has to outlive all of them, the parameters too.
 */
extern void ft_portal_command(const char *command, ParamListInfo parameters);

#endif							/* FT_PORTAL_COMMAND_H */
