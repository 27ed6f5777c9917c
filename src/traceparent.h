/*-------------------------------------------------------------------------
 *
 * traceparent.h
 *	  The trace that a statement belongs to, as its application says it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TRACEPARENT_H
#define FT_TRACEPARENT_H

/* "00-", 32 digits, "-", 16 digits, "-", 2 digits, and the end */
#define FT_TRACEPARENT_SIZE 56

/*
 * Put the traceparent into out[FT_TRACEPARENT_SIZE], or an empty string.  Both
 * allocate nothing and report no errors, so they can be called anywhere.
 */
extern bool ft_traceparent_in_query(const char *query, char *out);
extern bool ft_traceparent_in_name(const char *application_name, char *out);

/* The query's, else the application's.  Either may be NULL. */
extern bool ft_traceparent_find(const char *query, const char *application_name,
								char *out);

#endif							/* FT_TRACEPARENT_H */
