/*
 * orchestration.pml: the orchestration engine as a set of transactions.
 *
 * One execution of four tasks, A, then B and C in parallel, then D that joins
 * them, is worked on by two executors, a scheduler, a worker outside and an
 * operator, while nature ends executors and the server.  Which status follows
 * from which event is not written here: transitions.pml has it from status.c.
 * What the code does beside is written here by hand; each piece names its
 * function.  What is left out, and why, is in doc/model/README.md.
 *
 * Each d_step is one transaction: it happens as a whole or not at all, which
 * is what a crash "in the middle" comes to.  After each of them valid() and
 * can_continue() are asserted.
 *
 * Without BUDGET every fault and order can come any number of times: all
 * states that can be reached are seen.  With BUDGET there are up to so many
 * orders and releases, and then what happens must come to an end that is one,
 * whatever else fails: no cycle, and nothing left to do but for an operator.
 *
 * Faults on purpose, for the test of the test: TWO_TRANSACTIONS,
 * NO_ATTEMPT_CHECK, OUT_OF_ORDER, RETRY_ALONE, START_ALONE, NO_RECOVERY,
 * LOSSES_FOR_NOTHING.
 */
#include "transitions.pml"

#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2			/* fault_tolerance.recovery_max_attempts */
#endif

#define TASKS 4
#define A 0
#define B 1
#define C 2
#define D 3

/* All but C have a compensation; C can be skipped; A is critical. */
#define HAS_COMPENSATION(k) ((k) != C)

/* Who is at a task: none, executors 1 and 2, one that is lost, one outside. */
#define NOBODY 0
#define LOST 3
#define OUTSIDE 4

#define TRANSIENT 1
#define PERMANENT 2
#define PARTIAL 3

/* ft.orchestration_executions */
byte execution = EXECUTION_PENDING;
bool paused;
byte tasks_left = TASKS;

/* ft.orchestration_tasks */
byte status[TASKS];
byte failures[TASKS];
byte losses[TASKS];
byte worker[TASKS];
byte order[TASKS];				/* completion_order, gaps closed */
byte unmet[TASKS];
bool due[TASKS];

/* Compensations of one execution run one at a time, so one set will do. */
byte compensation_failures;
byte compensation_losses;
byte compensation_worker;

/* ft.orchestration_checkpoints: what had ended at the newest; at the first, nothing had. */
byte checkpoint;

/* ft.orchestration_failures that are not recovered */
byte failure;					/* gravest type of what is due, 0 for none */
bool failure_whole;				/* one of them is of the execution as a whole */
bool failure_begun;				/* being compensated */
bool failure_given_up;

/* Executors: what each has claimed (task + 1, + TASKS for its compensation),
 * and whether that attempt is no more the current one. */
byte claim[3];
bool stale[3];

/* What stands in the world: effects of tasks not undone. */
bool effect[TASKS];

#ifdef BUDGET
byte budget;
#define SPEND budget > 0 -> budget--
#else
#define SPEND true
#endif

/* Of one transaction only. */
hidden byte i, j, n, u, top, task;
hidden byte goes_on, exhausted, compensable, lost_too, any;

#define ENDED(k) (status[k] == TASK_COMPLETED || status[k] == TASK_SKIPPED)
#define UNMET(k) ((k) == A -> 0 : ((k) == D -> (!ENDED(B)) + (!ENDED(C)) : (!ENDED(A))))
#define GOES_ON (!paused && (execution == EXECUTION_PENDING || execution == EXECUTION_RUNNING))
#define FINISHED (execution == EXECUTION_COMPLETED || execution == EXECUTION_COMPENSATED || execution == EXECUTION_CANCELLED)
#define COMPENSATES (execution == EXECUTION_COMPENSATING || execution == EXECUTION_ROLLING_BACK)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define ALIVE(e) ((e) == 1 || (e) == 2)

