/*-------------------------------------------------------------------------
 *
 * lock_object.c
 *	  What a lock is on, in words.
 *
 * No lock is waited for: what cannot be named at once stays a number.  Things
 * of another database are numbers too, since its catalogs cannot be read from
 * here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/lock_object.h"

/* field4 of an advisory lock */
#define ADVISORY_KEY_INT64	1
#define ADVISORY_KEY_TWO_INT32	2

const char *
ft_lock_type(const LOCKTAG *tag)
{
	if (tag->locktag_type > LOCKTAG_LAST_TYPE)
		return "unknown";
	return LockTagTypeNames[tag->locktag_type];
}

static void
append_database(StringInfo text, Oid database)
{
	const FtDatabaseName *name;

	if (database == MyDatabaseId || !OidIsValid(database))
		return;
	name = ft_database_name(database);
	if (name != NULL)
		appendStringInfo(text, " in database %s", quote_identifier(NameStr(name->name)));
	else
		appendStringInfo(text, " in database %u", database);
}

static void
append_relation(StringInfo text, Oid database, Oid relation)
{
	char	   *name = NULL;

	if (database == MyDatabaseId || !OidIsValid(database))
		name = ft_relation_name(relation);
	if (name != NULL)
		appendStringInfoString(text, name);
	else
		appendStringInfo(text, "relation %u", relation);
	append_database(text, database);
}

static void
append_row(StringInfo text, const LOCKTAG *tag)
{
	appendStringInfo(text, "row (%u,%u) of ", tag->locktag_field3, tag->locktag_field4);
	append_relation(text, tag->locktag_field1, tag->locktag_field2);
}

static void
append_object(StringInfo text, const LOCKTAG *tag)
{
	Oid			database = tag->locktag_field1;
	Oid			class = tag->locktag_field2;
	Oid			object = tag->locktag_field3;

	if (class == DatabaseRelationId)
	{
		const FtDatabaseName *name = ft_database_name(object);

		if (name != NULL)
			appendStringInfo(text, "database %s", quote_identifier(NameStr(name->name)));
		else
			appendStringInfo(text, "database %u", object);
		return;
	}
	if (class == AuthIdRelationId)
	{
		const FtRoleName *name = ft_role_name(object);

		if (name != NULL)
			appendStringInfo(text, "role %s", quote_identifier(NameStr(name->name)));
		else
			appendStringInfo(text, "role %u", object);
		return;
	}
	if (class == NamespaceRelationId && database == MyDatabaseId)
	{
		char	   *name = ft_namespace_name(object);

		if (name != NULL)
		{
			appendStringInfo(text, "schema %s", name);
			return;
		}
	}

	/* catalogs have the same numbers in all databases */
	appendStringInfo(text, "object %u of ", object);
	append_relation(text, InvalidOid, class);
	append_database(text, database);
}

static void
append_advisory(StringInfo text, const LOCKTAG *tag)
{
	if (tag->locktag_field4 == ADVISORY_KEY_INT64)
		appendStringInfo(text, "advisory lock " INT64_FORMAT,
						 (int64) (((uint64) tag->locktag_field2 << 32) | tag->locktag_field3));
	else if (tag->locktag_field4 == ADVISORY_KEY_TWO_INT32)
		appendStringInfo(text, "advisory lock (%d,%d)",
						 (int32) tag->locktag_field2, (int32) tag->locktag_field3);
	else
		appendStringInfo(text, "advisory lock %u/%u/%u",
						 tag->locktag_field2, tag->locktag_field3, tag->locktag_field4);
	append_database(text, tag->locktag_field1);
}

char *
ft_lock_object(const LOCKTAG *tag, const LOCKTAG *row)
{
	StringInfoData text;

	initStringInfo(&text);
	switch ((LockTagType) tag->locktag_type)
	{
		case LOCKTAG_RELATION:
			append_relation(&text, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_RELATION_EXTEND:
			appendStringInfoString(&text, "extension of ");
			append_relation(&text, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_DATABASE_FROZEN_IDS:
			appendStringInfoString(&text, "frozen transaction ids");
			append_database(&text, tag->locktag_field1);
			break;
		case LOCKTAG_PAGE:
			appendStringInfo(&text, "page %u of ", tag->locktag_field3);
			append_relation(&text, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_TUPLE:
			append_row(&text, tag);
			break;
		case LOCKTAG_TRANSACTION:
			appendStringInfo(&text, "transaction %u", tag->locktag_field1);
			if (row != NULL)
			{
				appendStringInfoString(&text, " on ");
				append_row(&text, row);
			}
			break;
		case LOCKTAG_VIRTUALTRANSACTION:
			appendStringInfo(&text, "virtual transaction %d/%u",
							 (int) tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_SPECULATIVE_TOKEN:
			appendStringInfo(&text, "insertion %u of transaction %u",
							 tag->locktag_field2, tag->locktag_field1);
			break;
		case LOCKTAG_OBJECT:
			append_object(&text, tag);
			break;
		case LOCKTAG_ADVISORY:
			append_advisory(&text, tag);
			break;
		default:
			appendStringInfo(&text, "%s %u/%u/%u/%u", ft_lock_type(tag),
							 tag->locktag_field1, tag->locktag_field2,
							 tag->locktag_field3, tag->locktag_field4);
			break;
	}
	return text.data;
}
