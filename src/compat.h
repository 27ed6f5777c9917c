/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the supported versions of the server.
 *
 * This is the only file that tests PG_VERSION_NUM.  Each entry says what
 * changed and in which version, so that it can go when that version goes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COMPAT_H
#define FT_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "fault_tolerance needs PostgreSQL 15 or newer"
#endif

#include "access/xact.h"
#include "access/xlogdefs.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"

/* 16 took the macros of variable-length values out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: the check of each catalog became one of all */
#if PG_VERSION_NUM < 160000
#define ft_database_aclcheck(database, role, mode) \
	pg_database_aclcheck(database, role, mode)
#else
#include "catalog/pg_database.h"
#define ft_database_aclcheck(database, role, mode) \
	object_aclcheck(DatabaseRelationId, database, role, mode)
#endif

/* 16: as above; Oids of functions are those of fmgroids.h */
#if PG_VERSION_NUM < 160000
#define ft_may_execute(function_, role_) \
	(pg_proc_aclcheck((function_), (role_), ACL_EXECUTE) == ACLCHECK_OK)
#else
#define ft_may_execute(function_, role_) \
	(object_aclcheck(ProcedureRelationId, (function_), (role_), ACL_EXECUTE) == ACLCHECK_OK)
#endif

/*
 * 16 renamed the relation file node to locator and number, 17 the backend id
 * to a process number, and 18 returns a path by value.
 */
#if PG_VERSION_NUM < 160000
typedef Oid RelFileNumber;
#define RelationMapOidToFilenumber RelationMapOidToFilenode
#define ft_relation_file(relation) ((relation)->rd_node.relNode)
#else
#define ft_relation_file(relation) ((relation)->rd_locator.relNumber)
#endif
#if PG_VERSION_NUM < 170000
typedef int ProcNumber;
#define INVALID_PROC_NUMBER (-1)
#define GetTempNamespaceProcNumber GetTempNamespaceBackendId
#define ProcNumberForTempRelations BackendIdForTempRelations
#endif
#if PG_VERSION_NUM >= 180000
#define ft_copy_relation_path(buffer, size, db, spc, number, backend, fork) \
	strlcpy((buffer), GetRelationPath((db), (spc), (number), (backend), (fork)).str, (size))
#else
#define ft_copy_relation_path(buffer, size, db, spc, number, backend, fork) \
	do { \
		char	   *path_ = GetRelationPath((db), (spc), (number), (backend), (fork)); \
		strlcpy((buffer), path_, (size)); \
		pfree(path_); \
	} while (0)
#endif

/* 16 renamed the fields of a table's statistics, 18 the key's object. */
#if PG_VERSION_NUM < 160000
#define ft_stat_live_tuples(entry) ((entry)->n_live_tuples)
#define ft_stat_dead_tuples(entry) ((entry)->n_dead_tuples)
#define ft_stat_last_vacuum(entry) ((entry)->vacuum_timestamp)
#define ft_stat_last_autovacuum(entry) ((entry)->autovac_vacuum_timestamp)
#define ft_stat_autovacuum_count(entry) ((entry)->autovac_vacuum_count)
#define ft_stat_inserts_since_vacuum(entry) ((entry)->inserts_since_vacuum)
#define ft_stat_changes(entry) ((entry)->changes_since_analyze)
#define ft_stat_last_analyze(entry) ((entry)->analyze_timestamp)
#define ft_stat_last_autoanalyze(entry) ((entry)->autovac_analyze_timestamp)
#else
#define ft_stat_live_tuples(entry) ((entry)->live_tuples)
#define ft_stat_dead_tuples(entry) ((entry)->dead_tuples)
#define ft_stat_last_vacuum(entry) ((entry)->last_vacuum_time)
#define ft_stat_last_autovacuum(entry) ((entry)->last_autovacuum_time)
#define ft_stat_autovacuum_count(entry) ((entry)->autovacuum_count)
#define ft_stat_inserts_since_vacuum(entry) ((entry)->ins_since_vacuum)
#define ft_stat_changes(entry) ((entry)->mod_since_analyze)
#define ft_stat_last_analyze(entry) ((entry)->last_analyze_time)
#define ft_stat_last_autoanalyze(entry) ((entry)->last_autoanalyze_time)
#endif
#if PG_VERSION_NUM < 180000
#define ft_stat_key_object(key) ((key).objoid)
#else
#define ft_stat_key_object(key) ((Oid) (key).objid)
#endif