#define COMPENSATED_BEFORE(a, b) (status[a] == TASK_COMPENSATED && order[b] > order[a] && \
	(status[b] == TASK_COMPENSATING || status[b] == TASK_COMPENSATION_FAILED))

/* validation.c: ft.validate_execution() has nothing to say; and what is
 * recorded as done is done, and what is not is undone */
inline valid()
{
	n = 0;
	u = 0;
	for (i : 0 .. TASKS - 1) {
		n = n + (!ENDED(i));
		u = u + (status[i] == TASK_COMPENSATING);
		assert((TASKS_OF(execution) >> status[i]) & 1);
		assert(order[i] != 0 || !(status[i] == TASK_COMPLETED || status[i] == TASK_COMPENSATING ||
			status[i] == TASK_COMPENSATED || status[i] == TASK_COMPENSATION_FAILED));
		assert(order[i] == 0 || !(status[i] == TASK_PENDING || status[i] == TASK_RUNNING || status[i] == TASK_FAILED));
		assert(HAS_COMPENSATION(i) || !(status[i] == TASK_COMPENSATING || status[i] == TASK_COMPENSATED ||
			status[i] == TASK_COMPENSATION_FAILED));
		assert(status[i] != TASK_RUNNING || UNMET(i) == 0);
		assert(status[i] != TASK_PENDING || unmet[i] == UNMET(i));
		assert(due[i] == (GOES_ON && status[i] == TASK_PENDING && unmet[i] == 0));
		assert(!HAS_COMPENSATION(i) || effect[i] == (status[i] == TASK_COMPLETED ||
			status[i] == TASK_COMPENSATING || status[i] == TASK_COMPENSATION_FAILED));
		for (j : i + 1 .. TASKS - 1) {
			assert(order[i] != order[j] || order[i] == 0);
			assert(!COMPENSATED_BEFORE(i, j) && !COMPENSATED_BEFORE(j, i))
		}
	}
	assert(tasks_left == n);
	assert(!(execution == EXECUTION_RUNNING && n == 0));
	assert(!COMPENSATES || u > 0);
	assert(execution != EXECUTION_FAILED || failure != 0 || failure_begun || failure_given_up);
	assert(!(failure != 0 || failure_begun || failure_given_up) ||
		!(execution == EXECUTION_PENDING || execution == EXECUTION_RUNNING || execution == EXECUTION_COMPLETED ||
		execution == EXECUTION_ROLLED_BACK || execution == EXECUTION_COMPENSATED));
}

/* Somebody is at it, or it will be found out that nobody is. */
#define ATTENDED(k) ((ALIVE(worker[k]) && claim[worker[k]] == k + 1 && !stale[worker[k]]) || \
	worker[k] == OUTSIDE || \
	(worker[k] == LOST && (TASK_ON_RELEASE(TASK_RUNNING) != NO || losses[k] + 1 >= MAX_ATTEMPTS)))

/* An operator is not at a loss: something is possible that was not tried. */
#define OPERATOR_CAN (EXECUTION_ON_RETRY(execution) != NO || EXECUTION_ON_ROLL_BACK(execution) != NO || \
	EXECUTION_ON_COMPENSATE(execution) != NO)

/* No task is stranded, nor the execution: it has ended, or goes on, or an
 * operator has been told and can make it go on. */
inline can_continue()
{
	any = false;
	for (i : 0 .. TASKS - 1) {
		assert(status[i] != TASK_RUNNING || ATTENDED(i));
		any = any || due[i] || status[i] == TASK_RUNNING
	}
	assert(FINISHED ||
		(GOES_ON && any) ||
		(paused && OPERATOR_CAN) ||
		(paused && COMPENSATES) ||
		(execution == EXECUTION_FAILED && failure != 0) ||
		(execution == EXECUTION_FAILED && failure_given_up && OPERATOR_CAN) ||
		(COMPENSATES && (!ALIVE(compensation_worker) || claim[compensation_worker] > TASKS)) ||
		((execution == EXECUTION_ROLLED_BACK || execution == EXECUTION_COMPENSATION_FAILED) && OPERATOR_CAN))
}

