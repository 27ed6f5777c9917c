/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Failures of executions, and of which type each is.
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

#endif							/* FT_FAILURE_H */
