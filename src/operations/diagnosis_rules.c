/*-------------------------------------------------------------------------
 *
 * diagnosis_rules.c
 *	  The rules of ft.diagnose(), and what leads to what.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnosis.h"

const FtDiagnosisRule ft_diagnosis_rules[] = {
	{
		.finding = "unexpected_role",
		.query = ft_ask_unexpected_role,
	},
	{
		.finding = "abandoned_slot",
		.query = ft_ask_abandoned_slot,
		.leads_to = {"retained_wal", "xmin_horizon"},
	},
	{
		.finding = "failing_archiver",
		.query = ft_ask_failing_archiver,
		.leads_to = {"retained_wal"},
	},
	{
		.finding = "replication_lag",
		.query = ft_ask_replication_lag,
		.leads_to = {"slow_consumer"},
	},
	{
		.finding = "slow_consumer",
		.query = ft_ask_slow_consumer,
		.leads_to = {"retained_wal", "xmin_horizon"},
	},
	{
		.finding = "idle_in_transaction",
		.query = ft_ask_idle_in_transaction,
		.leads_to = {"queued_ddl", "blocked_sessions", "xmin_horizon"},
	},
	{
		.finding = "prepared_transaction",
		.query = ft_ask_prepared_transaction,
		.leads_to = {"queued_ddl", "blocked_sessions", "xmin_horizon"},
		.primary_only = true,
	},
	{
		.finding = "queued_ddl",
		.query = ft_ask_queued_ddl,
		.leads_to = {"blocked_sessions"},
	},
	{
		.finding = "long_statement",
		.query = ft_ask_long_statement,
		.leads_to = {"blocked_sessions", "xmin_horizon"},
	},
	{
		.finding = "memory_leak",
		.query = ft_ask_memory_leak,
		.leads_to = {"memory_short"},
		.needs_preload = true,
	},
	{
		.finding = "blocked_sessions",
		.query = ft_ask_blocked_sessions,
		.leads_to = {"connection_saturation", "error_burst", "retry_storm"},
	},
	{
		.finding = "connection_saturation",
		.query = ft_ask_connection_saturation,
		.leads_to = {"error_burst", "retry_storm"},
	},
	{
		.finding = "deadlocks",
		.query = ft_ask_deadlocks,
		.leads_to = {"error_burst", "retry_storm"},
		.needs_preload = true,
	},
	{
		.finding = "retained_wal",
		.query = ft_ask_retained_wal,
		.leads_to = {"disk_full"},
	},
	{
		.finding = "disk_full",
		.query = ft_ask_disk_full,
		.leads_to = {"error_burst", "retry_storm"},
		.needs_preload = true,
	},
	{
		.finding = "memory_short",
		.query = ft_ask_memory_short,
		.leads_to = {"error_burst", "retry_storm"},
	},
	{
		.finding = "retry_storm",
		.query = ft_ask_retry_storm,
		.leads_to = {"error_burst"},
		.needs_preload = true,
	},
	{
		.finding = "error_burst",
		.query = ft_ask_error_burst,
		.needs_preload = true,
	},
	{
		.finding = "xmin_horizon",
		.query = ft_ask_xmin_horizon,
		.leads_to = {"dead_tuples", "wraparound"},
		.primary_only = true,
	},
	{
		.finding = "wraparound",
		.query = ft_ask_wraparound,
	},
	{
		.finding = "dead_tuples",
		.query = ft_ask_dead_tuples,
		.primary_only = true,
	},
	{
		.finding = "failed_executions",
		.query = ft_ask_failed_executions,
	},
	{NULL}
};
