/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Settings of the extension, with their units and bounds.
 *
 * Settings that size shared memory can be changed only at server start; they
 * are defined as such only while the library is being preloaded, because the
 * server refuses to define one of that kind later.
 *
 * fault_tolerance.auto_recovery is a superuser's setting rather than one of
 * the configuration file alone, so that ALTER DATABASE ... SET can switch a
 * single database off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "guc.h"

int			ft_lock_partition_timeout = 200;
int			ft_expected_role = FT_ROLE_ANY;

int			ft_rate_interval = 10 * 1000;
int			ft_sample_interval = 1000;
int			ft_history_size = 16 * 1024;
int			ft_history_query_size = 512;
int			ft_memory_sample_interval = 10 * 1000;
int			ft_disk_sample_interval = 10 * 1000;
int			ft_log_blocking_sessions = -1;
int			ft_log_blocking_wait = -1;
int			ft_xid_clock_interval = 10 * 1000;
int			ft_bloat_read_rate = 100 * 1024;
int			ft_max_session_outcomes = 500;

int			ft_track_errors = FT_TRACK_ERRORS_ERROR;
int			ft_max_error_kinds = 1000;
int			ft_errors_kept = 500;
int			ft_deadlocks_kept = 100;

int			ft_slow_statement_threshold = 1000;
bool		ft_slow_statement_nested = false;
bool		ft_slow_statement_plan = false;
bool		ft_slow_statement_parameters = false;
int			ft_slow_statement_entries = 256;
bool		ft_track_lock_order = true;
int			ft_lock_order_pairs = 2000;

int			ft_check_timeout = 1000;
int			ft_health_timeout = 10 * 1000;

bool		ft_auto_recovery = true;
int			ft_recovery_interval = 10 * 1000;
int			ft_recovery_window = 60 * 60;
int			ft_recovery_max_attempts = 5;
int			ft_recovery_backoff = 100;
int			ft_recovery_backoff_limit = 5 * 60 * 1000;
double		ft_recovery_jitter = 0.1;
int			ft_execution_retention = 30 * 24 * 60;
int			ft_checkpoint_retention = 100;
int			ft_dead_letter_retention = -1;

bool		ft_workers = true;
int			ft_max_databases = 64;
int			ft_max_executors = 2;
int			ft_worker_idle_timeout = 60 * 1000;
int			ft_executor_idle_timeout = 10 * 1000;
int			ft_max_result_size = 1024;
int			ft_max_children = 10000;
int			ft_step_timeout = 0;

static const struct config_enum_entry expected_role_options[] = {
	{"any", FT_ROLE_ANY, false},
	{"primary", FT_ROLE_PRIMARY, false},
	{"standby", FT_ROLE_STANDBY, false},
	{NULL, 0, false}
};

