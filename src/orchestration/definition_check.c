/*-------------------------------------------------------------------------
 *
 * definition_check.c
 *	  Whether the definition of an orchestration can be run: its keys, the
 *	  syntax of its commands, and that its tasks depend on one another without
 *	  a circle.
 *
 * What is found here is found before anything has been started.  Commands are
 * parsed and no more: the tables they speak of may be made by an earlier step.
 *
 * Locking: none; no catalog is read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "engine.h"
#include "errors.h"
#include "orchestration/definition.h"
#include "orchestration/execution.h"

#define TASKS_LIMIT		10000

/* How far a task has been followed. */
typedef enum Visit
{
	VISIT_NONE,
	VISIT_ON_WAY,
	VISIT_DONE
} Visit;

/* A task of a definition, as far as it is held against the others. */
typedef struct DefinedTask
{
	int			position;		/* in the array, from 0 */
	char	   *name;
	List	   *depends_on;		/* of char * */
	List	   *needs;			/* the same, of DefinedTask * */
	bool		fans_out;
	Visit		visit;
} DefinedTask;

typedef enum KeyKind
{
	KEY_NAME,
	KEY_COMMAND,
	KEY_QUERY,					/* one statement */
	KEY_NAMES,
	KEY_BOOL,
	KEY_INTERVAL,
	KEY_COUNT,					/* from 1 */
	KEY_PRIORITY,
	KEY_MODE,
} KeyKind;

/* What a task may say. */
static const struct
{
	const char *name;
	KeyKind		kind;
}			keys[] =

{
	{"name", KEY_NAME},
	{"command", KEY_COMMAND},
	{"compensation", KEY_COMMAND},
	{"condition", KEY_QUERY},
	{"depends_on", KEY_NAMES},
	{"critical", KEY_BOOL},
	{"execution_mode", KEY_MODE},
	{"short", KEY_BOOL},
	{"max_attempts", KEY_COUNT},
	{"backoff", KEY_INTERVAL},
	{"timeout", KEY_INTERVAL},
	{"priority", KEY_PRIORITY},
	{"queue", KEY_NAME},
	{"sleep", KEY_INTERVAL},
	{"signal", KEY_NAME},
	{"for_each", KEY_QUERY},
	{"repeat_while", KEY_QUERY},
	{"max_iterations", KEY_COUNT},
	{"orchestration", KEY_NAME},
	{"input", KEY_QUERY},
};

pg_noreturn static void report_bad(const char *place, const char *detail, const char *hint);

static void
report_bad(const char *place, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("%s is not valid", place),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

typedef struct Place
{
	const char *place;
	const char *command;		/* NULL: something else */
} Place;

/*
 * An error from below is told where it is.  A syntax error is shown in the
 * command it is in, not in the caller's.
 */
static void
place_error_context(void *argument)
{
	Place	   *at = argument;
	int			position = geterrposition();

	if (position > 0 && at->command != NULL)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(at->command);
	}
	errcontext("%s", at->place);
}

static bool
detaches_concurrently(const AlterTableStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_DetachPartition &&
			castNode(PartitionCmd, command->def)->concurrent)
			return true;
	}
	return false;
}

static bool
moves_to_tablespace(const AlterDatabaseStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/*
 * Does the server refuse it in a transaction block, and in a function?  Of some
 * it depends on what is there, and is found out when they are run.
 */
static bool
has_to_run_alone(const Node *statement)
{
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_VacuumStmt:
			return ((const VacuumStmt *) statement)->is_vacuumcmd;
		case T_IndexStmt:
			return ((const IndexStmt *) statement)->concurrent;
		case T_DropStmt:
			return ((const DropStmt *) statement)->concurrent;
		case T_ReindexStmt:
			foreach(cell, ((const ReindexStmt *) statement)->params)
			{
				DefElem    *option = lfirst_node(DefElem, cell);

				if (strcmp(option->defname, "concurrently") == 0 && defGetBoolean(option))
					return true;
			}
			return ((const ReindexStmt *) statement)->kind == REINDEX_OBJECT_SCHEMA ||
				((const ReindexStmt *) statement)->kind == REINDEX_OBJECT_SYSTEM ||
				((const ReindexStmt *) statement)->kind == REINDEX_OBJECT_DATABASE;
		case T_AlterTableStmt:
			return detaches_concurrently((const AlterTableStmt *) statement);
		case T_AlterDatabaseStmt:
			return moves_to_tablespace((const AlterDatabaseStmt *) statement);
		case T_ClusterStmt:
			return ((const ClusterStmt *) statement)->relation == NULL;
		case T_AlterSystemStmt:
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
			return true;
		default:
			return false;
	}
}