/* The executors are alike: which is called the first does not matter. */
#define OTHER(e) ((e) == 1 -> 2 : ((e) == 2 -> 1 : (e)))
inline arrange()
{
	if
	:: claim[1] < claim[2] || (claim[1] == claim[2] && stale[1] < stale[2]) ->
		n = claim[1];
		claim[1] = claim[2];
		claim[2] = n;
		n = stale[1];
		stale[1] = stale[2];
		stale[2] = n;
		for (i : 0 .. TASKS - 1) {
			worker[i] = OTHER(worker[i])
		}
		compensation_worker = OTHER(compensation_worker)
	:: else
	fi
}

inline check()
{
#ifndef BUDGET					/* its states are among those without */
	valid();
	can_continue();
#endif
	arrange()
}

/* ready.c: ft_ready_recount */
inline recount()
{
	goes_on = GOES_ON;
	tasks_left = 0;
	for (i : 0 .. TASKS - 1) {
		tasks_left = tasks_left + (!ENDED(i));
		unmet[i] = UNMET(i);
		due[i] = goes_on && status[i] == TASK_PENDING && unmet[i] == 0
	}
}

/* ready.c: ft_ready_successors */
inline met(k)
{
	if
	:: status[k] == TASK_PENDING ->
		unmet[k] = unmet[k] - 1;
		due[k] = unmet[k] == 0 && GOES_ON
	:: else
	fi
}

inline successors(k)
{
	if
	:: k == A -> met(B); met(C)
	:: k == B || k == C -> met(D)
	:: else
	fi
}

inline no_order(k)
{
	if
	:: order[k] != 0 ->
		for (j : 0 .. TASKS - 1) {
			if
			:: order[j] > order[k] -> order[j] = order[j] - 1
			:: else
			fi
		}
		order[k] = 0
	:: else
	fi
}

/* The attempts of others at a task are not the current one any more. */
inline outdate(what)
{
	stale[1] = stale[1] || claim[1] == what;
	stale[2] = stale[2] || claim[2] == what
}

inline let_go(e)
{
	claim[e] = 0;
	stale[e] = false
}

/* Only the current attempt is believed, whatever one that was taken for lost
 * reports later. */
#ifdef NO_ATTEMPT_CHECK
#define CURRENT(e, k) (status[k] == TASK_RUNNING)
#else
#define CURRENT(e, k) (status[k] == TASK_RUNNING && !stale[e])
#endif

/* failure.c: record; the caller has seen to it that the execution can fail */
inline record(type, whole)
{
	execution = EXECUTION_ON_FAIL(execution);
	failure = MAX(failure, type);
	failure_whole = failure_whole || whole;
	recount()
}

/* failure.c: classify, of what is not transient by its SQLSTATE */
inline classify()
{
	compensable = (status[A] == TASK_COMPLETED || status[B] == TASK_COMPLETED || status[D] == TASK_COMPLETED)
}

/* failure.c: ft_failure_of_task */
inline fail_task(k, transient)
{
	status[k] = TASK_ON_FAIL(status[k]);
	worker[k] = NOBODY;
	failures[k] = (failures[k] < MAX_ATTEMPTS -> failures[k] + 1 : failures[k]);
	classify();
	u = (transient -> TRANSIENT : (compensable -> PARTIAL : PERMANENT));
	record(u, false)
}

#define CAN_FAIL_TASK (TASK_ON_FAIL(TASK_RUNNING) != NO && EXECUTION_ON_FAIL(execution) != NO)

/* step_lane.c: ft_step_claim; begun is false where another has the execution locked */
inline claim_step(e, k, begun)
{
	outdate(k + 1);
	claim[e] = k + 1;
	status[k] = TASK_ON_START(TASK_PENDING);
	worker[k] = e;
	due[k] = false;
	if
	:: begun && execution == EXECUTION_PENDING -> execution = EXECUTION_ON_START_TASK(EXECUTION_PENDING)
	:: else
	fi
}

