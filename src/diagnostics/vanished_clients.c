/*-------------------------------------------------------------------------
 *
 * vanished_clients.c
 *	  Whether the client of a session is still there, as far as the kernel
 *	  knows.
 *
 * A session that waits for its client's next statement notices at once when
 * the connection ends.  One that runs a statement, or waits for a lock, does
 * not, unless client_connection_check_interval is set: it goes on for nobody.
 * And where a host or a network is gone, no end arrives at all; what tells then
 * is that the kernel repeats what it sent, or its probes, without an answer.
 *
 * The kernel's list of TCP connections is compared with the sessions.  One that
 * is not in the list was closed by a reset or given up; as a connection can be
 * missed in a list that changes while it is read, and a session can end
 * meanwhile, both are looked at once more before that is said.
 *
 * Of a session over a Unix-domain socket nothing can be told.
 *
 * Locking: none; see activity.c and tcp_table.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

#include "diagnostics/activity.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/tcp_table.h"

PG_FUNCTION_INFO_V1(ft_client_connections);

#define COLUMNS 5

typedef struct ClientSession
{
	int			procno;
	int			pid;
	TimestampTz backend_start;
	FtTcpPeer	peer;
} ClientSession;

/* False for a session without a TCP connection, or that may not be seen. */
static bool
client_of(FtActivityReader *reader, int procno, ClientSession *session)
{
	int			pid = ProcGlobal->allProcs[procno].pid;
	FtActivity	activity;
	inet	   *address;

	if (pid == 0)
		return false;
	ft_activity_read(reader, procno, pid, &activity);
	if (!activity.found || !activity.visible ||
		activity.nulls[FT_ACTIVITY_CLIENT_ADDR] || activity.nulls[FT_ACTIVITY_CLIENT_PORT])
		return false;

	address = DatumGetInetPP(activity.values[FT_ACTIVITY_CLIENT_ADDR]);
	session->procno = procno;
	session->pid = pid;
	session->backend_start = activity.backend_start;
	ft_tcp_peer_set(&session->peer, ip_family(address) == PGSQL_AF_INET6,
					ip_addr(address),
					DatumGetInt32(activity.values[FT_ACTIVITY_CLIENT_PORT]));
	return true;
}

static void
put_session(ReturnSetInfo *result, const ClientSession *session,
			const FtTcpConnection *connection)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};

	values[0] = Int32GetDatum(session->pid);
	values[1] = TimestampTzGetDatum(session->backend_start);
	if (connection == NULL)
	{
		values[2] = CStringGetTextDatum("gone");
		nulls[3] = nulls[4] = true;
	}
	else
	{
		values[2] = CStringGetTextDatum(ft_tcp_state_name(connection->state));
		values[3] = Int32GetDatum(connection->retransmits);
		values[4] = Int32GetDatum(connection->probes);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Whether a session is still the one that was seen. */
static bool
is_still_there(FtActivityReader *reader, const ClientSession *session)
{
	ClientSession now;

	return client_of(reader, session->procno, &now) && now.pid == session->pid &&
		now.backend_start == session->backend_start;
}

/*
 * Put those that were found; what was not found is kept at the front of the
 * list.  Returns how many that are.
 */
static int
put_found(ReturnSetInfo *result, const FtTcpTable *table, ClientSession *sessions, int count)
{
	int			missing = 0;

	for (int i = 0; i < count; i++)
	{
		const FtTcpConnection *connection = ft_tcp_table_find(table, &sessions[i].peer);

		if (connection != NULL)
			put_session(result, &sessions[i], connection);
		else
			sessions[missing++] = sessions[i];
	}
	return missing;
}

/*
 * The state of the TCP connection of each session that has one; no row where
 * the kernel does not show them.
 *
 * ft.client_connections()
 */
Datum
ft_client_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FtActivityReader *reader;
	ClientSession *sessions;
	FtTcpTable *table;
	int			count = 0;
	int			missing;

	InitMaterializedSRF(fcinfo, 0);

	ft_names_begin();
	reader = ft_activity_reader();
	sessions = palloc(sizeof(ClientSession) * ProcGlobal->allProcCount);
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (client_of(reader, (int) i, &sessions[count]))
			count++;
	}

	table = count > 0 ? ft_tcp_table_read() : NULL;
	if (table != NULL)
	{
		missing = put_found(result, table, sessions, count);
		if (missing > 0)
		{
			table = ft_tcp_table_read();
			missing = table == NULL ? 0 : put_found(result, table, sessions, missing);
		}
		for (int i = 0; i < missing; i++)
		{
			if (is_still_there(reader, &sessions[i]))
				put_session(result, &sessions[i], NULL);
		}
	}
	(void) ft_names_end();
	return (Datum) 0;
}