static void
define_diagnostics_settings(void)
{
	DefineCustomIntVariable("fault_tolerance.lock_partition_timeout",
							"Longest time a diagnostic tries for the partitions of the lock table.",
							"Past it the answer comes from what needs no such lock, and says so.",
							&ft_lock_partition_timeout,
							200, 0, 60 * 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomEnumVariable("fault_tolerance.expected_role",
							 "What this node is expected to be: primary, standby or any.",
							 NULL,
							 &ft_expected_role,
							 FT_ROLE_ANY, expected_role_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static const struct config_enum_entry track_errors_options[] = {
	{"off", FT_TRACK_ERRORS_OFF, false},
	{"error", FT_TRACK_ERRORS_ERROR, false},
	{"warning", FT_TRACK_ERRORS_WARNING, false},
	{NULL, 0, false}
};

static void
define_error_settings(void)
{
	GucContext	at_start = process_shared_preload_libraries_in_progress ?
		PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomEnumVariable("fault_tolerance.track_errors",
							 "From which level on errors that reach the log are counted and kept.",
							 "Deadlocks are kept unless it is off.",
							 &ft_track_errors,
							 FT_TRACK_ERRORS_ERROR, track_errors_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.max_error_kinds",
							"How many kinds of errors are counted apart.",
							"A kind is an SQLSTATE with its level, database, role and application. What finds no place is counted as other.",
							&ft_max_error_kinds,
							1000, 16, 100000,
							at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recent_errors",
							"How many errors are kept with their message and statement.",
							NULL,
							&ft_errors_kept,
							500, 0, 100000,
							at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recent_deadlocks",
							"How many deadlocks are kept with who took part.",
							NULL,
							&ft_deadlocks_kept,
							100, 0, 10000,
							at_start, 0, NULL, NULL, NULL);
}

static void
define_rate_settings(void)
{
	DefineCustomIntVariable("fault_tolerance.max_session_outcomes",
							"How many groups of database, role and application transactions are counted by.",
							"What finds no place is counted as one group more.",
							&ft_max_session_outcomes,
							500, 2, 100000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.rate_interval",
							"Time between two samples of the counters that rates are told from.",
							"0 switches the sampling off; rates are unknown then.",
							&ft_rate_interval,
							10 * 1000, 0, 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_sample_settings(void)
{
	GucContext	at_start = process_shared_preload_libraries_in_progress ?
		PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomIntVariable("fault_tolerance.sample_interval",
							"Time between two samples of what sessions do and who blocks whom.",
							"0 takes none.",
							&ft_sample_interval,
							1000, 0, 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.history_size",
							"Shared memory for the samples of what sessions did.",
							"The oldest make room for new ones.",
							&ft_history_size,
							16 * 1024, 256, 16 * 1024 * 1024,
							at_start, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.history_query_size",
							"Longest beginning of a query that is kept with the samples, in bytes.",
							"0 keeps none.",
							&ft_history_query_size,
							512, 0, 8192,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.memory_sample_interval",
							"Time between two looks at the memory of each process.",
							"0 takes none.",
							&ft_memory_sample_interval,
							10 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.disk_sample_interval",
							"Time between two looks at the space of file systems.",
							"0 takes none.",
							&ft_disk_sample_interval,
							10 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.log_blocking_sessions",
							"From how many sessions behind one blocker on the server log tells of it.",
							"Counted are those that have waited for at least ten seconds. 0 switches this off, -1 takes what is shipped as critical in ft.thresholds.",
							&ft_log_blocking_sessions,
							-1, -1, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.log_blocking_wait",
							"From how long a wait for a lock on the server log tells of its blocker.",
							"0 switches this off, -1 takes what is shipped as critical in ft.thresholds.",
							&ft_log_blocking_wait,
							-1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_vacuum_settings(void)
{
	DefineCustomIntVariable("fault_tolerance.xid_clock_interval",
							"Time between two notes of the transaction id that is next.",
							"They tell the age in time of what holds vacuum back, and how fast ids are used up. 0 takes none.",
							&ft_xid_clock_interval,
							10 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.bloat_read_rate",
							"How much ft.table_bloat() reads from disk in a second at most.",
							"0 means no limit.",
							&ft_bloat_read_rate,
							100 * 1024, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
}

static void
define_statement_settings(void)
{
	GucContext	at_start = process_shared_preload_libraries_in_progress ?
		PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomIntVariable("fault_tolerance.slow_statement_threshold",
							"Duration from which on a statement is kept as slow.",
							"0 keeps all statements, -1 none.",
							&ft_slow_statement_threshold,
							1000, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomBoolVariable("fault_tolerance.slow_statement_nested",
							 "Whether statements inside functions are kept as slow as well.",
							 NULL,
							 &ft_slow_statement_nested,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("fault_tolerance.slow_statement_plan",
							 "Whether the plan of a slow statement is kept with it.",
							 "Only of statements that do not fail.",
							 &ft_slow_statement_plan,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("fault_tolerance.slow_statement_parameters",
							 "Whether the parameters of a slow statement are kept with it.",
							 "They may be data that is not to be seen. Only of statements that do not fail.",
							 &ft_slow_statement_parameters,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.slow_statement_entries",
							"How many slow statements are kept.",
							"The oldest go first. 11 kB of shared memory each; 0 keeps none.",
							&ft_slow_statement_entries,
							256, 0, 100000,
							at_start, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("fault_tolerance.track_lock_order",
							 "Whether the order is kept in which transactions lock relations.",
							 NULL,
							 &ft_track_lock_order,
							 true, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.lock_order_pairs",
							"How many orders of two relations and the modes they are locked in are kept.",
							"The rest is counted. 250 bytes of shared memory each; 0 keeps none.",
							&ft_lock_order_pairs,
							2000, 0, 1000000,
							at_start, 0, NULL, NULL, NULL);
}

static void
define_health_settings(void)
{
	DefineCustomIntVariable("fault_tolerance.check_timeout",
							"Longest time one question of ft.health_check(), ft.diagnose(), ft.overview and ft.metrics may take.",
							"Past it what it is about is UNKNOWN. 0 means no limit.",
							&ft_check_timeout,
							1000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.health_timeout",
							"Longest time all questions of one of these may take.",
							"What was not reached by then is UNKNOWN. 0 means no limit.",
							&ft_health_timeout,
							10 * 1000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_recovery_settings(void)
{
	DefineCustomBoolVariable("fault_tolerance.auto_recovery",
							 "Whether the background worker recovers recorded failures by itself.",
							 "Can be set for a single database by ALTER DATABASE ... SET.",
							 &ft_auto_recovery,
							 true, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recovery_interval",
							"Time between two looks for failures to recover while there are any.",
							"A failure that is recorded wakes the worker at once; this is the net under it.",
							&ft_recovery_interval,
							10 * 1000, 100, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recovery_window",
							"Age up to which a failure is recovered automatically.",
							"An older one is shown as given up.",
							&ft_recovery_window,
							60 * 60, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recovery_max_attempts",
							"How often a failure, a task or a compensation is tried before it is given up.",
							NULL,
							&ft_recovery_max_attempts,
							5, 1, 1000,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recovery_backoff",
							"Delay before the first retry; it doubles with each further one.",
							NULL,
							&ft_recovery_backoff,
							100, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.recovery_backoff_limit",
							"Longest delay between two retries.",
							NULL,
							&ft_recovery_backoff_limit,
							5 * 60 * 1000, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomRealVariable("fault_tolerance.recovery_jitter",
							 "Share of the delay that is drawn at random, so that retries do not come all at once.",
							 NULL,
							 &ft_recovery_jitter,
							 0.1, 0.0, 1.0,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.execution_retention",
							"How long a finished execution is kept, with its tasks, checkpoints and failures.",
							"-1 keeps all of them.",
							&ft_execution_retention,
							30 * 24 * 60, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.dead_letter_retention",
							"How long an execution is kept that has stopped and does not go on by itself.",
							"-1 keeps all of them.",
							&ft_dead_letter_retention,
							-1, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.checkpoint_retention",
							"How many checkpoints of one execution are kept besides its first.",
							"The newest is always kept. -1 keeps all of them.",
							&ft_checkpoint_retention,
							100, -1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_worker_settings(void)
{
	GucContext	at_start = process_shared_preload_libraries_in_progress ?
		PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomBoolVariable("fault_tolerance.workers",
							 "Whether background workers are started at all.",
							 NULL,
							 &ft_workers,
							 true, at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.max_databases",
							"How many databases can have orchestrations worked by the background worker.",
							NULL,
							&ft_max_databases,
							64, 1, 10000,
							at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.max_executors",
							"How many background workers may run steps and compensations at a time.",
							"They are taken from max_worker_processes.",
							&ft_max_executors,
							2, 1, 1000,
							at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.worker_idle_timeout",
							"Time without work after which a worker of a database leaves.",
							NULL,
							&ft_worker_idle_timeout,
							60 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.executor_idle_timeout",
							"Time without work after which a worker that runs steps leaves.",
							NULL,
							&ft_executor_idle_timeout,
							10 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.max_result_size",
							"Largest result of a step, and largest state of an execution, that is kept.",
							NULL,
							&ft_max_result_size,
							1024, 1, 1024 * 256,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.max_children",
							"How many rows the for_each of a step may have: each becomes a step.",
							NULL,
							&ft_max_children,
							10000, 1, 1000000,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("fault_tolerance.step_timeout",
							"Longest time a step or a compensation may run in a background worker.",
							"0 means no limit.",
							&ft_step_timeout,
							0, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/*
 * Define all settings and reserve their prefix, so that a misspelt one is
 * reported instead of being taken for somebody else's.
 */
void
ft_guc_init(void)
{
	define_diagnostics_settings();
	define_rate_settings();
	define_health_settings();
	define_sample_settings();
	define_vacuum_settings();

	define_error_settings();

	define_statement_settings();
	define_recovery_settings();
	define_worker_settings();
	MarkGUCPrefixReserved("fault_tolerance");
}
