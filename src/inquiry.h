/*-------------------------------------------------------------------------
 *
 * inquiry.h
 *	  Ask several subjects in one statement, so that one that cannot answer
 *	  does not cost the answers of the others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_INQUIRY_H
#define FT_INQUIRY_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/palloc.h"

/* Past it a subject that waits for a lock cannot be told. */
#define FT_INQUIRY_LOCK_TIMEOUT "100ms"

typedef struct FtInquiry
{
	int			nest_level;
	MemoryContext context;		/* what is made of the answers, until the end */
	MemoryContext caller;
	TimestampTz deadline;		/* by fault_tolerance.health_timeout */
} FtInquiry;

/*
 * Takes one row of an answer.  Runs in the memory context of the inquiry; what
 * it kept of a subject's rows is to be dropped if the subject fails later.
 */
typedef void (*FtAnswerRow) (void *argument, HeapTuple tuple, TupleDesc desc);

/*
 * Between the two the settings are pinned that could make a query mean
 * something else, and the current memory context is that of the inquiry.  No
 * further level is needed to end it after an error.
 */
extern void ft_inquiry_begin(FtInquiry *inquiry);
extern void ft_inquiry_end(FtInquiry *inquiry);

/*
 * Run a query as the current user.  Returns NULL, or the error, copied into
 * the current memory context.  A cancel or a timeout of the user's is not
 * caught.
 */
extern ErrorData *ft_inquiry_ask(const char *query, long max_rows,
								 FtAnswerRow row, void *argument);

/*
 * The time that the next query may take, in ms, for ft_inquiry_ask_within():
 * fault_tolerance.check_timeout, or what is left until the deadline.  -1 if
 * nothing is left.
 */
extern int	ft_inquiry_time(const FtInquiry *inquiry);

/* What is said of a query that is not asked any more. */
#define FT_INQUIRY_TIME_OVER \
	"was not looked at: what was asked before took fault_tolerance.health_timeout"

/*
 * The same with a limit of time, in ms, for this query alone; 0 is no limit.
 */
extern ErrorData *ft_inquiry_ask_within(int timeout, const char *query, long max_rows,
										FtAnswerRow row, void *argument);

/* A column as text in the current memory context, NULL for a null. */
extern char *ft_answer_text(HeapTuple tuple, TupleDesc desc, int column);

#endif							/* FT_INQUIRY_H */
