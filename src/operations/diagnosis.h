/*-------------------------------------------------------------------------
 *
 * diagnosis.h
 *	  The rules of ft.diagnose(), and what they found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DIAGNOSIS_H
#define FT_DIAGNOSIS_H

#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

#include "inquiry.h"

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

/* The worst first. */
typedef enum FtDiagnosisRank
{
	FT_RANK_CRITICAL,
	FT_RANK_WARNING,
	FT_RANK_UNKNOWN,
	FT_RANK_OK
} FtDiagnosisRank;

/* Of a finding: what the query of a rule answers, and what was decided. */
typedef struct FtCandidate
{
	const FtDiagnosisRule *rule;	/* NULL: something cannot be told */
	char	   *key;
	List	   *explained_by;	/* keys */
	FtDiagnosisRank severity;
	char	   *symptom;
	char	   *cause;
	char	   *evidence;
	List	   *affected;
	char	   *impact;
	char	   *fix_sql;
	char	   *query_id;

	/* decided */
	List	   *causes;
	List	   *effects;
	bool		counts;
	FtDiagnosisRank worst;		/* of itself and all that it explains */
	bool		seen;			/* while its effects are collected */
} FtCandidate;

/* Of equal severity, the earlier is shown first; ends with a NULL. */
extern PGDLLIMPORT const FtDiagnosisRule ft_diagnosis_rules[];

extern const char *ft_diagnosis_severity(FtDiagnosisRank rank);

/* Is a string among them? */
extern bool ft_diagnosis_contains(const List *strings, const char *string);

/*
 * Put the row of a finding: with all that it explains, or by itself where those
 * have rows of their own.
 */
extern void ft_diagnosis_put(ReturnSetInfo *result, const FtInquiry *inquiry,
							 FtCandidate *candidate, bool alone);

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