/*
 * 18 caps the threshold of autovacuum, and that of inserted tuples goes by
 * pages that are not yet frozen.
 */
/* 16 renamed the fields of a database's statistics. */
#if PG_VERSION_NUM < 160000
#define ft_stat_deadlocks(entry) ((entry)->n_deadlocks)
#else
#define ft_stat_deadlocks(entry) ((entry)->deadlocks)
#endif

/* 18 caps the threshold of autovacuum. */
#if PG_VERSION_NUM >= 180000
#define ft_unfrozen_part(form) \
	((form)->relpages > 0 && (form)->relallfrozen > 0 ? \
	 1 - (double) Min((form)->relallfrozen, (form)->relpages) / (form)->relpages : 1)
#define ft_autovacuum_cap(options) \
	((options) != NULL && (options)->vacuum_max_threshold >= -1 ? \
	 (options)->vacuum_max_threshold : autovacuum_vac_max_thresh)
#define ft_capped_threshold(threshold, options) \
	(ft_autovacuum_cap(options) < 0 ? (threshold) : \
	 Min((threshold), ft_autovacuum_cap(options)))
#else
#define ft_unfrozen_part(form) 1
#define ft_capped_threshold(threshold, options) (threshold)
#endif

/*
 * 16 made the lists of the lock manager typed.  All four are to be called
 * with the partition lock of the lock held.
 */
static inline PGPROC *
ft_first_in_queue(LOCK *lock)
{
#if PG_VERSION_NUM < 160000
	return lock->waitProcs.size == 0 ? NULL :
		(PGPROC *) lock->waitProcs.links.next;
#else
	return dclist_is_empty(&lock->waitProcs) ? NULL :
		dclist_head_element(PGPROC, links, &lock->waitProcs);
#endif
}

static inline PGPROC *
ft_next_in_queue(LOCK *lock, PGPROC *proc)
{
#if PG_VERSION_NUM < 160000
	return proc->links.next == &lock->waitProcs.links ? NULL :
		(PGPROC *) proc->links.next;
#else
	return !dclist_has_next(&lock->waitProcs, &proc->links) ? NULL :
		dclist_container(PGPROC, links,
						 dclist_next_node(&lock->waitProcs, &proc->links));
#endif
}

static inline PROCLOCK *
ft_next_of_lock(LOCK *lock, PROCLOCK *proclock)
{
#if PG_VERSION_NUM < 160000
	return (PROCLOCK *) SHMQueueNext(&lock->procLocks,
									 proclock == NULL ? &lock->procLocks : &proclock->lockLink,
									 offsetof(PROCLOCK, lockLink));
#else
	dlist_node *next = proclock == NULL ? lock->procLocks.head.next :
		proclock->lockLink.next;

	/* a list that was never used has no next */
	return next == NULL || next == &lock->procLocks.head ? NULL :
		dlist_container(PROCLOCK, lockLink, next);
#endif
}

static inline PROCLOCK *
ft_next_of_process(PGPROC *proc, int partition, PROCLOCK *proclock)
{
#if PG_VERSION_NUM < 160000
	SHM_QUEUE  *head = &proc->myProcLocks[partition];

	return (PROCLOCK *) SHMQueueNext(head,
									 proclock == NULL ? head : &proclock->procLink,
									 offsetof(PROCLOCK, procLink));
#else
	dlist_head *head = &proc->myProcLocks[partition];
	dlist_node *next = proclock == NULL ? head->head.next : proclock->procLink.next;

	return next == NULL || next == &head->head ? NULL :
		dlist_container(PROCLOCK, procLink, next);
#endif
}

