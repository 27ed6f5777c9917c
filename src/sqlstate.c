/*-------------------------------------------------------------------------
 *
 * sqlstate.c
 *	  SQLSTATEs: their names, and passing them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "condition_names.h"
#include "errors.h"
#include "sqlstate.h"

PG_FUNCTION_INFO_V1(ft_condition_name);

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const FtConditionName *) a)->sqlstate,
				  ((const FtConditionName *) b)->sqlstate);
}

const char *
ft_sqlstate_name(const char *sqlstate)
{
	FtConditionName key = {{0}, NULL};
	const FtConditionName *found;

	strlcpy(key.sqlstate, sqlstate, sizeof(key.sqlstate));
	found = bsearch(&key, condition_names, lengthof(condition_names),
					sizeof(FtConditionName), compare_names);
	return found == NULL ? NULL : found->name;
}

char *
ft_sqlstate_argument(struct varlena *argument)
{
	char	   *sqlstate;

	if (argument == NULL)
		return NULL;
	sqlstate = text_to_cstring(argument);
	if (strlen(sqlstate) != 5 ||
		strspn(sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("invalid SQLSTATE \"%s\"", sqlstate),
				 errdetail("A SQLSTATE has five characters, digits and capital letters."),
				 errhint("Pass the code of the error as the client library reports it, or null.")));
	return sqlstate;
}

/* ft.condition_name(sqlstate text) returns text */
Datum
ft_condition_name(PG_FUNCTION_ARGS)
{
	const char *name = ft_sqlstate_name(ft_sqlstate_argument(PG_GETARG_TEXT_PP(0)));

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}
