/*-------------------------------------------------------------------------
 *
 * fault_tolerance.c
 *	  Module entry: nothing here but the order in which the parts are set up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "diagnostics/deadlock.h"
#include "diagnostics/disk.h"
#include "diagnostics/error_log.h"
#include "diagnostics/blocking_log.h"
#include "diagnostics/disk.h"
#include "diagnostics/history.h"
#include "diagnostics/horizon_watch.h"
#include "diagnostics/memory.h"
#include "diagnostics/replication_slots.h"
#include "diagnostics/session_outcomes.h"
#include "diagnostics/wal_rate.h"
#include "diagnostics/xid_clock.h"
#include "diagnostics/statement_hooks.h"
#include "guc.h"
#include "orchestration/wait.h"
#include "running.h"
#include "shmem.h"
#include "transaction.h"
#include "utility_hook.h"
#include "worker/launcher.h"
#include "worker/sampler.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	ft_guc_init();

	/*
	 * Everything below needs shared memory.  A server that runs for
	 * pg_upgrade is not to be worked in.
	 */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	ft_shmem_init();
	ft_transaction_init();
	ft_running_init();
	ft_wait_init();
	ft_utility_hook_init();
	ft_statement_hooks_init();
	ft_launcher_init();
	ft_sampler_init();

	ft_history_init();
	ft_blocking_log_init();
	ft_disk_init();
	ft_memory_init();
	ft_replication_slots_init();
	ft_wal_rate_init();
	ft_xid_clock_init();
	ft_horizon_watch_init();
	ft_session_outcomes_init();
	ft_error_log_init();
	ft_deadlock_init();
}
