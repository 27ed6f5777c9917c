/*-------------------------------------------------------------------------
 *
 * health.h
 *	  The checks of ft.health_check().
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HEALTH_H
#define FT_HEALTH_H

typedef struct FtHealthCheck
{
	const char *check_name;
	const char *threshold;		/* NULL: the probe says the status itself */
	const char *unit;			/* NULL: that of the threshold */
	const char *well;			/* message if the probe found nothing */
	const char *hint;
} FtHealthCheck;

/* Ends with a check without a name; in the order in which they are shown. */
extern PGDLLIMPORT const FtHealthCheck ft_health_checks[];

/*
 * A probe asks for one or several checks by one query, which answers
 *
 *	  check_name, object, value, message, status, hint
 *
 * the worst first for each check.  status is NULL where the threshold of the
 * check decides; hint is NULL for the one of the check.
 */
typedef struct FtHealthProbe
{
	const char *checks;			/* names, separated by blanks */
	const char *query;
	bool		primary_only;
	bool		needs_preload;
} FtHealthProbe;

/* Each ends with a probe without a query. */
extern PGDLLIMPORT const FtHealthProbe ft_health_probes_sessions[];
extern PGDLLIMPORT const FtHealthProbe ft_health_probes_data[];
extern PGDLLIMPORT const FtHealthProbe ft_health_probes_replication[];
extern PGDLLIMPORT const FtHealthProbe ft_health_probes_server[];

#endif							/* FT_HEALTH_H */