/* Does it speak with a client, which a step has not? */
static bool
copies_with_client(const Node *statement)
{
	const CopyStmt *copy = (const CopyStmt *) statement;

	return IsA(statement, CopyStmt) && copy->filename == NULL;
}

void
ft_definition_check_command(const char *command, const char *place, bool single,
							bool in_transaction)
{
	Place		at = {place, command};
	ErrorContextCallback callback = {error_context_stack, place_error_context, &at};
	List	   *statements;
	ListCell   *cell;

	error_context_stack = &callback;
	statements = pg_parse_query(command);
	error_context_stack = callback.previous;

	if (statements == NIL)
		report_bad(place, "There is no SQL statement in it.", "Give it a statement, or leave the key out.");
	if (single && list_length(statements) > 1)
		report_bad(place, psprintf("There are %d SQL statements in it.", list_length(statements)),
				   "Here just one is possible.");
	foreach(cell, statements)
	{
		RawStmt    *statement = lfirst_node(RawStmt, cell);

		if (IsA(statement->stmt, TransactionStmt) && in_transaction)
			report_bad(place, "It begins or ends a transaction: what a step does commits together with the record of it.",
					   "Remove BEGIN, COMMIT, ROLLBACK and SAVEPOINT from it.");
		if (in_transaction && has_to_run_alone(statement->stmt))
			report_bad(place, "It cannot be a part of a transaction, and a step is one together with the record of it.",
					   "The command of a task with \"execution_mode\" non_transactional can be such a statement.");
		if (copies_with_client(statement->stmt))
			report_bad(place, "It copies from or to a client, and a step has none.",
					   "Copy from or to a file or program, or use INSERT.");
	}
}

void
ft_definition_check_mode(const char *mode, const char *place)
{
	if (strcmp(mode, "transactional") != 0 && strcmp(mode, "non_transactional") != 0 &&
		strcmp(mode, "external") != 0)
		report_bad(place, psprintf("\"%s\" is no way to run a step.", mode),
				   "Use transactional, non_transactional or external.");
}

static char *
text_of(const JsonbValue *value, const char *place)
{
	if (value->type != jbvString)
		report_bad(place, "It is no string.", "Write it in double quotes.");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static char *
name_of(const JsonbValue *value, const char *place)
{
	char	   *name = text_of(value, place);

	if (name[0] == '\0' || strlen(name) > FT_NAME_LIMIT)
		report_bad(place, psprintf("A name has between 1 and %d bytes.", FT_NAME_LIMIT),
				   "Choose a shorter name that says what the step does.");
	return name;
}

/* A whole number between two limits, which are for the error's text too. */
static int
integer_of(const JsonbValue *value, const char *place, int least, int most)
{
	Datum		number;

	if (value->type != jbvNumeric)
		report_bad(place, "It is no number.", "Write a whole number, without quotes.");
	number = NumericGetDatum(value->val.numeric);
	if (!DatumGetBool(DirectFunctionCall2(numeric_ge, number,
										  DirectFunctionCall1(int4_numeric, Int32GetDatum(least)))) ||
		!DatumGetBool(DirectFunctionCall2(numeric_le, number,
										  DirectFunctionCall1(int4_numeric, Int32GetDatum(most)))) ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
										  DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0)))))
		report_bad(place, psprintf("It is no whole number between %d and %d.", least, most),
				   "Correct the number.");
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, number));
}