/* 17 replaced the backend id by the number of the process. */
#if PG_VERSION_NUM < 170000
#define ft_virtual_transaction_owner(proc) ((proc)->backendId)
#define ft_virtual_transaction_local_id(proc) ((proc)->lxid)
#else
#define ft_virtual_transaction_owner(proc) ((proc)->vxid.procNumber)
#define ft_virtual_transaction_local_id(proc) ((proc)->vxid.lxid)
#endif

/*
 * Where a process has its entry in the array of backend statuses, and where
 * we have ours.  Before 17 an auxiliary process had its by its type, which
 * cannot be told from its PGPROC: -1, and ft_auxiliary_status_slots are the
 * last ones.
 */
#if PG_VERSION_NUM < 170000
#define ft_status_slot(proc) ((proc)->backendId - 1)
#define ft_my_status_slot() (MyBackendId - 1)
#define ft_auxiliary_status_slots NUM_AUXPROCTYPES
#else
#define ft_status_slot(proc) ((int) ((proc) - ProcGlobal->allProcs))
#define ft_my_status_slot() (MyProcNumber)
#define ft_auxiliary_status_slots 0
#endif

/*
 * 16 gave a reason for which a slot was invalidated, and took away the setting
 * that defers the removal of dead rows; 17 keeps since when a slot is unused.
 */
#if PG_VERSION_NUM < 160000
#include "storage/standby.h"
#define ft_slot_invalidated(slot) \
	(!XLogRecPtrIsInvalid((slot)->data.invalidated_at) && \
	 XLogRecPtrIsInvalid((slot)->data.restart_lsn))
#define ft_vacuum_defer_cleanup_age vacuum_defer_cleanup_age
#else
#define ft_slot_invalidated(slot) ((slot)->data.invalidated != RS_INVAL_NONE)
#define ft_vacuum_defer_cleanup_age 0
#endif
#if PG_VERSION_NUM < 170000
#define ft_slot_inactive_since(slot) ((TimestampTz) 0)
#else
#define ft_slot_inactive_since(slot) ((slot)->inactive_since)
#endif

/* 16 gave parallel apply workers a leader. */
#if PG_VERSION_NUM < 160000
#define ft_apply_leader_pid(pid) InvalidPid
#else
#define ft_apply_leader_pid(pid) GetLeaderApplyWorkerPid(pid)
#endif

/* 18 added a state for sessions that are still starting. */
#if PG_VERSION_NUM < 180000
#define ft_state_is_starting(state) false
#else
#define ft_state_is_starting(state) ((state) == STATE_STARTING)
#endif

/* 16: one function tells whether a role owns an object, whatever its kind. */
#if PG_VERSION_NUM >= 160000
#define ft_owns_database(dboid_, role_) \
	object_ownercheck(DatabaseRelationId, (dboid_), (role_))
#else
#define ft_owns_database(dboid_, role_) \
	pg_database_ownercheck((dboid_), (role_))
#endif

/* 17: wait events of extensions have names. */
#if PG_VERSION_NUM >= 170000
#define ft_wait_event(name_)	WaitEventExtensionNew(name_)
#else
#define ft_wait_event(name_)	PG_WAIT_EXTENSION
#endif

/* 17: a limit on the duration of a transaction, past which the session ends. */
#if PG_VERSION_NUM >= 170000
#define FT_HAVE_TRANSACTION_TIMEOUT
#endif