#define CAN_CLAIM(e, k) (claim[e] == 0 && due[k] && TASK_ON_START(TASK_PENDING) != NO)

/* The effect of a task that completes: never twice, unless undone between. */
inline take_effect(k)
{
	assert(!effect[k]);
	effect[k] = true
}

inline complete_order(k)
{
	top = 0;
	for (i : 0 .. TASKS - 1) {
		top = MAX(top, order[i])
	}
	order[k] = top + 1
}

/* checkpoint.c: ft_checkpoint_create */
inline make_checkpoint()
{
	checkpoint = 0;
	for (i : 0 .. TASKS - 1) {
		checkpoint = checkpoint | (ENDED(i) << i)
	}
}

inline after_completion(k)
{
	if
	:: k == A && status[k] == TASK_COMPLETED -> make_checkpoint()
	:: else
	fi
}

/* step.c: end_step, with the step's own SQL in the same transaction */
inline run_step(e, k, skipped)
{
	if
	:: CURRENT(e, k) && (execution == EXECUTION_PENDING || execution == EXECUTION_RUNNING || execution == EXECUTION_FAILED) ->
		assert(!stale[e]);
		tasks_left = tasks_left - 1;
		if
		:: execution != EXECUTION_FAILED ->
			execution = (tasks_left == 0 -> EXECUTION_ON_COMPLETE(EXECUTION_RUNNING) : EXECUTION_ON_START_TASK(EXECUTION_RUNNING))
		:: else
		fi;
		if
		:: skipped -> status[k] = TASK_ON_SKIP(TASK_RUNNING)
		:: else ->
			take_effect(k);
			complete_order(k);
			status[k] = TASK_ON_COMPLETE(TASK_RUNNING)
		fi;
		worker[k] = NOBODY;
		failures[k] = 0;
		after_completion(k);
		successors(k)
	:: else						/* rolled back */
	fi;
	let_go(e)
}

/* step.c: ft_step_failed */
inline fail_step(e, k, transient)
{
	if
	:: CURRENT(e, k) ->
		assert(!stale[e]);
		fail_task(k, transient)
	:: else
	fi;
	let_go(e)
}

/* step_release.c: ft_step_release */
inline release_step(e, k)
{
	if
	:: CURRENT(e, k) && TASK_ON_RELEASE(TASK_RUNNING) != NO ->
		status[k] = TASK_ON_RELEASE(TASK_RUNNING);
		worker[k] = NOBODY;
		recount()
	:: else
	fi;
	let_go(e)
}

/* compensation_claim.c: lock_next_task: of what is to be compensated, what completed last */
#ifdef OUT_OF_ORDER
#define BEFORE(a, b) (order[a] < order[b])
#else
#define BEFORE(a, b) (order[a] > order[b])
#endif
#define NEXT_COMPENSATION(k) (status[k] == TASK_COMPENSATING && \
	(k == A || status[A] != TASK_COMPENSATING || BEFORE(k, A)) && \
	(k == B || status[B] != TASK_COMPENSATING || BEFORE(k, B)) && \
	(k == D || status[D] != TASK_COMPENSATING || BEFORE(k, D)))

/* compensation.c: give_up */
inline give_up(k)
{
	status[k] = TASK_ON_FAIL_COMPENSATION(status[k]);
	execution = EXECUTION_ON_FAIL_COMPENSATION(execution);
	failure_given_up = failure_given_up || failure_begun;
	failure_begun = false;
	compensation_failures = 0;
	compensation_losses = 0;
	compensation_worker = NOBODY
}

/* compensation_claim.c: claim_of_execution, and recover_lost before it, which may give up */
#define CAN_CLAIM_COMPENSATION(e, k) (claim[e] == 0 && COMPENSATES && !paused && NEXT_COMPENSATION(k) && \
	(compensation_worker == NOBODY || compensation_worker == LOST || compensation_worker == e))

