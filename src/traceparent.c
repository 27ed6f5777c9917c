/*-------------------------------------------------------------------------
 *
 * traceparent.c
 *	  The trace that a statement belongs to, as its application says it.
 *
 * Applications that trace their requests put the W3C trace context into a
 * comment of each statement, as sqlcommenter does it:
 *
 *	  SELECT 1 / * traceparent='00-<32 digits>-<16 digits>-<2 digits>' * /
 *
 * or, where they cannot change their statements, into application_name.  In a
 * statement only a comment counts: what a string literal or a column holds is
 * data, which may come from somebody else.  Literals are read as with
 * standard_conforming_strings on: a text does not tell which it was.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "traceparent.h"

PG_FUNCTION_INFO_V1(ft_traceparent);

#define KEY "traceparent"

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Is this a run of so many lowercase hexadecimal digits, not all of them 0? */
static bool
is_id(const char *at, int length)
{
	bool		all_zero = true;

	for (int i = 0; i < length; i++)
	{
		if (!is_hex(at[i]))
			return false;
		if (at[i] != '0')
			all_zero = false;
	}
	return !all_zero;
}

/* Copy the traceparent that begins here, if one does. */
static bool
take(const char *at, char *out)
{
	/* No look goes past the end of the text: that is no digit. */
	if (!is_hex(at[0]) || !is_hex(at[1]) ||
		(at[0] == 'f' && at[1] == 'f') || at[2] != '-' ||
		!is_id(at + 3, 32) || at[35] != '-' ||
		!is_id(at + 36, 16) || at[52] != '-' ||
		!is_hex(at[53]) || !is_hex(at[54]) || is_hex(at[55]))
		return false;
	memcpy(out, at, FT_TRACEPARENT_SIZE - 1);
	out[FT_TRACEPARENT_SIZE - 1] = '\0';
	return true;
}

/* Behind the key: blanks, an equals sign, and a quote, plain or encoded. */
static const char *
skip_to_value(const char *at)
{
	while (*at == ' ')
		at++;
	if (*at++ != '=')
		return NULL;
	while (*at == ' ')
		at++;
	if (*at == '\'' || *at == '"')
		at++;
	else if (strncmp(at, "%27", 3) == 0)
		at += 3;
	return at;
}

/* May this be in an identifier, behind its first character? */
static bool
is_identifier(char c)
{
	return IS_HIGHBIT_SET(c) || c == '_' || c == '$' ||
		(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
follows_identifier(const char *start, const char *at)
{
	return at > start && is_identifier(at[-1]);
}

/*
 * A string literal goes on in the next one if there is a line between them.
 * Returns that one's quote, or NULL.
 */
static const char *
find_continuation(const char *at)
{
	bool		newline = false;

	for (;;)
	{
		if (newline && *at == '\'')
			return at;
		if (newline && at[0] == '-' && at[1] == '-')
			at += strcspn(at, "\r\n");
		else if (*at == '\n' || *at == '\r')
		{
			newline = true;
			at++;
		}
		else if (*at == ' ' || *at == '\t' || *at == '\f')
			at++;
		else
			return NULL;
	}
}

/* The end of the string literal or quoted name that begins here. */
static const char *
skip_quoted(const char *start, const char *at)
{
	char		quote = *at;
	bool		escapes = quote == '\'' && at > start &&
		(at[-1] == 'E' || at[-1] == 'e') && !follows_identifier(start, at - 1);

	for (at++; *at != '\0'; at++)
	{
		if (escapes && *at == '\\' && at[1] != '\0')
			at++;
		else if (*at == quote && at[1] == quote)
			at++;
		else if (*at == quote)
		{
			/* where nothing is escaped, each part ends as the whole does */
			const char *next = escapes ? find_continuation(at + 1) : NULL;

			if (next == NULL)
				return at + 1;
			at = next;
		}
	}
	return at;
}

/* The end of the dollar-quoted string that begins here, if one does. */
static const char *
skip_dollar_quoted(const char *start, const char *at)
{
	int			length = 1;
	const char *end;

	if (follows_identifier(start, at))
		return at + 1;
	while (at[length] != '$' && is_identifier(at[length]) &&
		   (length > 1 || at[length] < '0' || at[length] > '9'))
		length++;
	if (at[length] != '$')
		return at + 1;
	length++;
	for (end = at + length; *end != '\0'; end++)
	{
		if (*end == '$' && strncmp(end, at, length) == 0)
			return end + length;
	}
	return end;
}

/* Look into the comment that begins here; returns where it ends. */
static const char *
search_comment(const char *at, char *out)
{
	int			depth = 1;

	for (at += 2; *at != '\0';)
	{
		if (at[0] == '*' && at[1] == '/')
		{
			at += 2;
			if (--depth == 0)
				return at;
		}
		else if (at[0] == '/' && at[1] == '*')
		{
			at += 2;
			depth++;
		}
		else if (out[0] == '\0' && *at == KEY[0] &&
				 strncmp(at, KEY, strlen(KEY)) == 0)
		{
			const char *value = skip_to_value(at + strlen(KEY));

			if (value != NULL)
				(void) take(value, out);
			at += strlen(KEY);
		}
		else
			at++;
	}
	return at;
}

bool
ft_traceparent_in_query(const char *query, char *out)
{
	const char *at = query;

	out[0] = '\0';

	/* Almost all queries have none; finding that out is cheap. */
	if (query == NULL || strstr(query, KEY) == NULL)
		return false;

	while (*at != '\0' && out[0] == '\0')
	{
		if (at[0] == '/' && at[1] == '*')
			at = search_comment(at, out);
		else if (at[0] == '-' && at[1] == '-')
			at += strcspn(at, "\r\n");
		else if (*at == '"' || *at == '\'')
			at = skip_quoted(query, at);
		else if (*at == '$')
			at = skip_dollar_quoted(query, at);
		else
			at++;
	}
	return out[0] != '\0';
}

bool
ft_traceparent_in_name(const char *application_name, char *out)
{
	out[0] = '\0';
	if (application_name == NULL)
		return false;
	for (const char *at = application_name; *at != '\0'; at++)
	{
		if (at[0] != '\0' && at[1] != '\0' && at[2] == '-' &&
			(at == application_name || !is_hex(at[-1])) && take(at, out))
			return true;
	}
	return false;
}

bool
ft_traceparent_find(const char *query, const char *application_name, char *out)
{
	return ft_traceparent_in_query(query, out) ||
		ft_traceparent_in_name(application_name, out);
}

/*
 * ft.traceparent(query text, application_name text)
 */
Datum
ft_traceparent(PG_FUNCTION_ARGS)
{
	char	   *query = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *name = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	char		out[FT_TRACEPARENT_SIZE];

	if (!ft_traceparent_find(query, name, out))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(out));
}
