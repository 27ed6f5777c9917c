/*-------------------------------------------------------------------------
 *
 * disk_probe.h
 *	  Space of file systems, asked for without ever hanging with them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DISK_PROBE_H
#define FT_DISK_PROBE_H

#include "datatype/timestamp.h"

typedef enum FtDiskKind
{
	FT_DISK_DATA,
	FT_DISK_WAL,
	FT_DISK_LOG,
	FT_DISK_TABLESPACE
} FtDiskKind;

typedef enum FtDiskAnswer
{
	FT_DISK_UNASKED,			/* there was no time left for it */
	FT_DISK_ANSWERED,
	FT_DISK_FAILED,				/* see error */
	FT_DISK_SILENT				/* no answer in time */
} FtDiskAnswer;

typedef struct FtDisk
{
	FtDiskKind	kind;
	Oid			tablespace;		/* of FT_DISK_TABLESPACE */
	char		path[MAXPGPATH];
	FtDiskAnswer answer;
	int			error;			/* errno */
	int64		total;			/* bytes */
	int64		free;			/* bytes that the server can still use */
	int64		used;
	int64		inodes;
	int64		inodes_free;
	unsigned int device_major;
	unsigned int device_minor;
	TimestampTz at;				/* when it answered, or did not */
} FtDisk;

/*
 * Ask for each; returns within a few seconds, whatever they do.  Who asks
 * again and again is patient.
 */
extern void ft_disk_probe(FtDisk *disks, int count, bool patient);

#endif							/* FT_DISK_PROBE_H */
