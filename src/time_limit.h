/*-------------------------------------------------------------------------
 *
 * time_limit.h
 *	  A limit of time for a part of a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TIME_LIMIT_H
#define FT_TIME_LIMIT_H

/*
 * Between the two, what runs is cancelled when the time, in ms, is over; 0 is
 * no limit.  ft_time_limit_end() is to be called after an error too, also one of
 * ft_time_limit_begin() itself, before anything else is done.  Inside of a limit
 * there is no other: a cancel by it goes out to where it was begun.
 */
extern void ft_time_limit_begin(int timeout);
extern void ft_time_limit_end(void);

/*
 * Whether a cancel was by the limit and by nobody else; to be asked after the
 * end.
 */
extern bool ft_time_limit_cancelled(const ErrorData *error);

#endif							/* FT_TIME_LIMIT_H */
