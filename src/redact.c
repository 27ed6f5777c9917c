/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Take passwords out of query texts that are kept.
 *
 * A password is what follows a word that ends in "password" or the like, if a
 * literal or an assignment does: PASSWORD 'x' of a role, (password 'x') of a
 * user mapping, password=x in a connection string, "password": "x" in JSON.
 * Columns of that name are left alone as long as no value stands by them, and
 * so are parameters ($1).
 *
 * All that follows is cut off with it: to find the end of a literal would
 * take the lexer, and to miss it would show the password.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "redact.h"

#define REPLACEMENT " <redacted>"

static const char *const words[] = {"password", "passwd", "passphrase", "secret"};

/* Behind blanks and comments. */
static const char *
skip(const char *at)
{
	for (;;)
	{
		if (isspace((unsigned char) *at))
			at++;
		else if (at[0] == '-' && at[1] == '-')
			at += strcspn(at, "\n");
		else if (at[0] == '/' && at[1] == '*')
		{
			const char *end = strstr(at + 2, "*/");

			if (end == NULL)
				return at + strlen(at);
			at = end + 2;
		}
		else
			return at;
	}
}

/* Does a string constant start here?  A parameter is none. */
static bool
starts_literal(const char *at)
{
	if (at[0] == '\'')
		return true;
	if ((at[0] == 'E' || at[0] == 'e') && at[1] == '\'')
		return true;
	if ((at[0] == 'U' || at[0] == 'u') && at[1] == '&' && at[2] == '\'')
		return true;
	return at[0] == '$' && !isdigit((unsigned char) at[1]);
}

/* Does a value stand behind the word that ends here? */
static bool
value_follows(const char *at)
{
	if (*at == '"' || *at == '\'')
		at++;
	at = skip(at);
	if (starts_literal(at))
		return true;
	if (at[0] != '=' && at[0] != ':')
	{
		/* SET name TO value */
		if (pg_strncasecmp(at, "to", 2) != 0 || !isspace((unsigned char) at[2]))
			return false;
		return starts_literal(skip(at + 2));
	}
	if (at[0] == ':' && at[1] == ':')
		return false;			/* a cast */
	at += (at[1] == '=' || at[1] == '>') ? 2 : 1;
	at = skip(at);
	return *at != '\0' && !(at[0] == '$' && isdigit((unsigned char) at[1]));
}

bool
ft_redact_passwords(char *text, Size size)
{
	for (char *at = text; *at != '\0'; at++)
	{
		/* the first letters of all words */
		if (*at != 'p' && *at != 'P' && *at != 's' && *at != 'S')
			continue;
		for (int i = 0; i < (int) lengthof(words); i++)
		{
			Size		length = strlen(words[i]);
			char	   *end = at + length;

			if (pg_strncasecmp(at, words[i], length) != 0 || !value_follows(end))
				continue;
			if (end + sizeof(REPLACEMENT) <= text +size)
				memcpy(end, REPLACEMENT, sizeof(REPLACEMENT));
			else
				*end = '\0';
			return true;
		}
	}
	return false;
}
