/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Settings of the extension, all named fault_tolerance.*
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_GUC_H
#define FT_GUC_H

/* What this node is expected to be; what it is, is read from the server. */
typedef enum FtExpectedRole
{
	FT_ROLE_ANY,
	FT_ROLE_PRIMARY,
	FT_ROLE_STANDBY
} FtExpectedRole;

/* From which level on errors are counted. */
typedef enum FtTrackErrors
{
	FT_TRACK_ERRORS_OFF,
	FT_TRACK_ERRORS_ERROR,
	FT_TRACK_ERRORS_WARNING
} FtTrackErrors;

/* diagnostics */
extern PGDLLIMPORT int ft_lock_partition_timeout;
extern PGDLLIMPORT int ft_expected_role;

/* rates */
extern PGDLLIMPORT int ft_rate_interval;
extern PGDLLIMPORT int ft_max_session_outcomes;

/* samples */
extern PGDLLIMPORT int ft_sample_interval;
extern PGDLLIMPORT int ft_history_size;
extern PGDLLIMPORT int ft_history_query_size;
extern PGDLLIMPORT int ft_memory_sample_interval;
extern PGDLLIMPORT int ft_disk_sample_interval;
extern PGDLLIMPORT int ft_log_blocking_sessions;
extern PGDLLIMPORT int ft_log_blocking_wait;

/* vacuum */
extern PGDLLIMPORT int ft_xid_clock_interval;
extern PGDLLIMPORT int ft_bloat_read_rate;

/* errors */
extern PGDLLIMPORT int ft_track_errors;
extern PGDLLIMPORT int ft_max_error_kinds;
extern PGDLLIMPORT int ft_errors_kept;
extern PGDLLIMPORT int ft_deadlocks_kept;

/* statements */
extern PGDLLIMPORT int ft_slow_statement_threshold;
extern PGDLLIMPORT bool ft_slow_statement_nested;
extern PGDLLIMPORT bool ft_slow_statement_plan;
extern PGDLLIMPORT bool ft_slow_statement_parameters;
extern PGDLLIMPORT int ft_slow_statement_entries;
extern PGDLLIMPORT bool ft_track_lock_order;
extern PGDLLIMPORT int ft_lock_order_pairs;

/* health */
extern PGDLLIMPORT int ft_check_timeout;
extern PGDLLIMPORT int ft_health_timeout;

/* recovery */
extern PGDLLIMPORT bool ft_auto_recovery;
extern PGDLLIMPORT int ft_recovery_interval;
extern PGDLLIMPORT int ft_recovery_window;
extern PGDLLIMPORT int ft_recovery_max_attempts;
extern PGDLLIMPORT int ft_recovery_backoff;
extern PGDLLIMPORT int ft_recovery_backoff_limit;
extern PGDLLIMPORT double ft_recovery_jitter;
extern PGDLLIMPORT int ft_execution_retention;
extern PGDLLIMPORT int ft_checkpoint_retention;
extern PGDLLIMPORT int ft_dead_letter_retention;

/* workers */
extern PGDLLIMPORT bool ft_workers;
extern PGDLLIMPORT int ft_max_databases;
extern PGDLLIMPORT int ft_max_executors;
extern PGDLLIMPORT int ft_worker_idle_timeout;
extern PGDLLIMPORT int ft_step_timeout;
extern PGDLLIMPORT int ft_executor_idle_timeout;
extern PGDLLIMPORT int ft_max_result_size;
extern PGDLLIMPORT int ft_max_children;

extern void ft_guc_init(void);

#endif							/* FT_GUC_H */
