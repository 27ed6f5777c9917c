/*-------------------------------------------------------------------------
 *
 * tracing.c
 *	  The id of a trace, as somebody passes it who looks for one.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "traceparent.h"

PG_FUNCTION_INFO_V1(ft_trace_id);

#define TRACE_ID_LENGTH 32

/* What a traceparent has before its trace-id: the version, "00-". */
#define TRACE_ID_OFFSET 3

/*
 * ft.trace_id(traceparent text) returns text; capital letters are taken, too,
 * since some tools show ids so.
 */
Datum
ft_trace_id(PG_FUNCTION_ARGS)
{
	char	   *argument = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char		trace[FT_TRACEPARENT_SIZE];
	char	   *wanted = argument;

	for (char *c = argument; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	if (strlen(argument) == TRACE_ID_LENGTH)
		wanted = psprintf("00-%s-0000000000000001-00", argument);

	if (!ft_traceparent_in_name(wanted, trace))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("\"%s\" is neither a trace-id nor a traceparent", argument),
				 errdetail("A trace-id has 32 hexadecimal digits, not all of them 0; a traceparent has it between a version and the id of a span."),
				 errhint("Pass it as your application's tracing shows it, without further characters.")));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(trace + TRACE_ID_OFFSET, TRACE_ID_LENGTH));
}
