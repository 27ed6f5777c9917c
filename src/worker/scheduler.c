/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  The scheduler: the background worker of one database.
 *
 * It ticks when it starts, when it is woken, and when work is due: gathers
 * what there is (tick.c), lets recovery act, starts executors (pool.c),
 * decides what to do with itself (ft_decide) and sleeps or leaves.  Its first
 * look also tells the launcher whether the database has the extension.
 *
 * An error ends the tick and its transaction; it is logged, kept in the slot,
 * and the tick is tried again after a delay that grows, whatever comes.
 *
 * Each start makes a recovery pass, which is recorded with its duration;
 * later passes are recorded if they found something.
 *
 * Locking: ft_shared->lock for the slot.  No transaction and no snapshot is
 * held while asleep.  Locks on tables are waited for ten seconds at most, so
 * that a snapshot is not kept, and vacuum not held back, for much longer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/recovery.h"
#include "shmem.h"
#include "wake.h"
#include "worker/pool.h"
#include "worker/scheduler.h"
#include "worker/tick.h"
#include "worker/worker.h"

#define ERROR_BACKOFF_MS		1000
#define ERROR_BACKOFF_LIMIT_MS	(60 * 1000)
#define RETENTION_INTERVAL_MS	(10 * 60 * 1000)
#define LOCK_TIMEOUT			"10s"

/* Looking for what is due takes one in so many parts of the time. */
#define LOOK_SHARE				20
#define LOOK_INTERVAL_LIMIT_MS	1000

/* So long after an executor was lost it is known whether the server goes, too. */
#define SHUTDOWN_NOTICE_MS		100

/* What this scheduler knows from one round of its loop to the next. */
typedef struct Scheduler
{
	FtDatabaseSlot *slot;
	MemoryContext context;		/* reset with each round */
	bool		first;			/* nothing was looked at yet */
	FtTick		tick;			/* the newest */
	bool		failed;			/* the newest was ended by an error */
	TimestampTz tick_at;		/* the next tick */
	TimestampTz executor_retry_at;
	TimestampTz idle_since;
	int			stuck;
} Scheduler;

/*
 * Is the slot still this process's, if it ever was?  The caller holds the
 * lock.
 */
static bool
slot_is_mine(FtDatabaseSlot *slot)
{
	return ft_my_worker_id != 0 &&
		slot->scheduler.worker_id == ft_my_worker_id;
}

/*
 * The process ends without having said goodbye: have it started again, after
 * a while.
 */
static void
scheduler_exit(int code, Datum arg)
{
	FtDatabaseSlot *slot = (FtDatabaseSlot *) DatumGetPointer(arg);

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(slot))
	{
		bool		connecting = slot->scheduler.state == FT_WORKER_CONNECTING;

		ft_process_clear(&slot->scheduler);
		pg_atomic_write_u32(&slot->pending, 1);
		if (slot->quiesced == 0)
		{
			slot->failures++;
			slot->retry_at =
				TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											ft_backoff_ms(slot->failures,
														  ERROR_BACKOFF_MS,
														  ERROR_BACKOFF_LIMIT_MS));
			ft_last_error_set(&slot->error, ERRCODE_ADMIN_SHUTDOWN,
							  connecting ?
							  "the scheduler could not connect; the server log says why" :
							  "the scheduler was terminated");
		}
	}
	LWLockRelease(ft_shared->lock);
	ft_wake_launcher(false);
}

/*
 * Leave, unless work came up in the meantime.  The launcher starts a new
 * scheduler at the given time, or when work becomes pending.
 */
static void
leave(Scheduler *self, TimestampTz return_at, bool come_back)
{
	FtDatabaseSlot *slot = self->slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(slot))
	{
		if (!come_back && (pg_atomic_read_u32(&slot->pending) != 0 || slot->look))
		{
			LWLockRelease(ft_shared->lock);
			return;
		}
		if (come_back)
			pg_atomic_write_u32(&slot->pending, 1);
		slot->next_due = return_at;
		slot->leave = false;
		ft_process_clear(&slot->scheduler);
	}
	LWLockRelease(ft_shared->lock);
	ft_wake_launcher(false);
	proc_exit(0);
}