void
ft_definition_check_duration(const Interval *duration, const char *place)
{
	Interval	nothing = {0};
	Interval	most = {.month = FT_DURATION_LIMIT_YEARS * MONTHS_PER_YEAR};
	Datum		value = IntervalPGetDatum(duration);

	if (!DatumGetBool(DirectFunctionCall2(interval_gt, value, IntervalPGetDatum(&nothing))))
		report_bad(place, "A duration must be more than nothing.", "Write it as an interval, such as \"30 seconds\".");
	/* what is added to a time must remain one */
	if (DatumGetBool(DirectFunctionCall2(interval_gt, value, IntervalPGetDatum(&most))))
		report_bad(place, psprintf("A duration is %d years at most.", FT_DURATION_LIMIT_YEARS),
				   "Leave it out where there is to be no limit.");
}

/* A duration as text. */
static void
check_interval(const JsonbValue *value, const char *place)
{
	char	   *text = text_of(value, place);
	Place		at = {place, NULL};
	ErrorContextCallback callback = {error_context_stack, place_error_context, &at};
	Interval   *interval;
	int			nest_level = NewGUCNestLevel();

	/* what is valid here has to be what ft.start() will read */
	ft_engine_pin_interval_style();
	error_context_stack = &callback;
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	error_context_stack = callback.previous;
	AtEOXact_GUC(false, nest_level);
	ft_definition_check_duration(interval, place);
}

static List *
names_of(const JsonbValue *value, const char *place)
{
	List	   *names = NIL;
	int			count;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		report_bad(place, "It is no array.", "Write the names of tasks in brackets.");
	count = JsonContainerSize(value->val.binary.data);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);
		char	   *name = name_of(element, psprintf("%s[%d]", place, i));
		ListCell   *cell;

		foreach(cell, names)
		{
			if (strcmp(lfirst(cell), name) == 0)
				report_bad(place, psprintf("Task \"%s\" stands in it twice.", name), "Name each task once.");
		}
		names = lappend(names, name);
	}
	return names;
}

static JsonbValue *
value_of(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), NULL);
}

/* Whether a key is there with this text. */
static bool
says(JsonbContainer *object, const char *key, const char *text)
{
	JsonbValue *value = value_of(object, key);

	return value != NULL && value->type == jbvString &&
		value->val.string.len == strlen(text) &&
		strncmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* Check one key of a task. */
static void
check_key(DefinedTask *task, JsonbContainer *object, KeyKind kind,
		  const JsonbValue *value, const char *key, const char *place)
{
	bool		alone = strcmp(key, "command") == 0 &&
		says(object, "execution_mode", "non_transactional");

	switch (kind)
	{
		case KEY_NAME:
			(void) name_of(value, place);
			break;
		case KEY_COMMAND:
			/* a worker outside may be told in any language */
			if (strcmp(key, "command") == 0 && says(object, "execution_mode", "external"))
				(void) text_of(value, place);
			else
				ft_definition_check_command(text_of(value, place), place, alone, !alone);
			break;
		case KEY_QUERY:
			ft_definition_check_command(text_of(value, place), place, true, true);
			break;
		case KEY_NAMES:
			task->depends_on = names_of(value, place);
			break;
		case KEY_BOOL:
			if (value->type != jbvBool)
				report_bad(place, "It is neither true nor false.", "Write true or false, without quotes.");
			break;
		case KEY_INTERVAL:
			check_interval(value, place);
			break;
		case KEY_COUNT:
			(void) integer_of(value, place, 1, PG_INT32_MAX);
			break;
		case KEY_PRIORITY:
			(void) integer_of(value, place, PG_INT16_MIN, PG_INT16_MAX);
			break;
		case KEY_MODE:
			ft_definition_check_mode(text_of(value, place), place);
			break;
	}
}

static int
find_key(const JsonbValue *key)
{
	for (int i = 0; i < lengthof(keys); i++)
	{
		if (strlen(keys[i].name) == key->val.string.len &&
			strncmp(keys[i].name, key->val.string.val, key->val.string.len) == 0)
			return i;
	}
	return -1;
}

static void
report_unknown_key(const JsonbValue *key, const char *place)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < lengthof(keys); i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : ", ", keys[i].name);
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("%s has an unknown key \"%.*s\"", place, key->val.string.len, key->val.string.val),
			 errdetail("A task may have: %s.", known.data),
			 errhint("Correct the spelling, or remove the key.")));
}

