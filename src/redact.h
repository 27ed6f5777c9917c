/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Take passwords out of query texts that are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_REDACT_H
#define FT_REDACT_H

/*
 * Cut a text, in place, before the first thing in it that looks like a
 * password, and say so in its place; size is the room there is.  Allocates
 * nothing and reports no errors, so it can be called anywhere.  False if
 * there was nothing to cut.
 */
extern bool ft_redact_passwords(char *text, Size size);

#endif							/* FT_REDACT_H */
