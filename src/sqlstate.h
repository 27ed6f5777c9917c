/*-------------------------------------------------------------------------
 *
 * sqlstate.h
 *	  What an SQLSTATE means: its name, and whether it may go away by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SQLSTATE_H
#define FT_SQLSTATE_H

/* Whether an error of this SQLSTATE (five characters) may go away by itself. */
extern bool ft_sqlstate_is_transient(const char *sqlstate);

/* As in errcodes.txt; NULL if the server knows none. */
extern const char *ft_sqlstate_name(const char *sqlstate);

/* The SQLSTATE that was passed, NULL for NULL; an error if it is malformed. */
extern char *ft_sqlstate_argument(struct varlena *argument);

#endif							/* FT_SQLSTATE_H */
