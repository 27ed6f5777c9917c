/*-------------------------------------------------------------------------
 *
 * recode.c
 *	  Texts that cross from one database to another in shared memory.
 *
 * What a session writes is in the encoding of its database, or, before it is
 * connected to one, in whatever its client sent.  The reader's may be another.
 *
 * Locking: none; converting reads the system catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "recode.h"

int
ft_copy_clipped_len(char *to, Size size, const char *from, Size length)
{
	if (length >= size)
		length = pg_mbcliplen(from, (int) length, (int) size - 1);
	memcpy(to, from, length);
	to[length] = '\0';
	return (int) length;
}

int
ft_copy_clipped(char *to, Size size, const char *from)
{
	/* what is longer than a few characters more than fits is cut anyway */
	return ft_copy_clipped_len(to, size, from == NULL ? "" : from,
							   from == NULL ? 0 : strnlen(from, size + MAX_MULTIBYTE_CHAR_LEN));
}

static bool
is_ascii_string(const char *string)
{
	for (; *string != '\0'; string++)
	{
		if (IS_HIGHBIT_SET(*string))
			return false;
	}
	return true;
}

/* The same string, with a question mark for each byte that is not valid. */
static char *
keep_valid(const char *string)
{
	int			encoding = GetDatabaseEncoding();
	int			length = strlen(string);
	char	   *result = palloc(length + 1);
	char	   *to = result;

	while (length > 0)
	{
		int			size = pg_encoding_verifymbchar(encoding, string, length);

		if (size <= 0)
		{
			*to++ = '?';
			size = 1;
		}
		else
		{
			memcpy(to, string, size);
			to += size;
		}
		string += size;
		length -= size;
	}
	*to = '\0';
	return result;
}

/* Convert, with a question mark for each character that cannot be. */
static char *
convert(Oid conversion, const char *string, int encoding)
{
	int			length = strlen(string);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *result = palloc(size);
	char	   *to = result;

	while (length > 0)
	{
		int			done;

		done = pg_do_encoding_conversion_buf(conversion, encoding, GetDatabaseEncoding(),
											 (unsigned char *) unconstify(char *, string), length,
											 (unsigned char *) to, size - (to - result), true);
		to += strlen(to);
		string += done;
		length -= done;
		if (length > 0)
		{
			int			bad = strnlen(string, pg_encoding_mblen(encoding, string));

			*to++ = '?';
			string += bad;
			length -= bad;
		}
	}
	*to = '\0';
	return result;
}

char *
ft_recode(const char *string, int encoding)
{
	int			here = GetDatabaseEncoding();
	Oid			conversion;

	if (is_ascii_string(string))
		return pstrdup(string);
	if (encoding == here || encoding == PG_SQL_ASCII || here == PG_SQL_ASCII)
		return keep_valid(string);
	conversion = FindDefaultConversionProc(encoding, here);
	if (!OidIsValid(conversion))
		return keep_valid(string);
	return convert(conversion, string, encoding);
}
