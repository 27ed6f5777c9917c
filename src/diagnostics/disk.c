/*-------------------------------------------------------------------------
 *
 * disk.c
 *	  ft.disk_space(): space of the file systems that the server writes to.
 *
 * The sampler asks for it and keeps the answers in shared memory.  Where it
 * has none, because it does not run or the library was not preloaded, the
 * session asks itself; either way nobody hangs, see disk_probe.c.
 *
 * Locking: shared->lock protects the answers; it is held for a copy of them,
 * never while asking.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/syslogger.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/disk.h"
#include "diagnostics/disk_probe.h"
#include "diagnostics/kernel_file.h"
#include "shmem.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_disk_space);

/* Tablespaces past these are counted, and said to be missing. */
#define MAX_DISKS	64

typedef struct DiskList
{
	int			count;
	int			left_out;
	FtDisk		disks[MAX_DISKS];
} DiskList;

typedef struct DiskShared
{
	LWLock	   *lock;
	TimestampTz sampled_at;		/* 0: never */
	DiskList	list;
} DiskShared;

static DiskShared *shared = NULL;

/* Columns of ft.disk_space(). */
enum
{
	DISK_NAME,
	DISK_PATH,
	DISK_TOTAL,
	DISK_FREE,
	DISK_USED,
	DISK_USED_PERCENT,
	DISK_SEVERITY,
	DISK_INODES,
	DISK_INODES_FREE,
	DISK_INODES_USED_PERCENT,
	DISK_DEVICE,
	DISK_KIND,
	DISK_SPCNAME,
	DISK_SAMPLED_AT,
	DISK_SAMPLE_AGE,
	DISK_NOTE,
	DISK_COLUMNS
};

static Size
disk_size(void)
{
	return sizeof(DiskShared);
}

static void
disk_create(void *memory, LWLockPadded *locks)
{
	shared->lock = &locks[0].lock;
}

static const FtShmemPart part = {
	.name = "disk",
	.size = disk_size,
	.locks = 1,
	.create = disk_create,
	.address = (void **) &shared,
};

void
ft_disk_init(void)
{
	ft_shmem_register(&part);
}

static FtDisk *
add_disk(DiskList *list, FtDiskKind kind, const char *path)
{
	FtDisk	   *disk;

	if (list->count == MAX_DISKS)
	{
		list->left_out++;
		return NULL;
	}
	disk = &list->disks[list->count++];
	memset(disk, 0, sizeof(FtDisk));
	disk->kind = kind;
	if (is_absolute_path(path))
		strlcpy(disk->path, path, MAXPGPATH);
	else
		snprintf(disk->path, MAXPGPATH, "%s/%s", DataDir, path);
	return disk;
}

/*
 * The folders of tablespaces, as the links to them in the data directory say:
 * no catalog can be read by the sampler.  Reading a link does not touch what
 * it points to.
 */
static void
add_tablespaces(DiskList *list)
{
	DIR		   *folder = AllocateDir("pg_tblspc");
	struct dirent *entry;

	while ((entry = ReadDirExtended(folder, "pg_tblspc", LOG)) != NULL)
	{
		char		link[MAXPGPATH];
		char		target[MAXPGPATH];
		Oid			oid = strtoul(entry->d_name, NULL, 10);
		int			length;
		FtDisk	   *disk;

		if (!OidIsValid(oid))
			continue;
		snprintf(link, sizeof(link), "pg_tblspc/%s", entry->d_name);
		length = readlink(link, target, sizeof(target) - 1);
		if (length < 0)
			strlcpy(target, link, sizeof(target));	/* an in-place tablespace */
		else
			target[length] = '\0';
		disk = add_disk(list, FT_DISK_TABLESPACE, target);
		if (disk != NULL)
			disk->tablespace = oid;
	}
	FreeDir(folder);
}

static DiskList *
ask_disks(bool patient)
{
	DiskList   *list = palloc(sizeof(DiskList));

	list->count = list->left_out = 0;
	(void) add_disk(list, FT_DISK_DATA, DataDir);
	(void) add_disk(list, FT_DISK_WAL, "pg_wal");
	if (Logging_collector)
		(void) add_disk(list, FT_DISK_LOG, Log_directory);
	add_tablespaces(list);
	ft_disk_probe(list->disks, list->count, patient);
	return list;
}

/*
 * Task of the sampler: ask all file systems.
 */
void
ft_disk_sample(TimestampTz now)
{
	DiskList   *list;

	if (shared == NULL)
		return;
	list = ask_disks(true);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	memcpy(&shared->list, list, sizeof(DiskList));
	shared->sampled_at = now;
	LWLockRelease(shared->lock);
	pfree(list);
}

/* What the sampler has; NULL if nothing. */
static DiskList *
sampled_disks(void)
{
	DiskList   *list;
	bool		found;

	if (shared == NULL)
		return NULL;
	list = palloc(sizeof(DiskList));
	LWLockAcquire(shared->lock, LW_SHARED);
	found = shared->sampled_at != 0;
	memcpy(list, &shared->list, sizeof(DiskList));
	LWLockRelease(shared->lock);
	return found ? list : NULL;
}

