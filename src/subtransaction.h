/*-------------------------------------------------------------------------
 *
 * subtransaction.h
 *	  Try something, and go on in the same transaction if it fails.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SUBTRANSACTION_H
#define FT_SUBTRANSACTION_H

/*
 * Call body(argument) in a subtransaction.  Returns NULL if it succeeded; else
 * its effects are rolled back and the error is returned, copied into the
 * current memory context.  A query cancel is not caught.
 */
extern ErrorData *ft_try(void (*body) (void *argument), void *argument);

#endif							/* FT_SUBTRANSACTION_H */