inline claim_compensation(e, k)
{
	compensation_losses = compensation_losses + (compensation_worker != NOBODY);
	if
	:: compensation_losses >= MAX_ATTEMPTS -> give_up(k)
	:: else ->
		outdate(k + 1 + TASKS);
		claim[e] = k + 1 + TASKS;
		compensation_worker = e
	fi
}

#ifdef NO_ATTEMPT_CHECK
#define CURRENT_COMPENSATION(e, k) (status[k] == TASK_COMPENSATING && COMPENSATES)
#else
#define CURRENT_COMPENSATION(e, k) (status[k] == TASK_COMPENSATING && COMPENSATES && !stale[e])
#endif

/* compensation.c: ft_compensation_finish */
inline finish_recovery()
{
	if
	:: status[A] != TASK_COMPENSATING && status[B] != TASK_COMPENSATING && status[D] != TASK_COMPENSATING ->
		execution = (execution == EXECUTION_ROLLING_BACK -> EXECUTION_ON_FINISH_ROLLBACK(execution) : EXECUTION_ON_FINISH_COMPENSATION(execution));
		failure_begun = false
	:: else
	fi
}

/* compensation.c: ft_compensation_run */
inline run_compensation(e, k)
{
	if
	:: CURRENT_COMPENSATION(e, k) ->
		assert(!stale[e]);
		assert(effect[k]);
		effect[k] = false;
		/* in reverse order of completion */
		for (i : 0 .. TASKS - 1) {
			assert(order[i] <= order[k] || !effect[i] || !HAS_COMPENSATION(i) || status[i] != TASK_COMPENSATING)
		}
		status[k] = (execution == EXECUTION_ROLLING_BACK -> TASK_ON_UNDO(status[k]) : TASK_ON_FINISH_COMPENSATION(status[k]));
		if
		:: status[k] == TASK_PENDING -> no_order(k)
		:: else
		fi;
		compensation_failures = 0;
		compensation_losses = 0;
		compensation_worker = NOBODY;
		finish_recovery()
	:: else
	fi;
	let_go(e)
}

/* compensation.c: ft_compensation_failed */
inline fail_compensation(e, k)
{
	if
	:: CURRENT_COMPENSATION(e, k) ->
		compensation_failures++;
		if
		:: compensation_failures >= MAX_ATTEMPTS -> give_up(k)
		:: else -> compensation_worker = NOBODY
		fi
	:: else
	fi;
	let_go(e)
}

/* recovery_plan.c: decide_retry, decide_rollback, decide_compensation give
 * each task its event; recovery.c: act carries it out.  An event that is not
 * possible is an error, and nothing happens. */
inline apply(k, to, afresh)
{
	assert(to != NO);
	if
	:: status[k] == TASK_RUNNING -> worker[k] = NOBODY
	:: else
	fi;
	status[k] = to;
	if
	:: afresh ->
		failures[k] = 0;
		losses[k] = 0;
		no_order(k);
		if
		:: !HAS_COMPENSATION(k) -> effect[k] = false	/* nothing to undo */
		:: else
		fi
	:: else
	fi
}

inline settle_failures()
{
	failure = 0;
	failure_whole = false;
	failure_begun = false;
	failure_given_up = false
}

inline retry(by_hand, lost)
{
	lost_too = lost;
	execution = EXECUTION_ON_RETRY(execution);
	for (i : 0 .. TASKS - 1) {
		if
		:: status[i] == TASK_FAILED || (status[i] == TASK_RUNNING && lost_too) ->
			if
			:: status[i] == TASK_RUNNING && failures[i] < MAX_ATTEMPTS -> failures[i] = failures[i] + 1
			:: else
			fi;
			apply(i, TASK_ON_RETRY(status[i]), false);
			if
			:: by_hand -> failures[i] = 0; losses[i] = 0
			:: else
			fi
		:: else
		fi
	}
	settle_failures();
#ifndef RETRY_ALONE
	recount();
#endif
	/* execution.c: ft_execution_complete_if_done */
	if
	:: EXECUTION_ON_COMPLETE(execution) != NO && ENDED(A) && ENDED(B) && ENDED(C) && ENDED(D) ->
		execution = EXECUTION_ON_COMPLETE(execution)
	:: else
	fi
}

