/*-------------------------------------------------------------------------
 *
 * engine.h
 *	  The engine's own SQL: run as the owner of its tables, with a pinned
 *	  search_path, from plans that are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ENGINE_H
#define FT_ENGINE_H

#include "executor/spi.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Who called, and what to put back when the engine's statements are done. */
typedef struct FtEngine
{
	Oid			caller;
	int			caller_security_context;
	int			guc_nest_level;
} FtEngine;

#define FT_STATEMENT_MAX_ARGS	10

/*
 * One statement of the engine, planned at its first use in a session for
 * whatever arguments it will get, and by indexes.
 */
typedef struct FtStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[FT_STATEMENT_MAX_ARGS];
	SPIPlanPtr	plan;
} FtStatement;

#define FT_STATEMENT(name_, sql_, ...) \
	static FtStatement name_ = { \
		.sql = (sql_), \
		.nargs = sizeof((Oid[]) {__VA_ARGS__}) / sizeof(Oid), \
		.argtypes = {__VA_ARGS__} \
	}

#define FT_STATEMENT_NOARGS(name_, sql_) \
	static FtStatement name_ = {.sql = (sql_)}

/*
 * A nullable argument: the value and its null flag.  Statements take an array
 * of these, so that the two cannot be mixed up.
 */
typedef struct FtArg
{
	Datum		value;
	bool		isnull;
} FtArg;

#define FT_NULL						((FtArg) {(Datum) 0, true})
#define FT_VALUE(datum_)			((FtArg) {(datum_), false})
#define FT_UUID(uuid_)				FT_VALUE(UUIDPGetDatum(uuid_))
#define FT_TEXT(cstring_)			ft_text_arg(cstring_)
#define FT_ARRAY(values_, nulls_, n_, type_)	ft_array_arg(values_, nulls_, n_, type_)
#define FT_TIME(timestamp_)			FT_VALUE(TimestampTzGetDatum(timestamp_))
#define FT_ARGS(...)				((FtArg[]) {__VA_ARGS__})

extern FtArg ft_text_arg(const char *cstring);
extern FtArg ft_array_arg(Datum *values, bool *nulls, int n, Oid type);

/* Where a statement has to be run for one of them, Min() would run it twice. */
static inline TimestampTz
ft_earlier(TimestampTz one, TimestampTz other)
{
	return Min(one, other);
}

extern void ft_engine_enter(FtEngine *engine);
extern void ft_engine_leave(FtEngine *engine);

/*
 * Until the nest level of settings ends that the caller has opened, text is
 * read as a duration in one way, whatever IntervalStyle the session has.
 */
extern void ft_engine_pin_interval_style(void);

extern uint64 ft_run(FtStatement *statement, const FtArg *args);

/*
 * The same for a SELECT that is to see what has been committed by now, in
 * whatever isolation level the caller's transaction is; in a parallel query
 * it sees what that query does.
 */
extern uint64 ft_run_latest(FtStatement *statement, const FtArg *args);

/*
 * The same for a statement that has to go by the order of its index, and take
 * no more of it than it needs.
 */
extern uint64 ft_run_by_index(FtStatement *statement, const FtArg *args);

/* Both. */
extern uint64 ft_run_latest_by_index(FtStatement *statement, const FtArg *args);

/*
 * The same for a statement that holds all rows of something against one
 * another, however many there are.
 */
extern uint64 ft_run_whole(FtStatement *statement, const FtArg *args);

/* Columns (from 1) of row (from 0) of the last result. */
extern Datum ft_column(uint64 row, int column, bool *isnull);
extern bool ft_column_is_null(uint64 row, int column);
extern pg_uuid_t ft_column_uuid(uint64 row, int column);
extern char *ft_column_text(uint64 row, int column);
extern int32 ft_column_int32(uint64 row, int column);
extern int64 ft_column_int64(uint64 row, int column);
extern bool ft_column_bool(uint64 row, int column);
extern Oid	ft_column_oid(uint64 row, int column);
extern TimestampTz ft_column_time(uint64 row, int column);

#endif							/* FT_ENGINE_H */
