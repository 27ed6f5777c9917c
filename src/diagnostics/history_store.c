/*-------------------------------------------------------------------------
 *
 * history_store.c
 *	  The samples of what sessions did, kept in shared memory.
 *
 * Three rings share what fault_tolerance.history_size gives: samples, runs and
 * texts.  A run is what one session did for as many samples in a row as
 * nothing of it changed: a session that waits ten minutes for a lock takes one
 * run instead of 600 rows.  A run refers to the texts of its session, which
 * are stored once for a query and, if they are the same, once for many.
 *
 * Everything is numbered from the start of the server on, and what a number
 * refers to is gone when the ring has come round to it.  So that a run and a
 * text that go on being used do not go while what is younger stays, one that
 * is older than half of its ring is written anew when it is used again.
 *
 * Locking: shared->lock.  Only the task of the sampler writes, and one task
 * runs at a time, so the writer reads without it and takes it exclusively to
 * append a sample, when everything has been gathered.  Readers hold it, shared,
 * for portions of the copy that they make.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/history.h"
#include "guc.h"
#include "shmem.h"

/* Shares of the memory, in 16ths; runs get the rest. */
#define SAMPLE_SHARE	1
#define TEXT_SHARE		5

/* Places in which a text that was stored before is looked for. */
#define KNOWN_TEXTS		4096

/* How many runs are copied before the lock is given back for a moment. */
#define RUNS_AT_ONCE	4096

typedef struct Text
{
	uint32		length;			/* all of it, aligned */
	uint32		hash;
	uint16		application;	/* lengths of what follows, with ends */
	uint16		backend_type;
	uint16		traceparent;
	uint16		query;
} Text;

typedef struct HistoryShared
{
	LWLock	   *lock;

	/* constant */
	uint64		sample_capacity;
	uint64		run_capacity;
	uint64		text_capacity;	/* bytes */
	FtHistorySample *samples;
	FtHistoryRun *runs;
	char	   *texts;
	uint64	   *last_run;		/* of each procno; 0: none */
	uint64	   *known;			/* texts, by their hash; 0: none */

	uint64		next_sample;	/* from 1 */
	uint64		next_run;		/* from 1 */
	uint64		next_text;		/* from text_capacity, so that 0 is none */
	uint64		gone_until;		/* last sample of a run that has gone */
	int64		inferred;
	int64		longest;
} HistoryShared;

static HistoryShared *shared = NULL;

/* How many processes and prepared transactions there can be. */
int
ft_history_slots(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS + max_prepared_xacts;
}

static Size
ring_size(void)
{
	return mul_size(ft_history_size, 1024);
}

static Size
history_size(void)
{
	Size		size = MAXALIGN(sizeof(HistoryShared));

	size = add_size(size, MAXALIGN(mul_size(sizeof(uint64), ft_history_slots())));
	size = add_size(size, MAXALIGN(sizeof(uint64) * KNOWN_TEXTS));
	return add_size(size, ring_size());
}

static void
history_create(void *memory, LWLockPadded *locks)
{
	char	   *next = (char *) memory + MAXALIGN(sizeof(HistoryShared));
	Size		unit = ring_size() / 16;

	shared->lock = &locks[0].lock;
	shared->last_run = (uint64 *) next;
	next += MAXALIGN(sizeof(uint64) * ft_history_slots());
	shared->known = (uint64 *) next;
	next += MAXALIGN(sizeof(uint64) * KNOWN_TEXTS);

	shared->texts = next;
	shared->text_capacity = TYPEALIGN_DOWN(MAXIMUM_ALIGNOF, unit * TEXT_SHARE);
	next += shared->text_capacity;
	shared->samples = (FtHistorySample *) next;
	shared->sample_capacity = unit * SAMPLE_SHARE / sizeof(FtHistorySample);
	next += shared->sample_capacity * sizeof(FtHistorySample);
	shared->runs = (FtHistoryRun *) next;
	shared->run_capacity = unit * (16 - SAMPLE_SHARE - TEXT_SHARE) / sizeof(FtHistoryRun);

	shared->next_sample = 1;
	shared->next_run = 1;
	shared->next_text = shared->text_capacity;
}

static const FtShmemPart part = {
	.name = "history",
	.size = history_size,
	.locks = 1,
	.create = history_create,
	.address = (void **) &shared,
};

void
ft_history_init(void)
{
	StaticAssertStmt(sizeof(FtHistoryState) % sizeof(int64) == 0,
					 "a state must have no padding at its end");

	ft_shmem_register(&part);
}

bool
ft_history_there(void)
{
	return shared != NULL;
}

static FtHistoryRun *
run_at(uint64 number)
{
	return &shared->runs[number % shared->run_capacity];
}

static FtHistorySample *
sample_at(uint64 number)
{
	return &shared->samples[number % shared->sample_capacity];
}

static Text *
text_at(uint64 offset)
{
	return (Text *) (shared->texts + offset % shared->text_capacity);
}

/* Is it still there? */
static bool
text_there(uint64 offset)
{
	return offset != 0 && offset + shared->text_capacity >= shared->next_text;
}

