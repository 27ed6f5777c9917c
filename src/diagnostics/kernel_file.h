/*-------------------------------------------------------------------------
 *
 * kernel_file.h
 *	  Figures that the kernel shows in small text files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_KERNEL_FILE_H
#define FT_KERNEL_FILE_H

#define FT_UNKNOWN	INT64CONST(-1)

/* Longest of the files that are read: /proc/meminfo has some 1,500 bytes. */
#define FT_KERNEL_FILE_SIZE 8192

/* False if it is not there or cannot be read; the text is cut to fit. */
extern bool ft_kernel_file(const char *path, char *contents, size_t size);

/*
 * The number behind a key at the start of a line, times a unit; FT_UNKNOWN if
 * there is none.
 */
extern int64 ft_kernel_value(const char *contents, const char *key, int64 unit);

/* A file that is one number; FT_UNKNOWN for "max" and for what is not there. */
extern int64 ft_kernel_number(const char *path);

/* Numbers of a row: a null where it is not known. */
extern void ft_put_int64(Datum *values, bool *nulls, int column, int64 value);
extern void ft_put_float8(Datum *values, bool *nulls, int column, double value);
extern void ft_put_percent(Datum *values, bool *nulls, int column, double value);
extern void ft_put_text(Datum *values, bool *nulls, int column, const char *value);

#endif							/* FT_KERNEL_FILE_H */