inline begin_undoing()
{
	failure_begun = failure_begun || failure != 0 || failure_given_up;
	failure = 0;
	failure_whole = false;
	failure_given_up = false;
	compensation_failures = 0;
	compensation_losses = 0;
	recount();
	finish_recovery()
}

inline roll_back(mask)
{
	u = mask;
	execution = EXECUTION_ON_ROLL_BACK(execution);
	for (i : 0 .. TASKS - 1) {
		if
		:: ENDED(i) && ((u >> i) & 1)
		:: ENDED(i) && !((u >> i) & 1) && status[i] == TASK_COMPLETED && HAS_COMPENSATION(i) ->
			apply(i, TASK_ON_COMPENSATE(status[i]), false)
		:: status[i] == TASK_COMPENSATING || status[i] == TASK_COMPENSATION_FAILED ->
			apply(i, TASK_ON_COMPENSATE(status[i]), false)
		:: else ->
			apply(i, TASK_ON_RESET(status[i]), true)
		fi
	}
	begin_undoing()
}

inline compensate()
{
	execution = EXECUTION_ON_COMPENSATE(execution);
	for (i : 0 .. TASKS - 1) {
		if
		:: (status[i] == TASK_COMPLETED && HAS_COMPENSATION(i)) || status[i] == TASK_COMPENSATING ||
			status[i] == TASK_COMPENSATION_FAILED ->
			apply(i, TASK_ON_COMPENSATE(status[i]), false)
		:: status[i] == TASK_PENDING || status[i] == TASK_RUNNING ->
			apply(i, TASK_ON_CANCEL(status[i]), false)
		:: else
		fi
	}
	begin_undoing()
}

/* step.c: recover_lost */
inline recover_lost(k)
{
	if
	:: losses[k] + 1 >= MAX_ATTEMPTS -> fail_task(k, true)
	:: else ->
#ifndef LOSSES_FOR_NOTHING
		losses[k] = losses[k] + 1;
#endif
		status[k] = TASK_ON_RELEASE(TASK_RUNNING);
		worker[k] = NOBODY;
		recount()
	fi
}

#define CAN_RECOVER_LOST(k) (status[k] == TASK_RUNNING && worker[k] == LOST && \
	(losses[k] + 1 >= MAX_ATTEMPTS -> CAN_FAIL_TASK : TASK_ON_RELEASE(TASK_RUNNING) != NO))

/* auto_recovery.c: recover_candidate, decide_action */
inline recover()
{
	exhausted = false;
	for (i : 0 .. TASKS - 1) {
		exhausted = exhausted || (status[i] == TASK_FAILED && failures[i] >= MAX_ATTEMPTS) ||
			(status[i] == TASK_RUNNING && failure_whole && failures[i] + 1 >= MAX_ATTEMPTS)
	}
	classify();
	if
	:: failure == TRANSIENT && !exhausted ->
		assert(EXECUTION_ON_RETRY(execution) != NO);
		retry(false, failure_whole)
	:: failure == PARTIAL || (failure == TRANSIENT && exhausted && compensable) ->
		assert(EXECUTION_ON_COMPENSATE(execution) != NO);
		compensate()
	:: else ->
		assert(EXECUTION_ON_ROLL_BACK(execution) != NO);
		roll_back(checkpoint)
	fi
}

/* The server: an executor is gone, and what it had claimed has nobody. */
inline lose(e)
{
	for (i : 0 .. TASKS - 1) {
		if
		:: worker[i] == e -> worker[i] = LOST
		:: else
		fi
	}
	if
	:: compensation_worker == e -> compensation_worker = LOST
	:: else
	fi;
	let_go(e)
}