static bool
has(JsonbContainer *object, const char *key)
{
	JsonbValue *value = value_of(object, key);

	return value != NULL && value->type != jbvNull;
}

/* Keys that mean something only beside another one. */
static void
check_needed(JsonbContainer *object, const char *place, const char *key, const char *needed)
{
	if (has(object, key) && !has(object, needed))
		report_bad(place, psprintf("It has \"%s\" without \"%s\".", key, needed),
				   psprintf("Add \"%s\", or remove \"%s\".", needed, key));
}

/* Combinations of keys that make no sense together. */
static void
check_combinations(JsonbContainer *object, const char *place)
{
	JsonbValue *is_short = value_of(object, "short");
	bool		transactional = !says(object, "execution_mode", "non_transactional") &&
		!says(object, "execution_mode", "external");

	if (says(object, "execution_mode", "non_transactional") && !has(object, "command"))
		report_bad(place, "A step that is not transactional is nothing without its command.",
				   "Give it a command.");
	if (is_short != NULL && is_short->type == jbvBool && is_short->val.boolean && !transactional)
		report_bad(place, "Only transactional steps can share a commit.",
				   "Remove \"short\", or make it transactional.");
	if (says(object, "execution_mode", "external") && value_of(object, "condition") != NULL)
		report_bad(place, "Nobody looks at the condition of a step that a worker outside claims.",
				   "Put a transactional step with the condition before it, or let the worker decide.");
	if (!transactional && (has(object, "signal") || has(object, "for_each") ||
						   has(object, "repeat_while") || has(object, "orchestration")))
		report_bad(place, "Only transactional steps can wait for a signal, fan out, be repeated, or start an orchestration.",
				   "Make it transactional, or make this a step of its own that it depends on.");
	if (has(object, "orchestration") && (has(object, "command") || has(object, "compensation")))
		report_bad(place, "A step that starts an orchestration does nothing else, and is undone by what that has for it.",
				   "Make the command, or the compensation, a step of its own.");
	if (!has(object, "orchestration"))
	{
		check_needed(object, place, "for_each", "command");
		check_needed(object, place, "repeat_while", "command");
		check_needed(object, place, "input", "orchestration");
	}
	check_needed(object, place, "repeat_while", "max_iterations");
	check_needed(object, place, "max_iterations", "repeat_while");
}

static DefinedTask *
check_task(JsonbContainer *object, int position)
{
	DefinedTask *task = palloc0(sizeof(DefinedTask));
	const char *place = psprintf("tasks[%d]", position);
	JsonbValue *name = value_of(object, "name");
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;

	if (name == NULL)
		report_bad(place, "It has no name.", "Give it a \"name\".");
	task->position = position;
	task->name = name_of(name, psprintf("%s.name", place));

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		JsonbValue	value;
		int			index;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		index = find_key(&key);
		if (index < 0)
			report_unknown_key(&key, place);
		/* null says the same as nothing */
		if (value.type != jbvNull)
			check_key(task, object, keys[index].kind, &value, keys[index].name,
					  psprintf("%s.%s of task \"%s\"", place, keys[index].name, task->name));
	}
	task->fans_out = has(object, "for_each");
	check_combinations(object, psprintf("%s, task \"%s\",", place, task->name));
	return task;
}

static int
compare_by_name(const void *left, const void *right)
{
	return strcmp((*(DefinedTask *const *) left)->name,
				  (*(DefinedTask *const *) right)->name);
}

/* The task of this name; tasks are sorted by name. */
static DefinedTask *
find_task(DefinedTask **tasks, int count, char *name)
{
	DefinedTask wanted = {.name = name};
	DefinedTask *key = &wanted;
	DefinedTask **found = bsearch(&key, tasks, count, sizeof(DefinedTask *), compare_by_name);

	return found == NULL ? NULL : *found;
}