/* 16 moved the header of query ids, 18 split that of EXPLAIN. */
#if PG_VERSION_NUM < 160000
#include "utils/queryjumble.h"
#else
#include "nodes/queryjumble.h"
#endif
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18 took a parameter from the hook of ExecutorRun(). */
#if PG_VERSION_NUM < 180000
#define FT_EXECUTOR_RUN_PARAMETERS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define FT_EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count, execute_once
#define ft_portal_run(portal_, receiver_, completion_) \
	PortalRun(portal_, FETCH_ALL, true, true, receiver_, receiver_, completion_)
#else
#define ft_portal_run(portal_, receiver_, completion_) \
	PortalRun(portal_, FETCH_ALL, true, receiver_, receiver_, completion_)
#define FT_EXECUTOR_RUN_PARAMETERS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define FT_EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count
#endif

/*
 * Which privileges, any of them, LOCK TABLE asks for: 16 lets those for a
 * stronger lock do for a weaker one, 17 added MAINTAIN.
 */
#if PG_VERSION_NUM < 160000
#define ft_lock_table_privileges(mode) \
	((mode) == AccessShareLock ? ACL_SELECT : \
	 (mode) == RowExclusiveLock ? ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE : \
	 ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)
#else
#if PG_VERSION_NUM < 170000
#define ft_lock_any_mode_privileges (ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)
#else
#define ft_lock_any_mode_privileges (ACL_MAINTAIN | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)
#endif
#define ft_lock_table_privileges(mode) \
	(ft_lock_any_mode_privileges | \
	 ((mode) <= AccessShareLock ? ACL_SELECT : 0) | \
	 ((mode) <= RowExclusiveLock ? ACL_INSERT : 0))
#endif

/*
 * A prepared transaction in shared memory.  twophase.c keeps this to itself;
 * who uses it checks that the server's table has the size that follows from
 * it.  17 dropped the backend id.
 */
typedef struct FtGlobalTransaction
{
	struct FtGlobalTransaction *next;
	int			pgprocno;
#if PG_VERSION_NUM < 170000
	int			dummy_backend_id;
#endif
	TimestampTz prepared_at;
	XLogRecPtr	prepare_start_lsn;
	XLogRecPtr	prepare_end_lsn;
	TransactionId xid;
	Oid			owner;
	int			locking_backend;
	bool		valid;
	bool		ondisk;
	bool		inredo;
	char		gid[GIDSIZE];
} FtGlobalTransaction;

typedef struct FtTwoPhaseTable
{
	FtGlobalTransaction *free;
	int			count;
	FtGlobalTransaction *items[FLEXIBLE_ARRAY_MEMBER];
} FtTwoPhaseTable;

/* 18 says before a declaration that its function does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 16 moved what archives WAL to a header of its own. */
#if PG_VERSION_NUM < 160000
#include "postmaster/pgarch.h"
#else
#include "archive/archive_module.h"
#endif

/* 17 renamed the counts of checkpoints. */
#if PG_VERSION_NUM < 170000
#define ft_stat_checkpoints_timed(stats) ((stats)->timed_checkpoints)
#define ft_stat_checkpoints_requested(stats) ((stats)->requested_checkpoints)
#else
#define ft_stat_checkpoints_timed(stats) ((stats)->num_timed)
#define ft_stat_checkpoints_requested(stats) ((stats)->num_requested)
#endif

/*
 * 18 gave a process as many fast-path slots for locks as it may hold.  The
 * bits of a slot are to be read with the process's fpInfoLock held.
 */
#if PG_VERSION_NUM < 180000
#define ft_fast_path_slots() FP_LOCK_SLOTS_PER_BACKEND
#define ft_fast_path_word(proc, slot) ((proc)->fpLockBits)
#else
#define ft_fast_path_slots() FastPathLockSlotsPerBackend()
#define ft_fast_path_word(proc, slot) ((proc)->fpLockBits[(slot) / 16])
#endif
#define ft_fast_path_bits(proc, slot) \
	((uint32) (ft_fast_path_word(proc, slot) >> (((slot) % 16) * 3)) & 7)

#endif							/* FT_COMPAT_H */
