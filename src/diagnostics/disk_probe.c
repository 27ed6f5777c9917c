/*-------------------------------------------------------------------------
 *
 * disk_probe.c
 *	  Space of file systems, asked for without ever hanging with them.
 *
 * A file system of the network whose server is gone answers statvfs() when
 * that server is back, and no signal ends the call before.  So a child asks:
 * it lets go of shared memory and of all files first, so that it holds back
 * nobody if it hangs, neither a client nor a restart of the server.  It sends
 * each answer as it gets it.  When one does not come in time, the child is
 * left to its fate, and another asks for the rest.
 *
 * The sampler is patient: it lets such a child hang, and does not ask for that
 * path again before it has come back, so that it costs the time of waiting
 * only once.  A session, which may ask once and go, has the child ended if the
 * kernel lets it.
 *
 * A child that hangs outlives a process that ends, and is then a child of
 * process 1.  In a container that is the postmaster as a rule, and for it a
 * child that was ended by a signal is a crash, after which it restarts
 * everything.  So there are two processes: one that asks, and between it and
 * us a guard, which does nothing but wait for it and always exits with 0.  In
 * both all signals are blocked, and they have a session of their own, so that
 * signals to the process group of ours pass them by.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "portability/instr_time.h"
#include "storage/pg_shmem.h"
#include "utils/timestamp.h"

#include "diagnostics/disk_probe.h"

#define ANSWER_TIMEOUT_MS	1000
#define TOTAL_TIMEOUT_MS	3000
#define MAX_STUCK			16
#define MAX_FILES			4096

/* What a child sends; less than what a pipe takes in one piece. */
typedef struct Answer
{
	int			index;
	int			error;
	int64		total;
	int64		free;
	int64		used;
	int64		inodes;
	int64		inodes_free;
	unsigned int device_major;
	unsigned int device_minor;
} Answer;

/* Children that did not come back, and what they were asking for. */
typedef struct Stuck
{
	pid_t		pid;			/* 0: free */
	char		path[MAXPGPATH];
} Stuck;

static Stuck stuck[MAX_STUCK];

/*
 * Does a child still hang with this path?  Takes note of those that have come
 * back.
 */
static bool
is_stuck(const char *path)
{
	bool		found = false;

	for (int i = 0; i < MAX_STUCK; i++)
	{
		if (stuck[i].pid == 0)
			continue;
		if (waitpid(stuck[i].pid, NULL, WNOHANG) != 0)
			stuck[i].pid = 0;
		else if (strcmp(stuck[i].path, path) == 0)
			found = true;
	}
	return found;
}

/* Where to note one more; NULL if there are too many already. */
static Stuck *
free_stuck(void)
{
	for (int i = 0; i < MAX_STUCK; i++)
	{
		if (stuck[i].pid == 0)
			return &stuck[i];
	}
	return NULL;
}

/* In the child: ask for one path. */
static void
ask(const char *path, Answer *answer)
{
	struct statvfs space;
	struct stat status;

	if (statvfs(path, &space) != 0 || stat(path, &status) != 0)
	{
		answer->error = errno;
		return;
	}
	answer->error = 0;
	answer->total = (int64) space.f_blocks * space.f_frsize;
	answer->free = (int64) space.f_bavail * space.f_frsize;
	answer->used = (int64) (space.f_blocks - space.f_bfree) * space.f_frsize;
	answer->inodes = space.f_files;
	answer->inodes_free = space.f_favail;
	answer->device_major = major(status.st_dev);
	answer->device_minor = minor(status.st_dev);
}

static bool
send_answer(int output, const Answer *answer)
{
	return write(output, answer, sizeof(Answer)) == sizeof(Answer);
}

/* The life of who asks. */
static void
asker_main(const FtDisk *disks, int first, int count, int output)
{
	for (int i = first; i < count; i++)
	{
		Answer		answer = {.index = i};

		if (disks[i].answer != FT_DISK_UNASKED)
			continue;
		ask(disks[i].path, &answer);
		if (!send_answer(output, &answer))
			break;
	}
	_exit(0);
}

/* Only so that SIGCHLD is not ignored; it is taken by sigwait(). */
static void
no_action(int signal_number)
{
}

/* Wait for who asks, and end it when we are told to; see abandon(). */
static void
wait_for_asker(pid_t asker)
{
	sigset_t	wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	while (waitpid(asker, NULL, WNOHANG) == 0)
	{
		int			number;

		if (sigwait(&wanted, &number) == 0 && number == SIGTERM)
			(void) kill(asker, SIGKILL);
	}
}

/*
 * The life of the guard, which begins with all signals blocked.  Nothing of
 * the server's may run in it, or in who asks, any more: no handler of a signal,
 * no callback at its exit, no report.
 */
