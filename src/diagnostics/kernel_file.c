/*-------------------------------------------------------------------------
 *
 * kernel_file.c
 *	  Figures that the kernel shows in small text files.
 *
 * The kernel makes these files when they are read; no disk is behind them, so
 * reading them does not wait.  Elsewhere than on Linux there are none, and
 * everything is unknown.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/builtins.h"

#include "diagnostics/kernel_file.h"

bool
ft_kernel_file(const char *path, char *contents, size_t size)
{
	int			file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	size_t		length = 0;

	contents[0] = '\0';
	if (file < 0)
		return false;
	while (length < size - 1)
	{
		ssize_t		count = read(file, contents + length, size - 1 - length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			break;
		length += count;
	}
	close(file);
	contents[length] = '\0';
	return length > 0;
}

int64
ft_kernel_value(const char *contents, const char *key, int64 unit)
{
	size_t		length = strlen(key);
	const char *line = contents;

	while (line != NULL && *line != '\0')
	{
		if (strncmp(line, key, length) == 0)
		{
			char	   *end;
			int64		value;

			errno = 0;
			value = strtoll(line + length, &end, 10);
			if (end != line + length && errno == 0)
				return value * unit;
		}
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return FT_UNKNOWN;
}

int64
ft_kernel_number(const char *path)
{
	char		contents[64];

	if (!ft_kernel_file(path, contents, sizeof(contents)))
		return FT_UNKNOWN;
	return ft_kernel_value(contents, "", 1);
}

void
ft_put_int64(Datum *values, bool *nulls, int column, int64 value)
{
	nulls[column] = value == FT_UNKNOWN;
	values[column] = Int64GetDatum(value);
}

void
ft_put_float8(Datum *values, bool *nulls, int column, double value)
{
	nulls[column] = isnan(value);
	values[column] = Float8GetDatum(value);
}

/* Rounded to a tenth. */
void
ft_put_percent(Datum *values, bool *nulls, int column, double value)
{
	ft_put_float8(values, nulls, column, rint(value * 10) / 10);
}

void
ft_put_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value == NULL;
	if (value != NULL)
		values[column] = CStringGetTextDatum(value);
}
