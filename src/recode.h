/*-------------------------------------------------------------------------
 *
 * recode.h
 *	  Texts that cross from one database to another in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RECODE_H
#define FT_RECODE_H

/*
 * Copy as much of a string as fits, cut between two characters; NULL is
 * copied as an empty one.  Allocates nothing and reports no errors.  Returns
 * the length of the copy.
 */
extern int	ft_copy_clipped(char *to, Size size, const char *from);
extern int	ft_copy_clipped_len(char *to, Size size, const char *from, Size length);

/*
 * The text in this database's encoding, palloc'd.  Characters that are not
 * valid, or that this encoding does not have, become question marks.
 */
extern char *ft_recode(const char *string, int encoding);

#endif							/* FT_RECODE_H */
