/*-------------------------------------------------------------------------
 *
 * threshold.h
 *	  From which value on something is a warning, and from which critical.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_THRESHOLD_H
#define FT_THRESHOLD_H

typedef struct FtThreshold
{
	const char *check_name;
	double		warning;		/* reached or passed; NaN: no such level */
	double		critical;
	const char *unit;
	const char *source;			/* where the shipped figures come from */
	const char *description;
	bool		changed;		/* by a user; never in the shipped ones */
} FtThreshold;

typedef enum FtSeverity
{
	FT_SEVERITY_OK,
	FT_SEVERITY_WARNING,
	FT_SEVERITY_CRITICAL
} FtSeverity;

/* All thresholds as users have set them in this database. */
typedef struct FtThresholds FtThresholds;

/* As shipped; needs no database.  An unknown name is a programming error. */
extern const FtThreshold *ft_threshold_shipped(const char *check_name);

/*
 * Read what users have changed; allocated in the current memory context.
 * Waits for no lock: where the table is locked, the shipped figures hold.
 */
extern FtThresholds *ft_thresholds_read(void);

extern const FtThreshold *ft_threshold(const FtThresholds *thresholds,
									   const char *check_name);

extern FtSeverity ft_severity_of(const FtThreshold *threshold, double value);
extern const char *ft_severity_name(FtSeverity severity);

#endif							/* FT_THRESHOLD_H */