/* control.c: ft_cancel */
inline cancel()
{
	execution = EXECUTION_ON_CANCEL(execution);
	for (i : 0 .. TASKS - 1) {
		if
		:: status[i] == TASK_PENDING || status[i] == TASK_RUNNING || status[i] == TASK_COMPENSATING ||
			status[i] == TASK_COMPENSATION_FAILED ->
			apply(i, TASK_ON_CANCEL(status[i]), false)
		:: else
		fi
	}
	settle_failures();
	recount()
}

/* task.c: ft_start_task, by a worker outside; by the table alone, not by due_at */
#define CAN_START(k) (TASK_ON_START(status[k]) != NO && EXECUTION_ON_START_TASK(execution) != NO && \
	UNMET(k) == 0 && !paused)

inline start_outside(k)
{
	outdate(k + 1);
	status[k] = TASK_ON_START(status[k]);
	worker[k] = OUTSIDE;
	execution = EXECUTION_ON_START_TASK(execution);
#ifndef START_ALONE
	recount()
#endif
}

/* task.c: ft_complete_task */
inline complete_outside(k)
{
	take_effect(k);
	complete_order(k);
	status[k] = TASK_ON_COMPLETE(status[k]);
	worker[k] = NOBODY;
	failures[k] = 0;
	after_completion(k);
	recount();
	if
	:: EXECUTION_ON_COMPLETE(execution) != NO && tasks_left == 0 -> execution = EXECUTION_ON_COMPLETE(execution)
	:: else
	fi;
	recount()
}

#define IS_AT_STEP(e) (1 <= claim[e] && claim[e] <= TASKS)
#define IS_OUTSIDE(k) (status[k] == TASK_RUNNING && worker[k] == OUTSIDE)
#define CAN_FAIL_OUTSIDE(k) (IS_OUTSIDE(k) && CAN_FAIL_TASK)
#define fail_outside(k) fail_task(k, false)

#define EACH_TASK(guard_, action_) \
	:: d_step { guard_(A) -> action_(A); task = 0 } \
	:: d_step { guard_(B) -> action_(B); task = 0 } \
	:: d_step { guard_(C) -> action_(C); task = 0 } \
	:: d_step { guard_(D) -> action_(D); task = 0 }

proctype executor(byte e)
{
end:
	do
	:: atomic {
		if
		:: d_step { CAN_CLAIM(e, A) -> claim_step(e, A, true); task = 0 }
		:: d_step { CAN_CLAIM(e, A) && execution == EXECUTION_PENDING -> claim_step(e, A, false); task = 0 }
		:: d_step { CAN_CLAIM(e, B) -> claim_step(e, B, true); task = 0 }
		:: d_step { CAN_CLAIM(e, C) -> claim_step(e, C, true); task = 0 }
		:: d_step { CAN_CLAIM(e, D) -> claim_step(e, D, true); task = 0 }
#ifdef TWO_TRANSACTIONS
		/* the work commits, and only later the record of it */
		:: d_step { IS_AT_STEP(e) && !stale[e] && claim[e] != C + 1 -> task = claim[e] - 1; take_effect(task); task = 0 }
#endif
		:: d_step { IS_AT_STEP(e) -> task = claim[e] - 1; run_step(e, task, false); task = 0 }
		:: d_step { claim[e] == C + 1 -> run_step(e, C, true); task = 0 }
		:: d_step { IS_AT_STEP(e) && CAN_FAIL_TASK -> task = claim[e] - 1; fail_step(e, task, true); task = 0 }
		:: d_step { IS_AT_STEP(e) && CAN_FAIL_TASK -> task = claim[e] - 1; fail_step(e, task, false); task = 0 }
		:: d_step { IS_AT_STEP(e) && SPEND; task = claim[e] - 1; release_step(e, task); task = 0 }
		:: d_step { CAN_CLAIM_COMPENSATION(e, A) -> claim_compensation(e, A); task = 0 }
		:: d_step { CAN_CLAIM_COMPENSATION(e, B) -> claim_compensation(e, B); task = 0 }
		:: d_step { CAN_CLAIM_COMPENSATION(e, D) -> claim_compensation(e, D); task = 0 }
		:: d_step { claim[e] > TASKS -> task = claim[e] - 1 - TASKS; run_compensation(e, task); task = 0 }
		:: d_step { claim[e] > TASKS -> task = claim[e] - 1 - TASKS; fail_compensation(e, task); task = 0 }
		/* it is ended by itself: out of memory, a FATAL error, kill -9 */
		:: d_step { claim[e] != 0 -> lose(e); task = 0 }
		fi;
		d_step { check() }
	}
	od
}

