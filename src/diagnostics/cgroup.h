/*-------------------------------------------------------------------------
 *
 * cgroup.h
 *	  The control group that the server runs in, as a container does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_CGROUP_H
#define FT_CGROUP_H

/* Bytes and counts; FT_UNKNOWN where there is none. */
typedef struct FtCgroup
{
	int			version;		/* 0: none */
	int64		memory_limit;	/* the narrowest of it and of those above it */
	int64		memory_used;	/* of the group with that limit, less what the
								 * kernel can drop at once */
	int64		oom_kills;
	double		cpu_quota;		/* CPUs; NaN if there is none */
} FtCgroup;

extern void ft_cgroup_read(FtCgroup *group);

#endif							/* FT_CGROUP_H */
