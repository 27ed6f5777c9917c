/*-------------------------------------------------------------------------
 *
 * activity.c
 *	  What pg_stat_activity says of single sessions, read one by one.
 *
 * pg_stat_activity copies the entries of all sessions and keeps the copy to
 * the end of the transaction.  Here only the sessions asked for are copied,
 * each time anew, straight from the array that the copy is made of: so the
 * cost goes with the number of blocked sessions, what is said of them is as
 * fresh as what is said of their locks, and nobody's copy is disturbed.
 *
 * Who may see what is as in pg_stat_get_activity().
 *
 * Locking: none; see backend_entry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>

#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "libpq/pqcomm.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "replication/logicallauncher.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "diagnostics/activity.h"
#include "diagnostics/backend_entry.h"
#include "diagnostics/catalog_names.h"

struct FtActivityReader
{
	FtBackendReader *backends;

	bool		read_all;		/* the caller may see everything */
	Oid			checked_role;	/* the role that may_see is about */
	bool		may_see;

	/* texts that many sessions have in common */
	char		application[NAMEDATALEN];
	Datum		application_text;
	uint32		wait_event_info;
	Datum		wait_event_type_text;
	Datum		wait_event_text;
	Datum		state_texts[STATE_DISABLED + 2];
	BackendType backend_type;
	Datum		backend_type_text;
};

FtActivityReader *
ft_activity_reader(void)
{
	FtActivityReader *reader = palloc0(sizeof(FtActivityReader));

	reader->backends = ft_backend_reader();
	reader->read_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	return reader;
}

static bool
may_see(FtActivityReader *reader, Oid role)
{
	if (reader->read_all)
		return true;
	if (reader->checked_role != role)
	{
		reader->checked_role = role;
		reader->may_see = has_privs_of_role(GetUserId(), role);
	}
	return OidIsValid(role) && reader->may_see;
}

static void
set(FtActivity *activity, FtActivityColumn column, Datum value)
{
	activity->values[column] = value;
	activity->nulls[column] = false;
}

static void
set_time(FtActivity *activity, FtActivityColumn column, TimestampTz value)
{
	if (value != 0)
		set(activity, column, TimestampTzGetDatum(value));
}

static void
set_xid(FtActivity *activity, FtActivityColumn column, TransactionId value)
{
	if (TransactionIdIsValid(value))
		set(activity, column, TransactionIdGetDatum(value));
}

static void
set_state(FtActivityReader *reader, FtActivity *activity)
{
	const char *name = ft_backend_state_name(activity->state);
	Datum	   *text;

	if (name == NULL || activity->state >= lengthof(reader->state_texts))
		return;
	text = &reader->state_texts[activity->state];

	if (*text == (Datum) 0)
		*text = CStringGetTextDatum(name);
	set(activity, FT_ACTIVITY_STATE, *text);
}

/* The query as the server shows it: not cut in the middle of a character. */
static void
set_query(FtActivity *activity, const FtBackendEntry *copy)
{
	int			length = copy->query_length;

	/* a query that was not cut to fit needs no look at its characters */
	if (length >= pgstat_track_activity_query_size - 1 - MAX_MULTIBYTE_CHAR_LEN)
		length = pg_mbcliplen(copy->query, length,
							  pgstat_track_activity_query_size - 1);
	set(activity, FT_ACTIVITY_QUERY,
		PointerGetDatum(cstring_to_text_with_len(copy->query, length)));
}

static void
set_wait_event(FtActivityReader *reader, FtActivity *activity)
{
	uint32		info = activity->wait_event_info;

	if (info == 0)
		return;
	if (reader->wait_event_info != info)
	{
		const char *type = pgstat_get_wait_event_type(info);
		const char *event = pgstat_get_wait_event(info);

		if (type == NULL || event == NULL)
			return;
		reader->wait_event_info = info;
		reader->wait_event_type_text = CStringGetTextDatum(type);
		reader->wait_event_text = CStringGetTextDatum(event);
	}
	set(activity, FT_ACTIVITY_WAIT_EVENT_TYPE, reader->wait_event_type_text);
	set(activity, FT_ACTIVITY_WAIT_EVENT, reader->wait_event_text);
}

static void
set_leader(FtActivity *activity, const PGPROC *proc)
{
	PGPROC	   *leader = proc->lockGroupLeader;
	int			leader_pid = InvalidPid;

	if (leader != NULL && leader->pid != activity->pid)
		leader_pid = leader->pid;
	else if (activity->backend_type == B_BG_WORKER)
		leader_pid = ft_apply_leader_pid(activity->pid);
	if (leader_pid != InvalidPid)
		set(activity, FT_ACTIVITY_LEADER_PID, Int32GetDatum(leader_pid));
}

static void
set_backend_type(FtActivityReader *reader, FtActivity *activity)
{
	if (activity->backend_type == B_BG_WORKER)
	{
		const char *type = GetBackgroundWorkerTypeByPid(activity->pid);

		if (type != NULL)
			set(activity, FT_ACTIVITY_BACKEND_TYPE, CStringGetTextDatum(type));
		return;
	}
	if (reader->backend_type != activity->backend_type || reader->backend_type_text == (Datum) 0)
	{
		reader->backend_type = activity->backend_type;
		reader->backend_type_text = CStringGetTextDatum(GetBackendTypeDesc(activity->backend_type));
	}
	set(activity, FT_ACTIVITY_BACKEND_TYPE, reader->backend_type_text);
}