/* tick.c: ft_tick_recover; and what happens to the server */
proctype scheduler()
{
end:
	do
	:: atomic {
		if
		EACH_TASK(CAN_RECOVER_LOST, recover_lost)
#ifndef NO_RECOVERY
		:: d_step { failure != 0 -> recover(); task = 0 }
		/* auto_recovery.c: give_up_old; nobody came to it in time */
		:: d_step { failure != 0 -> failure = 0; failure_whole = false; failure_given_up = true; task = 0 }
#endif
		/* kill -9 of the postmaster, immediate shutdown, loss of power */
		:: d_step { claim[1] != 0 && claim[2] != 0 -> lose(1); lose(2); task = 0 }
		fi;
		d_step { check() }
	}
	od
}

/* A worker outside, and what operators order: task.c, recovery.c, control.c */
proctype outside()
{
end:
	do
	:: atomic {
		if
		:: d_step { CAN_START(A) && SPEND; start_outside(A); task = 0 }
		:: d_step { CAN_START(B) && SPEND; start_outside(B); task = 0 }
		:: d_step { CAN_START(C) && SPEND; start_outside(C); task = 0 }
		:: d_step { CAN_START(D) && SPEND; start_outside(D); task = 0 }
		EACH_TASK(IS_OUTSIDE, complete_outside)
		EACH_TASK(CAN_FAIL_OUTSIDE, fail_outside)
		:: d_step { EXECUTION_ON_RETRY(execution) != NO && SPEND; retry(true, true); task = 0 }
		:: d_step { EXECUTION_ON_ROLL_BACK(execution) != NO && SPEND; roll_back(checkpoint); task = 0 }
		:: d_step { EXECUTION_ON_ROLL_BACK(execution) != NO && SPEND; roll_back(0); task = 0 }
		:: d_step { EXECUTION_ON_COMPENSATE(execution) != NO && SPEND; compensate(); task = 0 }
		:: d_step { EXECUTION_ON_CANCEL(execution) != NO && SPEND; cancel(); task = 0 }
		:: d_step { !FINISHED && SPEND; paused = !paused; recount(); task = 0 }
		:: d_step { EXECUTION_ON_FAIL(execution) != NO && SPEND; record(TRANSIENT, true); task = 0 }
		:: d_step { EXECUTION_ON_FAIL(execution) != NO && SPEND; classify(); record((compensable -> PARTIAL : PERMANENT), true); task = 0 }
		:: d_step { !FINISHED && SPEND; make_checkpoint(); task = 0 }
		fi;
		d_step { check() }
	}
	od
}

init
{
	d_step {
		for (i : 0 .. TASKS - 1) {
			status[i] = TASK_PENDING
		}
		recount();
		check()
	}
#ifdef BUDGET
	do
	:: budget < BUDGET -> budget++
	:: break
	od;
#endif
	atomic {
		run executor(1);
		run executor(2);
		run scheduler();
		run outside()
	}
#ifdef BUDGET
	/* Nothing can happen any more: it has ended, or waits for an operator. */
end:
	timeout ->
	assert(FINISHED || paused || execution == EXECUTION_ROLLED_BACK || execution == EXECUTION_COMPENSATION_FAILED ||
		(execution == EXECUTION_FAILED && failure_given_up))
#endif
}