/* As df has it: of what the server can use and what is used. */
static double
used_percent(int64 used, int64 free)
{
	return used + free > 0 ? 100.0 * used / (used + free) : NAN;
}

static void
put_name(Datum *values, bool *nulls, const FtDisk *disk)
{
	static const char *const kinds[] = {"data directory", "pg_wal", "log directory", "tablespace"};
	const char *name = kinds[disk->kind];

	ft_put_text(values, nulls, DISK_KIND, name);
	nulls[DISK_SPCNAME] = true;
	if (disk->kind == FT_DISK_TABLESPACE)
	{
		const FtTablespaceName *tablespace = ft_tablespace_name(disk->tablespace);

		if (tablespace != NULL)
		{
			name = psprintf("tablespace %s", quote_identifier(NameStr(tablespace->name)));
			values[DISK_SPCNAME] = NameGetDatum(&tablespace->name);
			nulls[DISK_SPCNAME] = false;
		}
		else
			name = psprintf("tablespace %u", disk->tablespace);
	}
	ft_put_text(values, nulls, DISK_NAME, name);
}

static void
put_space(Datum *values, bool *nulls, const FtDisk *disk, const FtThreshold *threshold)
{
	double		used = used_percent(disk->used, disk->free);
	double		inodes = used_percent(disk->inodes - disk->inodes_free, disk->inodes_free);
	FtSeverity	severity = Max(ft_severity_of(threshold, used),
							   ft_severity_of(threshold, inodes));

	ft_put_int64(values, nulls, DISK_TOTAL, disk->total);
	ft_put_int64(values, nulls, DISK_FREE, disk->free);
	ft_put_int64(values, nulls, DISK_USED, disk->used);
	ft_put_percent(values, nulls, DISK_USED_PERCENT, used);
	ft_put_text(values, nulls, DISK_SEVERITY, ft_severity_name(severity));
	if (disk->inodes > 0)
	{
		ft_put_int64(values, nulls, DISK_INODES, disk->inodes);
		ft_put_int64(values, nulls, DISK_INODES_FREE, disk->inodes_free);
		ft_put_percent(values, nulls, DISK_INODES_USED_PERCENT, inodes);
	}
	ft_put_text(values, nulls, DISK_DEVICE,
				psprintf("%u:%u", disk->device_major, disk->device_minor));
}

/* Why there are no figures. */
static char *
silence_note(const FtDisk *disk)
{
	switch (disk->answer)
	{
		case FT_DISK_FAILED:
			errno = disk->error;
			return psprintf("cannot be read: %s", strerror(disk->error));
		case FT_DISK_SILENT:
			return pstrdup("the file system does not answer");
		default:
			return pstrdup("not asked, because other file systems do not answer");
	}
}

static void
put_disk(ReturnSetInfo *rsinfo, const FtDisk *disk, const FtThreshold *threshold,
		 bool show_path, TimestampTz now)
{
	Datum		values[DISK_COLUMNS] = {0};
	bool		nulls[DISK_COLUMNS];
	Interval   *age = palloc0(sizeof(Interval));

	memset(nulls, true, sizeof(nulls));
	put_name(values, nulls, disk);
	ft_put_text(values, nulls, DISK_PATH, show_path ? disk->path : NULL);
	if (disk->answer == FT_DISK_ANSWERED)
		put_space(values, nulls, disk, threshold);
	else
	{
		ft_put_text(values, nulls, DISK_SEVERITY, "UNKNOWN");
		ft_put_text(values, nulls, DISK_NOTE, silence_note(disk));
	}
	values[DISK_SAMPLED_AT] = TimestampTzGetDatum(disk->at);
	age->time = now - disk->at;
	values[DISK_SAMPLE_AGE] = IntervalPGetDatum(age);
	nulls[DISK_SAMPLED_AT] = nulls[DISK_SAMPLE_AGE] = disk->at == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_left_out(ReturnSetInfo *rsinfo, int count)
{
	Datum		values[DISK_COLUMNS] = {0};
	bool		nulls[DISK_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	ft_put_text(values, nulls, DISK_NAME, "other tablespaces");
	ft_put_text(values, nulls, DISK_KIND, "tablespace");
	ft_put_text(values, nulls, DISK_SEVERITY, "UNKNOWN");
	ft_put_text(values, nulls, DISK_NOTE, psprintf("%d more are not looked at", count));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * ft.disk_space()
 */
Datum
ft_disk_space(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		show_path = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_SETTINGS);
	const FtThreshold *threshold;
	DiskList   *list;
	TimestampTz now;

	InitMaterializedSRF(fcinfo, 0);
	list = sampled_disks();
	if (list == NULL)
		list = ask_disks(false);
	now = GetCurrentTimestamp();
	threshold = ft_threshold(ft_thresholds_read(), "disk");

	ft_names_begin();
	for (int i = 0; i < list->count; i++)
		put_disk(rsinfo, &list->disks[i], threshold, show_path, now);
	ft_names_end();
	if (list->left_out > 0)
		put_left_out(rsinfo, list->left_out);
	return (Datum) 0;
}