/* Will it be there for a while? */
static bool
text_young(uint64 offset)
{
	return offset != 0 && offset + shared->text_capacity / 2 >= shared->next_text;
}

static bool
run_there(uint64 number)
{
	return number != 0 && number + shared->run_capacity >= shared->next_run;
}

static bool
run_young(uint64 number)
{
	return number != 0 && number + shared->run_capacity / 2 >= shared->next_run;
}

/*
 * The texts of a session, if they were stored when it was seen last: it is
 * still the same statement.  To be called by the writer only.
 */
uint64
ft_history_known_text(int procno, const FtHistoryState *state)
{
	uint64		number = shared->last_run[procno];
	const FtHistoryState *last;

	if (!run_there(number))
		return 0;
	last = &run_at(number)->state;
	if (last->pid != state->pid || last->backend_start != state->backend_start ||
		last->query_start != state->query_start || last->xid != state->xid ||
		!text_young(last->texts_at))
		return 0;
	return last->texts_at;
}

/*
 * Texts behind one another, each with its end, and a head before them, as they
 * are stored.
 */
static Text *
make_text(const FtHistoryTexts *texts)
{
	Text		lengths = {0};
	Text	   *head;
	char	   *to;

	lengths.application = strlen(texts->application) + 1;
	lengths.backend_type = strlen(texts->backend_type) + 1;
	lengths.traceparent = strlen(texts->traceparent) + 1;
	lengths.query = texts->query_length + 1;
	lengths.length = MAXALIGN(sizeof(Text) + lengths.application + lengths.backend_type +
							  lengths.traceparent + lengths.query);

	head = palloc0(lengths.length);
	*head = lengths;
	to = (char *) head + sizeof(Text);
	memcpy(to, texts->application, head->application);
	to += head->application;
	memcpy(to, texts->backend_type, head->backend_type);
	to += head->backend_type;
	memcpy(to, texts->traceparent, head->traceparent);
	to += head->traceparent;
	memcpy(to, texts->query, texts->query_length);
	head->hash = hash_bytes((unsigned char *) head, head->length);
	return head;
}

/* The texts that are new, by draft; NULL for the rest. */
static Text **
make_texts(const FtHistoryDraftList *drafts)
{
	Text	  **made = palloc0(sizeof(Text *) * (drafts->count + 1));

	for (int i = 0; i < drafts->count; i++)
	{
		if (drafts->items[i].state.texts_at == 0)
			made[i] = make_text(&drafts->items[i].texts);
	}
	return made;
}

/* Store texts, unless the same are there already. */
static uint64
store_text(const Text *head)
{
	uint64	   *known = &shared->known[head->hash % KNOWN_TEXTS];
	uint64		position;

	if (text_young(*known) && memcmp(text_at(*known), head, head->length) == 0)
		return *known;

	/* one does not go round the end of the ring */
	position = shared->next_text % shared->text_capacity;
	if (position + head->length > shared->text_capacity)
		shared->next_text += shared->text_capacity - position;
	*known = shared->next_text;
	memcpy(text_at(shared->next_text), head, head->length);
	shared->next_text += head->length;
	return *known;
}

/* Go on with the run of a session, or begin another. */
static void
store_state(const FtHistoryDraft *draft)
{
	uint64		number = shared->last_run[draft->procno];
	FtHistoryRun *run = run_at(number);

	if (run_young(number) && run->last_sample == shared->next_sample - 1 &&
		memcmp(&run->state, &draft->state, sizeof(FtHistoryState)) == 0)
	{
		run->last_sample = shared->next_sample;
		return;
	}
	number = shared->next_run++;
	run = run_at(number);
	if (number > shared->run_capacity)
		shared->gone_until = Max(shared->gone_until, run->last_sample);
	run->first_sample = run->last_sample = shared->next_sample;
	run->state = draft->state;
	shared->last_run[draft->procno] = number;
}

/*
 * Keep a sample.  Its duration is noted last, so that it includes this.
 */
void
ft_history_append(FtHistorySample *sample, FtHistoryDraftList *drafts, instr_time started)
{
	Text	  **made = make_texts(drafts);
	instr_time	spent;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < drafts->count; i++)
	{
		FtHistoryDraft *draft = &drafts->items[i];

		if (made[i] != NULL)
			draft->state.texts_at = store_text(made[i]);
		store_state(draft);
	}
	INSTR_TIME_SET_CURRENT(spent);
	INSTR_TIME_SUBTRACT(spent, started);
	sample->duration = (int32) Min((int64) INSTR_TIME_GET_MICROSEC(spent), PG_INT32_MAX);
	*sample_at(shared->next_sample) = *sample;
	shared->next_sample++;
	shared->inferred += sample->source != FT_SOURCE_LOCK_MANAGER;
	shared->longest = Max(shared->longest, sample->duration);
	LWLockRelease(shared->lock);
}

/* The oldest sample that is still there, under the lock. */
static uint64
oldest_sample(void)
{
	return shared->next_sample > shared->sample_capacity ?
		shared->next_sample - shared->sample_capacity : 1;
}