/* The children of a task are named after it. */
static void
check_names_of_children(const DefinedTask *task, const DefinedTask *other)
{
	size_t		length = strlen(task->name);

	if (task->fans_out && strncmp(other->name, task->name, length) == 0 &&
		other->name[length] == '[')
		report_bad(psprintf("tasks[%d].name", other->position),
				   psprintf("Task \"%s\" has \"for_each\", and its children are named \"%s[0]\" and so on.",
							task->name, task->name),
				   "Choose another name.");
}

/* Sort the tasks by name, and find what each depends on. */
static void
link_tasks(DefinedTask **tasks, int count)
{
	qsort(tasks, count, sizeof(DefinedTask *), compare_by_name);
	for (int i = 1; i < count; i++)
	{
		if (strcmp(tasks[i - 1]->name, tasks[i]->name) == 0)
			report_bad(psprintf("tasks[%d].name", Max(tasks[i - 1]->position, tasks[i]->position)),
					   psprintf("tasks[%d] is named \"%s\" too.",
								Min(tasks[i - 1]->position, tasks[i]->position), tasks[i]->name),
					   "Tasks are told apart by their names: choose another.");
	}
	for (int i = 0; i < count; i++)
	{
		ListCell   *cell;

		foreach(cell, tasks[i]->depends_on)
		{
			DefinedTask *needed = find_task(tasks, count, lfirst(cell));

			if (needed == NULL)
				report_bad(psprintf("tasks[%d].depends_on of task \"%s\"", tasks[i]->position, tasks[i]->name),
						   psprintf("There is no task \"%s\".", (char *) lfirst(cell)),
						   "Correct the name, or add that task.");
			tasks[i]->needs = lappend(tasks[i]->needs, needed);
		}
	}
	for (int i = 0; i < count; i++)
	{
		for (int j = 0; tasks[i]->fans_out && j < count; j++)
			check_names_of_children(tasks[i], tasks[j]);
	}
}

/* The way on which the same task came again, from there on. */
static void
report_circle(const List *way, const DefinedTask *again)
{
	StringInfoData text;
	bool		in_circle = false;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, way)
	{
		const DefinedTask *task = lfirst(cell);

		in_circle = in_circle || task == again;
		if (in_circle)
			appendStringInfo(&text, "\"%s\" depends on ", task->name);
	}
	appendStringInfo(&text, "\"%s\".", again->name);
	report_bad("tasks", text.data,
			   "Tasks cannot wait for one another in a circle: remove one of these dependencies.");
}

/* Follow what a task depends on; the way there is what depends on it. */
static void
check_circles(DefinedTask *task, List **way)
{
	ListCell   *cell;

	check_stack_depth();
	if (task->visit == VISIT_DONE)
		return;
	if (task->visit == VISIT_ON_WAY)
		report_circle(*way, task);
	task->visit = VISIT_ON_WAY;
	*way = lappend(*way, task);
	foreach(cell, task->needs)
		check_circles(lfirst(cell), way);
	*way = list_delete_last(*way);
	task->visit = VISIT_DONE;
}

int
ft_definition_check(Jsonb *definition)
{
	DefinedTask **tasks;
	int			count;

	if (!JB_ROOT_IS_ARRAY(definition) || JB_ROOT_IS_SCALAR(definition))
		report_bad("tasks", "It is no JSON array.",
				   "Pass an array of tasks such as '[{\"name\": \"pay\", \"command\": \"SELECT pay()\"}]'.");
	count = JB_ROOT_COUNT(definition);
	if (count < 1 || count > TASKS_LIMIT)
		report_bad("tasks", psprintf("An orchestration has between 1 and %d tasks.", TASKS_LIMIT),
				   "A large set of like steps is one task that fans out.");

	tasks = palloc(sizeof(DefinedTask *) * count);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&definition->root, i);

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			report_bad(psprintf("tasks[%d]", i), "It is no JSON object.", "Each task is an object with a \"name\".");
		tasks[i] = check_task(element->val.binary.data, i);
	}
	link_tasks(tasks, count);
	for (int i = 0; i < count; i++)
	{
		List	   *way = NIL;

		check_circles(tasks[i], &way);
	}
	return count;
}
