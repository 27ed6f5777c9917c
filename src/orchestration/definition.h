/*-------------------------------------------------------------------------
 *
 * definition.h
 *	  Definitions of orchestrations: what may stand in one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DEFINITION_H
#define FT_DEFINITION_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"

/* What is added to a time must remain one. */
#define FT_DURATION_LIMIT_YEARS	1000

/* Check all of a definition's tasks; returns how many there are. */
extern int	ft_definition_check(Jsonb *tasks);

/*
 * Check the text of an SQL command: its syntax, that there is one, and that
 * it does not begin or end a transaction.  Of a "single" one there may be
 * only one statement.  The place is named in the error.
 */
extern void ft_definition_check_command(const char *command, const char *place,
										bool single, bool in_transaction);

/* An error unless a step can take, or wait for, so long. */
extern void ft_definition_check_duration(const Interval *duration, const char *place);

/* An error unless it is one of the modes in which a step can be run. */
extern void ft_definition_check_mode(const char *mode, const char *place);

/* An error unless the role may act on what another has defined. */
extern void ft_definition_require_member(const char *name, const char *owner,
										 Oid owner_oid, Oid caller);
pg_noreturn extern void ft_definition_report_unknown(const char *name);

#endif							/* FT_DEFINITION_H */