static uint64
oldest_run(void)
{
	return shared->next_run > shared->run_capacity ?
		shared->next_run - shared->run_capacity : 1;
}

/*
 * The first sample of which all runs are still there.  Where sessions change
 * what they do all the time, runs go before samples do.
 */
static uint64
oldest_complete_sample(void)
{
	return Min(Max(oldest_sample(), shared->gone_until + 1), shared->next_sample);
}

/* Copy the samples of a time. */
static void
copy_samples(FtHistory *history, TimestampTz from, TimestampTz to)
{
	uint64		oldest;
	int			count = 0;

	history->samples = MemoryContextAllocHuge(CurrentMemoryContext,
											  sizeof(FtHistorySample) * shared->sample_capacity);
	LWLockAcquire(shared->lock, LW_SHARED);
	oldest = oldest_complete_sample();
	for (uint64 i = oldest; i < shared->next_sample; i++)
	{
		const FtHistorySample *sample = sample_at(i);

		/* the clock may have been set back: keep them in one piece */
		if (history->first_sample == 0 && (sample->at < from || sample->at > to))
			continue;
		if (sample->at > to)
			break;
		if (history->first_sample == 0)
			history->first_sample = i;
		history->last_sample = i;
		history->samples[count++] = *sample;
	}
	LWLockRelease(shared->lock);
}

static bool
run_wanted(const FtHistory *history, const FtHistoryRun *run, uint8 flags)
{
	return run->first_sample <= history->last_sample &&
		run->last_sample >= history->first_sample &&
		(run->state.flags & flags) == flags;
}

/*
 * Copy the next portion of runs.  Returns false when there are no more.
 */
static bool
copy_runs(FtHistory *history, uint64 *next, int capacity, uint8 flags)
{
	bool		more;

	LWLockAcquire(shared->lock, LW_SHARED);
	*next = Max(*next, oldest_run());
	for (int i = 0; i < RUNS_AT_ONCE && *next < shared->next_run; i++)
	{
		const FtHistoryRun *run = run_at((*next)++);

		if (run_wanted(history, run, flags) && history->run_count < capacity)
			history->runs[history->run_count++] = *run;
	}
	more = *next < shared->next_run;
	LWLockRelease(shared->lock);
	return more;
}

/*
 * What was kept of a time, of sessions with these flags, in the current memory
 * context.
 */
FtHistory *
ft_history_read(TimestampTz from, TimestampTz to, uint8 flags)
{
	FtHistory  *history = palloc0(sizeof(FtHistory));
	int			capacity = RUNS_AT_ONCE;
	uint64		next = 1;
	bool		more = true;

	copy_samples(history, from, to);
	if (history->first_sample == 0)
		return history;
	history->runs = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FtHistoryRun) * capacity);
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		more = copy_runs(history, &next, capacity, flags);
		if (capacity - history->run_count < RUNS_AT_ONCE)
		{
			capacity = 2 * capacity;
			history->runs = repalloc_huge(history->runs, sizeof(FtHistoryRun) * capacity);
		}
	}
	return history;
}

/*
 * Copy the texts of a session into the current memory context; false if they
 * are gone.
 */
bool
ft_history_texts(uint64 texts_at, FtHistoryTexts *texts)
{
	Size		length = 0;
	char	   *buffer;
	const Text *head;
	bool		there;

	/* nothing is allocated under the lock; what is there does not change */
	LWLockAcquire(shared->lock, LW_SHARED);
	if (text_there(texts_at))
		length = text_at(texts_at)->length;
	LWLockRelease(shared->lock);
	if (length == 0)
		return false;

	buffer = palloc(length);
	LWLockAcquire(shared->lock, LW_SHARED);
	there = text_there(texts_at);
	if (there)
		memcpy(buffer, text_at(texts_at), length);
	LWLockRelease(shared->lock);
	if (!there)
		return false;

	head = (Text *) buffer;
	texts->application = buffer + sizeof(Text);
	texts->backend_type = texts->application + head->application;
	texts->traceparent = texts->backend_type + head->backend_type;
	texts->query = texts->traceparent + head->traceparent;
	texts->query_length = head->query - 1;
	return true;
}

void
ft_history_status_read(FtHistoryStatus *status)
{
	memset(status, 0, sizeof(*status));
	LWLockAcquire(shared->lock, LW_SHARED);
	status->samples_taken = shared->next_sample - 1;
	status->samples = shared->next_sample - oldest_complete_sample();
	status->samples_limit = shared->sample_capacity;
	status->runs = shared->next_run - oldest_run();
	status->runs_limit = shared->run_capacity;
	status->text_bytes = Min(shared->next_text - shared->text_capacity, shared->text_capacity);
	status->text_bytes_limit = shared->text_capacity;
	status->inferred = shared->inferred;
	status->longest = shared->longest;
	if (status->samples > 0)
	{
		status->newest = *sample_at(shared->next_sample - 1);
		status->oldest_at = sample_at(oldest_complete_sample())->at;
	}
	LWLockRelease(shared->lock);
}
