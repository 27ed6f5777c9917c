/*-------------------------------------------------------------------------
 *
 * catalog_names.h
 *	  Names of roles, databases, tablespaces and relations, without waiting
 *	  for a lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_CATALOG_NAMES_H
#define FT_CATALOG_NAMES_H

typedef struct FtRoleName
{
	Oid			oid;
	NameData	name;
	bool		superuser;
} FtRoleName;

typedef struct FtDatabaseName
{
	Oid			oid;
	NameData	name;
	int			encoding;
} FtDatabaseName;

typedef struct FtTablespaceName
{
	Oid			oid;
	NameData	name;
} FtTablespaceName;

/* Everything below is to be called between these two. */
extern void ft_names_begin(void);

/* False if some name could not be looked up without waiting. */
extern bool ft_names_end(void);

/* NULL if there is none, or if it cannot be looked up without waiting. */
extern const FtRoleName *ft_role_name(Oid role);
extern const FtDatabaseName *ft_database_name(Oid database);
extern const FtTablespaceName *ft_tablespace_name(Oid tablespace);

/* Schema and name, quoted; NULL as above.  Of this database only. */
extern char *ft_relation_name(Oid relation);
extern char *ft_namespace_name(Oid namespace);

/* How many processes wait for a partition of the lock table. */
extern int	ft_partition_waiters(void);

/* With more than this we do not queue behind them. */
#define FT_MAX_PARTITION_WAITERS	8

#endif							/* FT_CATALOG_NAMES_H */
