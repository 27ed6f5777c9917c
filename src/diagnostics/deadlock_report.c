/*-------------------------------------------------------------------------
 *
 * deadlock_report.c
 *	  What the server's report of a deadlock says, taken apart.
 *
 * Who took part in a deadlock is known to the server only while it writes its
 * report, and then only as text, in the language that lc_messages has in the
 * session that is the victim.  The text was made from templates; the same
 * templates, as the server's catalog of messages translates them here and now,
 * take it apart again.  A translation may put what it says in another order,
 * as %3$s.
 *
 * What gettext() has to remember it allocates by malloc(), which reports no
 * error if it fails: then the template is the English one, and a report that
 * is in another language is not understood.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnostics/deadlock_report.h"

/* The server's, in deadlock.c and lmgr.c; looked up, not translated here. */
#define WAITS_TEMPLATE		"Process %d waits for %s on %s; blocked by process %d."
#define STATEMENT_TEMPLATE	"Process %d: %s"

#define MAX_FIELDS 4

typedef struct TagTemplate
{
	LockTagType type;
	const char *template;
	int			fields[MAX_FIELDS]; /* of the tag, from 1 on, in their order */
} TagTemplate;

static const TagTemplate tag_templates[] = {
	{LOCKTAG_TRANSACTION, "transaction %u", {1}},
	{LOCKTAG_RELATION, "relation %u of database %u", {2, 1}},
	{LOCKTAG_TUPLE, "tuple (%u,%u) of relation %u of database %u", {3, 4, 2, 1}},
	{LOCKTAG_ADVISORY, "advisory lock [%u,%u,%u,%u]", {1, 2, 3, 4}},
	{LOCKTAG_VIRTUALTRANSACTION, "virtual transaction %d/%u", {1, 2}},
	{LOCKTAG_OBJECT, "object %u of class %u of database %u", {3, 2, 1}},
	{LOCKTAG_RELATION_EXTEND, "extension of relation %u of database %u", {2, 1}},
	{LOCKTAG_PAGE, "page %u of relation %u of database %u", {3, 2, 1}},
	{LOCKTAG_SPECULATIVE_TOKEN, "speculative token %u of transaction %u", {2, 1}},
	{LOCKTAG_DATABASE_FROZEN_IDS, "pg_database.datfrozenxid of database %u", {1}},
};

/*
 * Match a text with a template of printf(), and find its fields, in the order
 * of the arguments.  A %s takes as little as lets the rest match.
 */
static bool
match(const char *template, const char *at, const char *end, FtPiece *fields, int next)
{
	while (*template != '\0')
	{
		const char *spec = template + 1;
		int			field = next;

		if (*template != '%' || *spec == '%')
		{
			if (at == end || *template != *at)
				return false;
			template += *template == '%' ? 2 : 1;
			at++;
			continue;
		}

		if (spec[0] >= '1' && spec[0] <= '9' && spec[1] == '$')
		{
			field = spec[0] - '1';
			spec += 2;
		}
		else
			next++;
		if (field >= MAX_FIELDS)
			return false;
		fields[field].start = at;

		if (*spec == 's')
		{
			for (; at <= end; at++)
			{
				if (match(spec + 1, at, end, fields, next))
				{
					fields[field].length = at - fields[field].start;
					return true;
				}
			}
			return false;
		}
		if (*spec != 'd' && *spec != 'u')
			return false;
		if (*spec == 'd' && at < end && *at == '-')
			at++;
		while (at < end && *at >= '0' && *at <= '9')
			at++;
		fields[field].length = at - fields[field].start;
		if (fields[field].length == 0)
			return false;
		template = spec + 1;
	}
	return at == end;
}

static uint32
number_of(const FtPiece *piece)
{
	return piece->start[0] == '-' ?
		(uint32) strtol(piece->start, NULL, 10) : (uint32) strtoul(piece->start, NULL, 10);
}

