/*-------------------------------------------------------------------------
 *
 * metrics.h
 *	  The metrics, and the subjects that are asked for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_METRICS_H
#define FT_METRICS_H

#define FT_METRIC_PREFIX "fault_tolerance_"

typedef struct FtMetric
{
	const char *name;			/* without the prefix */
	const char *help;
} FtMetric;

typedef struct FtMetricSubject
{
	const char *name;
	const char *query;			/* answers name, labels jsonb, value float8 */
	bool		needs_preload;
	bool		primary_only;
	bool		own_time;		/* limits the time of its parts itself */
} FtMetricSubject;

/* Both end with a NULL. */
extern PGDLLIMPORT const FtMetric ft_metrics[];
extern PGDLLIMPORT const FtMetricSubject ft_metric_subjects[];

#endif							/* FT_METRICS_H */