static Datum
make_inet(int family, const void *address)
{
	inet	   *result = palloc0(sizeof(inet));

	ip_family(result) = family;
	ip_bits(result) = ip_maxbits(result);
	memcpy(ip_addr(result), address, ip_addrsize(result));
	SET_INET_VARSIZE(result);
	return InetPGetDatum(result);
}

static void
set_client(FtActivity *activity, const FtBackendEntry *copy)
{
	const struct sockaddr_storage *address = &copy->status.st_clientaddr.addr;

	switch (address->ss_family)
	{
		case AF_INET:
			{
				const struct sockaddr_in *in = (const struct sockaddr_in *) address;

				set(activity, FT_ACTIVITY_CLIENT_ADDR, make_inet(PGSQL_AF_INET, &in->sin_addr));
				set(activity, FT_ACTIVITY_CLIENT_PORT, Int32GetDatum(ntohs(in->sin_port)));
				break;
			}
		case AF_INET6:
			{
				const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) address;

				set(activity, FT_ACTIVITY_CLIENT_ADDR, make_inet(PGSQL_AF_INET6, &in->sin6_addr));
				set(activity, FT_ACTIVITY_CLIENT_PORT, Int32GetDatum(ntohs(in->sin6_port)));
				break;
			}
		case AF_UNIX:
			set(activity, FT_ACTIVITY_CLIENT_PORT, Int32GetDatum(-1));
			return;
		default:
			/* not known, or a process without client */
			return;
	}
	if (copy->hostname[0] != '\0')
		set(activity, FT_ACTIVITY_CLIENT_HOSTNAME, CStringGetTextDatum(copy->hostname));
}

/* What everybody may see. */
static void
set_common(FtActivityReader *reader, FtActivity *activity, const FtBackendEntry *copy,
		   const PGPROC *proc)
{
	const FtDatabaseName *database = ft_database_name(activity->database);
	const FtRoleName *role = ft_role_name(activity->role);

	if (OidIsValid(activity->database))
		set(activity, FT_ACTIVITY_DATID, ObjectIdGetDatum(activity->database));
	if (database != NULL)
		set(activity, FT_ACTIVITY_DATNAME, NameGetDatum(&database->name));
	if (OidIsValid(activity->role))
		set(activity, FT_ACTIVITY_USESYSID, ObjectIdGetDatum(activity->role));
	if (role != NULL)
		set(activity, FT_ACTIVITY_USENAME, NameGetDatum(&role->name));

	if (reader->application_text == (Datum) 0 ||
		strcmp(reader->application, copy->application) != 0)
	{
		strlcpy(reader->application, copy->application, NAMEDATALEN);
		reader->application_text = CStringGetTextDatum(copy->application);
	}
	set(activity, FT_ACTIVITY_APPLICATION_NAME, reader->application_text);

	set_xid(activity, FT_ACTIVITY_BACKEND_XID, proc->xid);
	set_xid(activity, FT_ACTIVITY_BACKEND_XMIN, proc->xmin);
}

/* What the role itself and members of pg_read_all_stats may see. */
static void
set_protected(FtActivityReader *reader, FtActivity *activity, const FtBackendEntry *copy,
			  const PGPROC *proc)
{
	const PgBackendStatus *status = &copy->status;

	activity->state = status->st_state;
	activity->wait_event_info = *(const volatile uint32 *) &proc->wait_event_info;
	activity->backend_start = status->st_proc_start_timestamp;
	activity->state_change = status->st_state_start_timestamp;

	/* the server does not show that of a walsender, where it is not kept */
	if (activity->backend_type != B_WAL_SENDER)
		activity->xact_start = status->st_xact_start_timestamp;

	set_state(reader, activity);
	set_query(activity, copy);
	set_leader(activity, proc);
	set_wait_event(reader, activity);
	set_time(activity, FT_ACTIVITY_XACT_START, activity->xact_start);
	set_time(activity, FT_ACTIVITY_QUERY_START, status->st_activity_start_timestamp);
	set_time(activity, FT_ACTIVITY_BACKEND_START, activity->backend_start);
	set_time(activity, FT_ACTIVITY_STATE_CHANGE, activity->state_change);
	set_client(activity, copy);
	set_backend_type(reader, activity);
	if (status->st_query_id != 0)
		set(activity, FT_ACTIVITY_QUERY_ID, Int64GetDatum((int64) status->st_query_id));
}

void
ft_activity_read(FtActivityReader *reader, int procno, int pid, FtActivity *activity)
{
	const PGPROC *proc = &ProcGlobal->allProcs[procno];
	FtBackendEntry copy;

	memset(activity, 0, offsetof(FtActivity, nulls));
	memset(activity->nulls, true, sizeof(activity->nulls));
	activity->pid = pid;
	if (!ft_backend_entry(reader->backends, procno, pid, &copy))
		return;

	activity->found = true;
	activity->role = copy.status.st_userid;
	activity->database = copy.status.st_databaseid;
	activity->backend_type = copy.status.st_backendType;
	set_common(reader, activity, &copy, proc);

	activity->visible = may_see(reader, activity->role);
	if (activity->visible)
		set_protected(reader, activity, &copy, proc);
	else
		set(activity, FT_ACTIVITY_QUERY, CStringGetTextDatum("<insufficient privilege>"));
}
