/*-------------------------------------------------------------------------
 *
 * cgroup.c
 *	  The control group that the server runs in, as a container does.
 *
 * In a container the host's memory says little: the kernel kills a process of
 * a control group when the group has reached its limit, however much the host
 * has left.  Limits of groups further up count as well, so each level is
 * looked at up to the root, and the one with the least left is shown.
 *
 * What a group uses includes the page cache of the files it reads.  The part
 * that was not used lately can be dropped at once, so it is not counted, as
 * docker stats and the kubelet do not count it.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "diagnostics/cgroup.h"
#include "diagnostics/kernel_file.h"

#define CGROUP_ROOT		"/sys/fs/cgroup"
#define CGROUP_MEMORY	"/sys/fs/cgroup/memory"
#define CGROUP_CPU		"/sys/fs/cgroup/cpu"

/* Version 1 says "no limit" by a number near the largest. */
#define NO_LIMIT		(INT64CONST(1) << 60)

/*
 * The path of this process's group: in version 2 that of line "0::path", in
 * version 1 of the line whose list of controllers has the one given.
 */
static bool
own_path(const char *contents, const char *controller, char *path)
{
	const char *line = contents;

	while (line != NULL && *line != '\0')
	{
		const char *controllers = strchr(line, ':');
		const char *start = controllers == NULL ? NULL : strchr(controllers + 1, ':');
		const char *end = strchr(line, '\n');

		if (start == NULL)
			return false;
		if (end == NULL)
			end = line + strlen(line);
		controllers++;
		if (start < end)
		{
			size_t		length = strlen(controller);
			bool		found = length == 0 && start == controllers;

			for (const char *at = controllers; length > 0 && at < start; at++)
			{
				if ((at == controllers || at[-1] == ',') && at + length <= start &&
					strncmp(at, controller, length) == 0 &&
					(at[length] == ',' || at[length] == ':'))
					found = true;
			}
			if (found)
			{
				strlcpy(path, start + 1, Min((size_t) (end - start), MAXPGPATH));
				return true;
			}
		}
		line = *end == '\0' ? NULL : end + 1;
	}
	return false;
}

static int64
number_in(const char *folder, const char *file)
{
	char		path[2 * MAXPGPATH];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return ft_kernel_number(path);
}

static int64
value_in(const char *folder, const char *file, const char *key)
{
	char		path[2 * MAXPGPATH];
	char		contents[FT_KERNEL_FILE_SIZE];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	if (!ft_kernel_file(path, contents, sizeof(contents)))
		return FT_UNKNOWN;
	return ft_kernel_value(contents, key, 1);
}

/* Keep the limit of one level, if it leaves less than the one found before. */
static void
note_memory(FtCgroup *group, int64 limit, int64 used, int64 droppable)
{
	if (limit == FT_UNKNOWN || limit >= NO_LIMIT || used == FT_UNKNOWN)
		return;
	used -= Min(Max(droppable, 0), used);
	if (group->memory_limit != FT_UNKNOWN &&
		limit - used >= group->memory_limit - group->memory_used)
		return;
	group->memory_limit = limit;
	group->memory_used = used;
}

static void
note_quota(FtCgroup *group, int64 quota, int64 period)
{
	if (quota > 0 && period > 0 &&
		!((double) quota / period >= group->cpu_quota))
		group->cpu_quota = (double) quota / period;
}

static void
read_level_2(FtCgroup *group, const char *folder)
{
	char		path[2 * MAXPGPATH];
	char		contents[64];
	char	   *rest;

	note_memory(group, number_in(folder, "memory.max"), number_in(folder, "memory.current"),
				value_in(folder, "memory.stat", "inactive_file "));
	snprintf(path, sizeof(path), "%s/cpu.max", folder);
	if (ft_kernel_file(path, contents, sizeof(contents)) && (rest = strchr(contents, ' ')) != NULL)
		note_quota(group, ft_kernel_value(contents, "", 1), ft_kernel_value(rest, " ", 1));
}

static void
read_level_1(FtCgroup *group, const char *folder)
{
	note_memory(group, number_in(folder, "memory.limit_in_bytes"),
				number_in(folder, "memory.usage_in_bytes"),
				value_in(folder, "memory.stat", "total_inactive_file "));
	note_quota(group, number_in(folder, "cpu.cfs_quota_us"),
			   number_in(folder, "cpu.cfs_period_us"));
}

/* Look at each level, from the group's own up to the root. */
static void
read_levels(FtCgroup *group, const char *root, char *path,
			void (*read_level) (FtCgroup *group, const char *folder))
{
	for (;;)
	{
		char		folder[2 * MAXPGPATH];
		char	   *slash;

		snprintf(folder, sizeof(folder), "%s%s", root, strcmp(path, "/") == 0 ? "" : path);
		read_level(group, folder);
		slash = strrchr(path, '/');
		if (slash == NULL || path[1] == '\0')
			break;
		if (slash == path)
			slash++;
		*slash = '\0';
	}
}

void
ft_cgroup_read(FtCgroup *group)
{
	char		contents[FT_KERNEL_FILE_SIZE];
	char		path[MAXPGPATH];
	char		folder[2 * MAXPGPATH];

	group->version = 0;
	group->memory_limit = group->memory_used = group->oom_kills = FT_UNKNOWN;
	group->cpu_quota = NAN;
	if (!ft_kernel_file("/proc/self/cgroup", contents, sizeof(contents)))
		return;

	if (own_path(contents, "memory", path))
	{
		group->version = 1;
		snprintf(folder, sizeof(folder), "%s%s", CGROUP_MEMORY, path);
		group->oom_kills = value_in(folder, "memory.oom_control", "oom_kill ");
		read_levels(group, CGROUP_MEMORY, path, read_level_1);
		if (own_path(contents, "cpu", path))
			read_levels(group, CGROUP_CPU, path, read_level_1);
	}
	else if (own_path(contents, "", path))
	{
		group->version = 2;
		snprintf(folder, sizeof(folder), "%s%s", CGROUP_ROOT, path);
		group->oom_kills = value_in(folder, "memory.events", "oom_kill ");
		read_levels(group, CGROUP_ROOT, path, read_level_2);
	}
}