static void
set_tag_field(LOCKTAG *tag, int field, uint32 value)
{
	switch (field)
	{
		case 1:
			tag->locktag_field1 = value;
			break;
		case 2:
			tag->locktag_field2 = value;
			break;
		case 3:
			tag->locktag_field3 = value;
			break;
		case 4:
			tag->locktag_field4 = (uint16) value;
			break;
	}
}

static bool
read_tag(const FtPiece *object, LOCKTAG *tag)
{
	for (int i = 0; i < lengthof(tag_templates); i++)
	{
		const TagTemplate *template = &tag_templates[i];
		FtPiece		fields[MAX_FIELDS] = {{NULL}};

		if (!match(_(template->template), object->start, object->start + object->length, fields, 0))
			continue;
		memset(tag, 0, sizeof(LOCKTAG));
		tag->locktag_type = template->type;
		tag->locktag_lockmethodid = template->type == LOCKTAG_ADVISORY ?
			USER_LOCKMETHOD : DEFAULT_LOCKMETHOD;
		for (int j = 0; j < MAX_FIELDS && template->fields[j] != 0; j++)
		{
			if (fields[j].start == NULL)
				return false;
			set_tag_field(tag, template->fields[j], number_of(&fields[j]));
		}
		return true;
	}
	return false;
}

/* Read one line of "waits for". */
static bool
read_line(const char *at, const char *end, FtDeadlockLine *line)
{
	FtPiece		fields[MAX_FIELDS] = {{NULL}};

	if (!match(_(WAITS_TEMPLATE), at, end, fields, 0))
		return false;
	for (int i = 0; i < MAX_FIELDS; i++)
	{
		if (fields[i].start == NULL)
			return false;
	}
	memset(line, 0, sizeof(FtDeadlockLine));
	line->pid = (int) number_of(&fields[0]);
	line->mode = fields[1];
	line->object = fields[2];
	line->blocked_by = (int) number_of(&fields[3]);
	line->tag_known = read_tag(&line->object, &line->tag);
	return true;
}

/*
 * Where the statement of a process begins, from a place in the report on: a
 * line that begins as the template of statements does for this pid.  Sets the
 * end of the line before.  A statement may have such a line in it; nothing
 * tells that apart.
 */
static const char *
find_statement(const char *at, int pid, const char **line_before_ends)
{
	char		heading[128];
	const char *template = _(STATEMENT_TEMPLATE);
	const char *statement = strstr(template, "%s");
	const char *number = strstr(template, "%d");

	/* a template that is not a number and then the statement */
	if (statement == NULL || number == NULL || number > statement || statement[2] != '\0')
		return NULL;
	heading[0] = '\n';
	if (snprintf(heading + 1, sizeof(heading) - 1, "%.*s%d%.*s",
				 (int) (number - template), template, pid,
				 (int) (statement - number - 2), number + 2) >= (int) sizeof(heading) - 1)
		return NULL;

	*line_before_ends = strstr(at, heading);
	return *line_before_ends == NULL ? NULL : *line_before_ends + strlen(heading);
}

/* Find the statements, in what the log gets behind what the client is told. */
static void
read_statements(const char *at, FtDeadlockLine *lines, int count)
{
	for (int i = 0; i < count; i++)
	{
		const char *ends;
		const char *statement = find_statement(at, lines[i].pid, &ends);

		if (statement == NULL)
			break;
		if (i > 0)
			lines[i - 1].statement.length = ends - lines[i - 1].statement.start;
		lines[i].statement.start = statement;
		lines[i].statement.length = strlen(statement);
		at = statement;
	}
}

int
ft_deadlock_report_read(const char *detail, const char *detail_log,
						FtDeadlockLine *lines, int max_lines)
{
	int			count = 0;

	for (const char *at = detail; *at != '\0';)
	{
		const char *end = at + strcspn(at, "\n");
		FtDeadlockLine line;

		if (!read_line(at, end, &line))
			return 0;
		if (count < max_lines)
			lines[count] = line;
		count++;
		at = *end == '\0' ? end : end + 1;
	}
	if (strncmp(detail, detail_log, strlen(detail)) == 0)
		read_statements(detail_log + strlen(detail), lines, Min(count, max_lines));
	return count;
}