/* The extension is not, or no longer, in this database. */
static void
leave_without_extension(Scheduler *self)
{
	FtDatabaseSlot *slot = self->slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(slot))
	{
		/* It may have been created again since this was read. */
		if (pg_atomic_read_u32(&slot->pending) != 0)
		{
			LWLockRelease(ft_shared->lock);
			return;
		}
		slot->extension = FT_EXTENSION_ABSENT;
	}
	LWLockRelease(ft_shared->lock);
	leave(self, DT_NOEND, false);
}

/* Make the newest tick visible to others. */
static void
publish_tick(Scheduler *self)
{
	FtDatabaseSlot *slot = self->slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(slot))
	{
		if (self->tick.installed)
			slot->extension = FT_EXTENSION_PRESENT;
		slot->failures = 0;
		slot->last_tick = self->tick.now;
		slot->look_interval = (int) Min((GetCurrentTimestamp() - self->tick.now) / 1000 * LOOK_SHARE,
										LOOK_INTERVAL_LIMIT_MS);
		slot->next_due = self->tick.next_due;
		if (self->tick.roles_generation != 0)
			slot->roles_checked = self->tick.roles_generation;
		strlcpy(slot->paused_reason, self->tick.paused_reason,
				sizeof(slot->paused_reason));
		strlcpy(slot->sql_version, self->tick.sql_version,
				sizeof(slot->sql_version));
	}
	LWLockRelease(ft_shared->lock);

	/* Of databases that may have the extension one is looked at at a time. */
	if (self->first)
		ft_wake_launcher(false);
}

static void
publish_pass(Scheduler *self, TimestampTz started_at, int64 duration)
{
	FtDatabaseSlot *slot = self->slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(slot))
	{
		slot->pass.started_at = started_at;
		slot->pass.duration = duration;
		slot->pass.recovered = self->tick.pass.recovered;
	}
	LWLockRelease(ft_shared->lock);
}

static void
publish_state(Scheduler *self, FtWorkerState state)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot_is_mine(self->slot))
		self->slot->scheduler.state = state;
	LWLockRelease(ft_shared->lock);
}

/*
 * Does COMMIT PREPARED have to wake us whatever it commits?  See two_phase.c.
 * The flag is taken back first: who sets it meanwhile is not overlooked.
 */
static void
check_prepared(FtDatabaseSlot *slot)
{
	bool		unknown;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	unknown = slot->prepared_unknown;
	slot->prepared_unknown = false;
	LWLockRelease(ft_shared->lock);

	if (unknown && ft_two_phase_here())
	{
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		slot->prepared_unknown = true;
		LWLockRelease(ft_shared->lock);
	}
}

/*
 * One tick, in two transactions: the recovery pass, and what is left after
 * it.
 */
static void
run_tick(Scheduler *self, const char *reason)
{
	FtTick	   *tick = &self->tick;
	TimestampTz started_at = GetCurrentTimestamp();
	int64		duration;
	MemoryContext caller = CurrentMemoryContext;
	bool		working;

	memset(tick, 0, sizeof(FtTick));
	tick->now = started_at;

	ft_worker_begin("recovery pass");
	ft_tick_recover(tick);
	ft_worker_commit();
	MemoryContextSwitchTo(caller);
	duration = GetCurrentTimestamp() - started_at;

	if (!tick->installed)
	{
		publish_tick(self);
		return;
	}
	working = tick->paused_reason[0] == '\0';
	if (working)
	{
		List	   *owners;

		ft_worker_begin("planning");
		if (self->first || tick->pass.candidates > 0)
			ft_record_pass(started_at, duration, reason, &tick->pass);
		check_prepared(self->slot);
		ft_tick_plan(tick);
		owners = tick->owners;
		MemoryContextSwitchTo(caller);
		tick->owners = list_copy(owners);
		ft_worker_commit();
		MemoryContextSwitchTo(caller);

		publish_pass(self, started_at, duration);
	}
	publish_tick(self);

	if (tick->pass.candidates > 0 || tick->owners != NIL)
		self->idle_since = GetCurrentTimestamp();
	self->stuck = (working && tick->next_due <= tick->now) ? self->stuck + 1 : 0;
	if (!ft_pool_start_alone(self->slot, tick->suspect_owner, tick->now,
							 &self->executor_retry_at))
		self->executor_retry_at = ft_pool_start(self->slot, tick->owners, tick->now);
	tick->owners = NIL;
	self->first = false;
}

