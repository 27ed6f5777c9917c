/*-------------------------------------------------------------------------
 *
 * diagnosis.h
 *	  The rules of ft.diagnose().
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DIAGNOSIS_H
#define FT_DIAGNOSIS_H

#define FT_MAX_EFFECTS 6

/*
 * A rule asks for candidates of one finding.  Its query answers, in this
 * order:
 *
 *	  key			text	what the candidate is, as session:42
 *	  explained_by	text[]	keys that would explain it, or NULL
 *	  severity		text	of itself; one that is OK counts only if it
 *							explains another
 *	  symptom		text	what is seen
 *	  cause			text	why
 *	  evidence		jsonb	the figures
 *	  affected		text[]	sessions or objects
 *	  impact		text	what it does to the rest
 *	  fix_sql		text	what mends it, or NULL
 *	  query_id		bigint	of the statement at fault, or NULL
 *
 * A candidate explains another where its key is among explained_by of the
 * other, and its rule leads to the finding of the other's.
 */
typedef struct FtDiagnosisRule
{
	const char *finding;
	const char *query;
	const char *leads_to[FT_MAX_EFFECTS];	/* ends with a NULL if shorter */
	bool		needs_preload;
	bool		primary_only;
} FtDiagnosisRule;

/* Of equal severity, the earlier is shown first; ends with a NULL. */
extern PGDLLIMPORT const FtDiagnosisRule ft_diagnosis_rules[];

/* What the rules ask. */
extern PGDLLIMPORT const char ft_ask_unexpected_role[];
extern PGDLLIMPORT const char ft_ask_connection_saturation[];
extern PGDLLIMPORT const char ft_ask_blocked_sessions[];
extern PGDLLIMPORT const char ft_ask_queued_ddl[];
extern PGDLLIMPORT const char ft_ask_idle_in_transaction[];
extern PGDLLIMPORT const char ft_ask_prepared_transaction[];
extern PGDLLIMPORT const char ft_ask_long_statement[];
extern PGDLLIMPORT const char ft_ask_deadlocks[];
extern PGDLLIMPORT const char ft_ask_retry_storm[];
extern PGDLLIMPORT const char ft_ask_error_burst[];
extern PGDLLIMPORT const char ft_ask_memory_leak[];
extern PGDLLIMPORT const char ft_ask_memory_short[];
extern PGDLLIMPORT const char ft_ask_failed_executions[];
extern PGDLLIMPORT const char ft_ask_disk_full[];
extern PGDLLIMPORT const char ft_ask_retained_wal[];
extern PGDLLIMPORT const char ft_ask_failing_archiver[];
extern PGDLLIMPORT const char ft_ask_abandoned_slot[];
extern PGDLLIMPORT const char ft_ask_slow_consumer[];
extern PGDLLIMPORT const char ft_ask_replication_lag[];
extern PGDLLIMPORT const char ft_ask_wraparound[];
extern PGDLLIMPORT const char ft_ask_xmin_horizon[];
extern PGDLLIMPORT const char ft_ask_dead_tuples[];

#endif							/* FT_DIAGNOSIS_H */
