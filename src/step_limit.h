/*-------------------------------------------------------------------------
 *
 * step_limit.h
 *	  Limits of time that a step cannot take off.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_LIMIT_H
#define FT_STEP_LIMIT_H

/* To be called once, by a process that may be ended for one step. */
extern void ft_step_limit_init(void);

/* The time that a step has, in ms: its own or everybody's limit; 0: no limit. */
extern int64 ft_step_limit_of(int64 timeout);

/*
 * From now on so much time is left, in ms; 0: without a limit.  Past it comes a
 * cancel, and then, where that was caught, the end of the process.
 */
extern void ft_step_limit_begin(int64 limit);
extern void ft_step_limit_end(void);

/* Is it for this that the process ends? */
extern bool ft_step_limit_overrun(void);

#endif							/* FT_STEP_LIMIT_H */