/* Run the tick; after an error, note it and when to try again. */
static void
try_tick(Scheduler *self, const char *reason)
{
	FtDatabaseSlot *slot = self->slot;

	publish_state(self, FT_WORKER_RUNNING);
	PG_TRY();
	{
		run_tick(self, reason);
		self->failed = false;
	}
	PG_CATCH();
	{
		ErrorData  *error = ft_worker_recover_from_error(self->context);
		int			failures;

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		failures = ++slot->failures;
		slot->last_tick = self->tick.now;
		ft_last_error_set(&slot->error, error->sqlerrcode,
						  error->message ? error->message : "");
		/* What was not seen, COMMIT PREPARED must not rely on. */
		slot->prepared_unknown = true;
		LWLockRelease(ft_shared->lock);

		self->failed = true;
		self->tick_at =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										ft_backoff_ms(failures, ERROR_BACKOFF_MS,
													  ERROR_BACKOFF_LIMIT_MS));
	}
	PG_END_TRY();
}

/* One batch of retention, when there is nothing else to do; true if more. */
static bool
try_retention(Scheduler *self)
{
	FtDatabaseSlot *slot = self->slot;
	volatile bool more = false;

	publish_state(self, FT_WORKER_RUNNING);
	PG_TRY();
	{
		ft_worker_begin("retention");
		more = ft_retention_batch(GetCurrentTimestamp());
		ft_worker_commit();
		MemoryContextSwitchTo(self->context);
	}
	PG_CATCH();
	{
		ErrorData  *error = ft_worker_recover_from_error(self->context);

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		ft_last_error_set(&slot->error, error->sqlerrcode,
						  error->message ? error->message : "");
		LWLockRelease(ft_shared->lock);
		more = false;
	}
	PG_END_TRY();

	if (!more)
	{
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		slot->last_retention = GetCurrentTimestamp();
		LWLockRelease(ft_shared->lock);
	}
	return more;
}

/* Does another database want the place of this process? */
static bool
place_is_wanted(void)
{
	bool		wanted;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	wanted = ft_shared->launcher.schedulers_wanted > 0;
	LWLockRelease(ft_shared->lock);
	return wanted;
}

static FtDecision
decide(Scheduler *self, TimestampTz now)
{
	FtSituation situation;

	memset(&situation, 0, sizeof(situation));
	situation.now = now;
	situation.tick_now = self->tick.now;
	situation.next_due = self->tick.next_due;
	situation.executor_retry_at = self->executor_retry_at;
	situation.idle_since = self->idle_since;
	situation.stuck = self->stuck;
	situation.recovery_interval = ft_recovery_interval;
	situation.idle_timeout = ft_worker_idle_timeout;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	situation.executors = ft_slot_executors(self->slot->dboid);
	LWLockRelease(ft_shared->lock);
	situation.place_wanted = place_is_wanted();

	return ft_decide(&situation);
}

/*
 * Take the slot this process was started for.  False if it is not wanted any
 * more, because it came too late or workers are kept out of the database.
 */
static bool
attach(const FtWorkerOrder *order, FtDatabaseSlot *slot)
{
	bool		wanted;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	wanted = slot->dboid == order->dboid &&
		slot->scheduler.worker_id == order->worker_id;
	if (wanted && slot->quiesced > 0)
	{
		ft_process_clear(&slot->scheduler);
		wanted = false;
	}
	if (wanted)
	{
		slot->leave = false;
		ft_worker_attach(&slot->scheduler, FT_WORKER_CONNECTING);
	}
	LWLockRelease(ft_shared->lock);
	return wanted;
}

/* What has woken this process, or is to do so later, is looked at now. */
static void
take_wake_ups(FtDatabaseSlot *slot)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&slot->pending, 0);
	slot->look = false;
	LWLockRelease(ft_shared->lock);
}

