/*-------------------------------------------------------------------------
 *
 * visibility.c
 *	  Whose statements the caller may see.
 *
 * The rule is that of pg_stat_activity, also for what is remembered of a
 * session that is gone.
 *
 * Locking: none; looking up memberships reads system caches.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "diagnostics/visibility.h"

bool
ft_may_see_all(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

bool
ft_may_see(Oid role)
{
	return ft_may_see_all() || (OidIsValid(role) && has_privs_of_role(GetUserId(), role));
}
