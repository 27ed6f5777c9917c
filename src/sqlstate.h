/*-------------------------------------------------------------------------
 *
 * sqlstate.h
 *	  SQLSTATEs: their names, and passing them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SQLSTATE_H
#define FT_SQLSTATE_H

/* As in errcodes.txt; NULL if the server knows none. */
extern const char *ft_sqlstate_name(const char *sqlstate);

/* The SQLSTATE that was passed, NULL for NULL; an error if it is malformed. */
extern char *ft_sqlstate_argument(struct varlena *argument);

#endif							/* FT_SQLSTATE_H */