/* One round: look, act, and sleep or leave. */
static void
scheduler_round(Scheduler *self)
{
	FtDatabaseSlot *slot = self->slot;
	TimestampTz now;
	FtDecision	decision;
	bool		reloaded = false;
	bool		mine;
	bool		told_to_leave;
	bool		pending;
	TimestampTz known_at = 0;
	TimestampTz look_at;

	ft_worker_next_round(&reloaded);

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	mine = slot_is_mine(slot);
	told_to_leave = mine &&
		(slot->leave || slot->unwanted || slot->quiesced > 0);
	if (slot->executor_lost_at != 0)
		known_at = TimestampTzPlusMilliseconds(slot->executor_lost_at, SHUTDOWN_NOTICE_MS);
	look_at = ft_look_at(slot, GetCurrentTimestamp());
	LWLockRelease(ft_shared->lock);
	if (!mine)
		proc_exit(0);
	if (told_to_leave)
		leave(self, DT_NOEND, true);

	now = GetCurrentTimestamp();

	/*
	 * In a shutdown executors may end before this process hears of it: what
	 * they were at would be taken for what ended them.
	 */
	if (now < known_at && known_at - now <= SHUTDOWN_NOTICE_MS * INT64CONST(1000))
	{
		ft_worker_sleep(known_at, "FaultToleranceScheduler");
		return;
	}
	ft_pool_tidy(now);
	pending = pg_atomic_read_u32(&slot->pending) != 0;

	/* After an error wake-ups wait as well, or each would fill the log. */
	if (now >= self->tick_at || reloaded ||
		(!self->failed && (self->first || pending || now >= look_at)))
	{
		const char *reason = self->first ? "start" : pending ? "wake" :
			self->tick.next_due <= now ? "due" : "poll";

		take_wake_ups(slot);
		look_at = DT_NOEND;
		if (pending)
			self->stuck = 0;
		try_tick(self, reason);
		if (!self->failed && !self->tick.installed)
		{
			leave_without_extension(self);
			self->tick_at = GetCurrentTimestamp();
			return;
		}
		now = GetCurrentTimestamp();
	}

	if (self->failed)
	{
		if (place_is_wanted())
			leave(self, self->tick_at, false);
		publish_state(self, FT_WORKER_SLEEPING);
		ft_worker_sleep(self->tick_at, "FaultToleranceScheduler");
		return;
	}

	decision = decide(self, now);
	self->tick_at = decision.tick_at;
	if (decision.tick_at <= now)
		return;

	/* What is due and cannot be done may be retention, which is not urgent. */
	if (self->tick.paused_reason[0] == '\0' &&
		(self->stuck > 0 ||
		 TimestampDifferenceExceeds(slot->last_retention, now, RETENTION_INTERVAL_MS)))
	{
		/* More of it in the next round, after a look for more urgent work. */
		if (try_retention(self))
			return;
	}

	if (decision.leave && look_at == DT_NOEND)
	{
		leave(self, decision.return_at, false);
		return;
	}
	publish_state(self, FT_WORKER_SLEEPING);
	ft_worker_sleep(Min(decision.wake_at, look_at), "FaultToleranceScheduler");
}

void
ft_scheduler_main(Datum main_arg)
{
	FtWorkerOrder order;
	Scheduler	self;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	memset(&self, 0, sizeof(self));
	self.slot = &ft_shared->databases[order.slot];

	ft_worker_at_exit(scheduler_exit, PointerGetDatum(self.slot));
	if (!attach(&order, self.slot))
		proc_exit(0);

	ft_worker_signals();
	BackgroundWorkerInitializeConnectionByOid(order.dboid, InvalidOid, 0);
	ft_worker_pin_settings();
	ft_worker_pin("search_path", "pg_catalog, pg_temp");
	ft_worker_pin("lock_timeout", LOCK_TIMEOUT);

	/*
	 * A pass that is lost with a failed primary is made again by the new one,
	 * so it need not wait for standbys.
	 */
	ft_worker_pin("synchronous_commit", "local");

	ft_pool_init();
	self.context = AllocSetContextCreate(TopMemoryContext,
										 "fault_tolerance scheduler",
										 ALLOCSET_DEFAULT_SIZES);
	self.first = true;
	self.tick_at = DT_NOEND;
	self.executor_retry_at = DT_NOEND;
	self.idle_since = GetCurrentTimestamp();

	for (;;)
	{
		MemoryContextSwitchTo(self.context);
		MemoryContextReset(self.context);
		scheduler_round(&self);
	}
}
