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
is_id(const char *text, int length)
{
	bool		all_zero = true;

	for (int i = 0; i < length; i++)
	{
		if (!is_hex(text[i]))
			return false;
		if (text[i] != '0')
			all_zero = false;
	}
	return !all_zero;
}

/* Copy the traceparent that begins here, if one does. */
static bool
take(const char *text, char *out)
{
	/* No look goes past the end of the text: that is no digit. */
	if (!is_hex(text[0]) || !is_hex(text[1]) ||
		(text[0] == 'f' && text[1] == 'f') || text[2] != '-' ||
		!is_id(text + 3, 32) || text[35] != '-' ||
		!is_id(text + 36, 16) || text[52] != '-' ||
		!is_hex(text[53]) || !is_hex(text[54]) || is_hex(text[55]))
		return false;
	memcpy(out, text, FT_TRACEPARENT_SIZE - 1);
	out[FT_TRACEPARENT_SIZE - 1] = '\0';
	return true;
}

/* Behind the key: blanks, an equals sign, and a quote, plain or encoded. */
static const char *
skip_to_value(const char *text)
{
	while (*text == ' ')
		text++;
	if (*text++ != '=')
		return NULL;
	while (*text == ' ')
		text++;
	if (*text == '\'' || *text == '"')
		text++;
	else if (strncmp(text, "%27", 3) == 0)
		text += 3;
	return text;
}

/* May this be in an identifier, behind its first character? */
static bool
is_identifier(char c)
{
	return IS_HIGHBIT_SET(c) || c == '_' || c == '$' ||
		(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
follows_identifier(const char *start, const char *text)
{
	return text > start && is_identifier(text[-1]);
}

/*
 * A string literal goes on in the next one if there is a line between them.
 * Returns that one's quote, or NULL.
 */
static const char *
find_continuation(const char *text)
{
	bool		newline = false;

	for (;;)
	{
		if (newline && *text == '\'')
			return text;
		if (newline && text[0] == '-' && text[1] == '-')
			text += strcspn(text, "\r\n");
		else if (*text == '\n' || *text == '\r')
		{
			newline = true;
			text++;
		}
		else if (*text == ' ' || *text == '\t' || *text == '\f')
			text++;
		else
			return NULL;
	}
}

/* The end of the string literal or quoted name that begins at text. */
static const char *
skip_quoted(const char *start, const char *text)
{
	char		quote = *text;
	bool		escapes = quote == '\'' && text > start &&
		(text[-1] == 'E' || text[-1] == 'e') && !follows_identifier(start, text - 1);

	for (text++; *text != '\0'; text++)
	{
		if (escapes && *text == '\\' && text[1] != '\0')
			text++;
		else if (*text == quote && text[1] == quote)
			text++;
		else if (*text == quote)
		{
			/* where nothing is escaped, each part ends as the whole does */
			const char *next = escapes ? find_continuation(text + 1) : NULL;

			if (next == NULL)
				return text + 1;
			text = next;
		}
	}
	return text;
}

/* The end of the dollar-quoted string that begins here, if one does. */
static const char *
skip_dollar_quoted(const char *start, const char *text)
{
	int			length = 1;
	const char *end;

	if (follows_identifier(start, text))
		return text + 1;
	while (text[length] != '$' && is_identifier(text[length]) &&
		   (length > 1 || text[length] < '0' || text[length] > '9'))
		length++;
	if (text[length] != '$')
		return text + 1;
	length++;
	for (end = text + length; *end != '\0'; end++)
	{
		if (*end == '$' && strncmp(end, text, length) == 0)
			return end + length;
	}
	return end;
}

/* Look into the comment that begins here; returns where it ends. */
static const char *
search_comment(const char *text, char *out)
{
	int			depth = 1;

	for (text += 2; *text != '\0';)
	{
		if (text[0] == '*' && text[1] == '/')
		{
			text += 2;
			if (--depth == 0)
				return text;
		}
		else if (text[0] == '/' && text[1] == '*')
		{
			text += 2;
			depth++;
		}
		else if (out[0] == '\0' && *text == KEY[0] &&
				 strncmp(text, KEY, strlen(KEY)) == 0)
		{
			const char *value = skip_to_value(text + strlen(KEY));

			if (value != NULL)
				(void) take(value, out);
			text += strlen(KEY);
		}
		else
			text++;
	}
	return text;
}

bool
ft_traceparent_in_query(const char *query, char *out)
{
	const char *text = query;

	out[0] = '\0';

	/* Almost all queries have none; finding that out is cheap. */
	if (query == NULL || strstr(query, KEY) == NULL)
		return false;

	while (*text != '\0' && out[0] == '\0')
	{
		if (text[0] == '/' && text[1] == '*')
			text = search_comment(text, out);
		else if (text[0] == '-' && text[1] == '-')
			text += strcspn(text, "\r\n");
		else if (*text == '"' || *text == '\'')
			text = skip_quoted(query, text);
		else if (*text == '$')
			text = skip_dollar_quoted(query, text);
		else
			text++;
	}
	return out[0] != '\0';
}

bool
ft_traceparent_in_name(const char *application_name, char *out)
{
	out[0] = '\0';
	if (application_name == NULL)
		return false;
	for (const char *text = application_name; *text != '\0'; text++)
	{
		if (text[0] != '\0' && text[1] != '\0' && text[2] == '-' &&
			(text == application_name || !is_hex(text[-1])) && take(text, out))
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