static void
guard_main(const FtDisk *disks, int first, int count, int output)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGPIPE
	};
	pid_t		asker;

	for (int i = 0; i < (int) lengthof(signals); i++)
		(void) signal(signals[i], SIG_DFL);
	(void) signal(SIGCHLD, no_action);
	(void) setsid();
	PGSharedMemoryDetach();
	for (int i = 0; i < MAX_FILES; i++)
	{
		if (i != output)
			(void) close(i);
	}

	asker = fork();
	if (asker == 0)
		asker_main(disks, first, count, output);
	if (asker < 0)
	{
		Answer		answer = {.index = first,.error = errno};

		(void) send_answer(output, &answer);
		_exit(0);
	}
	close(output);
	wait_for_asker(asker);
	_exit(0);
}

/* Returns the guard, or -1 with errno set. */
static pid_t
start_child(const FtDisk *disks, int first, int count, int *input)
{
	int			ends[2];
	sigset_t	all;
	sigset_t	before;
	pid_t		child;
	int			error;

	if (pipe(ends) != 0)
		return -1;
	fflush(NULL);
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	child = fork();
	if (child == 0)
		guard_main(disks, first, count, ends[1]);
	error = errno;
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (child < 0)
	{
		close(ends[0]);
		errno = error;
		return -1;
	}
	*input = ends[0];
	return child;
}

static void
note_answer(FtDisk *disk, const Answer *answer)
{
	disk->at = GetCurrentTimestamp();
	disk->answer = answer->error == 0 ? FT_DISK_ANSWERED : FT_DISK_FAILED;
	disk->error = answer->error;
	disk->total = answer->total;
	disk->free = answer->free;
	disk->used = answer->used;
	disk->inodes = answer->inodes;
	disk->inodes_free = answer->inodes_free;
	disk->device_major = answer->device_major;
	disk->device_minor = answer->device_minor;
}

/* Is there something to read before the time is over? */
static bool
wait_for_input(int input, int timeout)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		struct pollfd wanted = {.fd = input,.events = POLLIN};
		instr_time	now;
		int			left;
		int			result;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		left = timeout - (int) INSTR_TIME_GET_MILLISEC(now);
		if (left <= 0)
			return false;
		result = poll(&wanted, 1, left);
		if (result > 0)
			return true;
		if (result < 0 && errno != EINTR)
			return false;
	}
}

/* Take what a child sends until it has no more; false if it hangs. */
static bool
take_answers(FtDisk *disks, int count, int input)
{
	for (;;)
	{
		Answer		answer;
		ssize_t		length;

		if (!wait_for_input(input, ANSWER_TIMEOUT_MS))
			return false;
		do
			length = read(input, &answer, sizeof(answer));
		while (length < 0 && errno == EINTR);
		if (length != sizeof(answer))
			return true;
		if (answer.index >= 0 && answer.index < count)
			note_answer(&disks[answer.index], &answer);
	}
}

static int
next_unasked(const FtDisk *disks, int from, int count)
{
	while (from < count && disks[from].answer != FT_DISK_UNASKED)
		from++;
	return from;
}

static void
note_silence(FtDisk *disk)
{
	disk->answer = FT_DISK_SILENT;
	disk->at = GetCurrentTimestamp();
}

/*
 * Leave a child that hangs with a path.  The guard is only told: were it killed
 * itself, who asks would be a child of process 1.
 */
static void
abandon(pid_t child, const char *path, bool patient)
{
	Stuck	   *place = free_stuck();

	if (!patient)
		(void) kill(child, SIGTERM);
	if (waitpid(child, NULL, WNOHANG) != 0 || place == NULL)
		return;
	place->pid = child;
	strlcpy(place->path, path, MAXPGPATH);
}

/* What is asked for must be FT_DISK_UNASKED. */
void
ft_disk_probe(FtDisk *disks, int count, bool patient)
{
	instr_time	start;
	int			next;

	INSTR_TIME_SET_CURRENT(start);
	for (int i = 0; i < count; i++)
	{
		if (is_stuck(disks[i].path))
			note_silence(&disks[i]);
	}

	while ((next = next_unasked(disks, 0, count)) < count && free_stuck() != NULL)
	{
		instr_time	now;
		int			input;
		pid_t		child;
		bool		ended;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MILLISEC(now) >= TOTAL_TIMEOUT_MS)
			break;

		child = start_child(disks, next, count, &input);
		if (child < 0)
		{
			disks[next].answer = FT_DISK_FAILED;
			disks[next].error = errno;
			disks[next].at = GetCurrentTimestamp();
			continue;
		}
		ended = take_answers(disks, count, input);
		close(input);
		if (ended)
		{
			/* even one that failed at once has sent what it could */
			while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
				;
			next = next_unasked(disks, 0, count);
			if (next < count)
				note_silence(&disks[next]);
			continue;
		}

		next = next_unasked(disks, 0, count);
		if (next < count)
		{
			note_silence(&disks[next]);
			abandon(child, disks[next].path, patient);
		}
		else
			abandon(child, "", patient);
	}
}
