/*-------------------------------------------------------------------------
 *
 * diagnosis_sql.h
 *	  Pieces of the queries of ft.diagnose().
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DIAGNOSIS_SQL_H
#define FT_DIAGNOSIS_SQL_H

/* An interval as a number, and for reading. */
#define EPOCH(time) "extract(epoch FROM " time ")::float8"
#define SECONDS(interval) "date_trunc('second', " interval ")"

/* Some text on one line, cut. */
#define ONE_LINE(text, length) \
	"left(regexp_replace(" text ", '\\s+', ' ', 'g'), " length ")"

/* A session for reading: 42 (shop, checkout). */
#define SESSION(a) \
	"concat(" a ".pid, ' (' || nullif(concat_ws(', ', " a ".usename, nullif(" a ".application_name, '')), '') || ')')"

/* A time that every DateStyle reads alike. */
#define LITERAL(time) \
	"quote_literal(to_char((" time ") AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')"

/* Cancels a statement, and none that came after it. */
#define CANCEL_SQL(a) \
	"format('SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity" \
	" WHERE pid = %s AND backend_start = %s AND query_start = %s" \
	" /* in any database, as a superuser or a member of its role, or one of both pg_signal_backend" \
	" and pg_read_all_stats if it is not a superuser''s */'," \
	" " a ".pid, " LITERAL(a ".backend_start") ", " LITERAL(a ".query_start") ")"

#endif							/* FT_DIAGNOSIS_SQL_H */
