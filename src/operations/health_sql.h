/*-------------------------------------------------------------------------
 *
 * health_sql.h
 *	  Pieces that the queries of the probes have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HEALTH_SQL_H
#define FT_HEALTH_SQL_H

/* An interval in seconds, as a number, and in whole seconds, for reading. */
#define IN_SECONDS(interval) "extract(epoch FROM " interval ")"
#define WHOLE_SECONDS(interval) "date_trunc('second', " interval ")"

#define NO_STATUS "NULL::text"
#define NO_HINT "NULL::text"
#define NO_OBJECT "NULL::text"

#endif							/* FT_HEALTH_SQL_H */
