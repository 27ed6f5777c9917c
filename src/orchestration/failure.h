/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Failures of executions, and the rules that say of which type one is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_FAILURE_H
#define FT_FAILURE_H

typedef enum FtFailureType
{
	FT_FAILURE_TRANSIENT,
	FT_FAILURE_PERMANENT,
	FT_FAILURE_PARTIAL
} FtFailureType;

extern const char *ft_failure_type_name(FtFailureType type);

/* An error for a name that is none of the three. */
extern FtFailureType ft_failure_type_of(const char *name);

/* Whether an error of this SQLSTATE (five characters) may go away by itself. */
extern bool ft_sqlstate_is_transient(const char *sqlstate);

#endif							/* FT_FAILURE_H */
