/*-------------------------------------------------------------------------
 *
 * tcp_table.c
 *	  What the kernel knows of the TCP connections of clients.
 *
 * Linux shows the connections of its network namespace in /proc/net/tcp and
 * tcp6, to everybody: the addresses in hexadecimal, the state, and how often
 * something was sent without an answer.
 *
 * A client's address and port are its own for one port of ours only: from the
 * same it may be connected to another server on this machine.
 *
 * Locking: none.  A list that changes while it is read may lack a connection;
 * a caller who misses one reads again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"

#include "diagnostics/tcp_table.h"

/* More are not kept: a machine with that many is not one for a database. */
#define MAX_CONNECTIONS 1000000

static const char *const state_names[] = {
	"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",
	"TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"
};

const char *
ft_tcp_state_name(int state)
{
	if (state <= 0 || state >= (int) lengthof(state_names))
		return "unknown";
	return state_names[state];
}

void
ft_tcp_peer_set(FtTcpPeer *peer, bool ipv6, const uint8 *address, int port)
{
	memset(peer, 0, sizeof(*peer));
	if (ipv6)
		memcpy(peer->address, address, 16);
	else
	{
		peer->address[10] = 0xff;
		peer->address[11] = 0xff;
		memcpy(peer->address + 12, address, 4);
	}
	peer->port = port;
}

static int
compare_peers(const void *a, const void *b)
{
	const FtTcpPeer *left = &((const FtTcpConnection *) a)->peer;
	const FtTcpPeer *right = &((const FtTcpConnection *) b)->peer;
	int			order = memcmp(left->address, right->address, sizeof(left->address));

	return order != 0 ? order : left->port - right->port;
}

/*
 * A line of the file, if it is of a connection to our port:
 *
 *	  sl: local:port peer:port state tx:rx timer:when retransmits uid probes ...
 *
 * Addresses are words in the machine's order of what is in network order.
 */
static bool
parse_line(const char *line, bool ipv6, FtTcpConnection *connection)
{
	char		hex[33];
	uint32		words[4];
	unsigned int own_port;
	unsigned int port;
	unsigned int state;
	unsigned int retransmits;
	int			probes;
	int			word_count = ipv6 ? 4 : 1;

	if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x %*x:%*x %*x:%*x %x %*u %d",
			   &own_port, hex, &port, &state, &retransmits, &probes) != 6 ||
		own_port != (unsigned int) PostPortNumber ||
		strlen(hex) != (size_t) word_count * 8)
		return false;

	for (int i = 0; i < word_count; i++)
	{
		char		digits[9];

		memcpy(digits, hex + i * 8, 8);
		digits[8] = '\0';
		words[i] = (uint32) strtoul(digits, NULL, 16);
	}
	ft_tcp_peer_set(&connection->peer, ipv6, (const uint8 *) words, (int) port);
	connection->state = (int) state;
	connection->retransmits = (int) retransmits;
	connection->probes = probes;
	return true;
}

static bool
read_file(const char *path, bool ipv6, FtTcpTable *table, int *size)
{
	FILE	   *file = AllocateFile(path, "r");
	char		line[512];

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL && table->count < MAX_CONNECTIONS)
	{
		CHECK_FOR_INTERRUPTS();
		if (table->count == *size)
		{
			*size *= 2;
			table->connections = repalloc_huge(table->connections,
											   *size * sizeof(FtTcpConnection));
		}
		if (parse_line(line, ipv6, &table->connections[table->count]))
			table->count++;
	}
	FreeFile(file);
	return true;
}

FtTcpTable *
ft_tcp_table_read(void)
{
	FtTcpTable *table = palloc0(sizeof(FtTcpTable));
	int			size = 256;
	bool		known;

	table->connections = palloc(size * sizeof(FtTcpConnection));
	known = read_file("/proc/self/net/tcp", false, table, &size);

	/* without IPv6 there is no such file */
	(void) read_file("/proc/self/net/tcp6", true, table, &size);
	if (!known)
		return NULL;
	qsort(table->connections, table->count, sizeof(FtTcpConnection), compare_peers);
	return table;
}

const FtTcpConnection *
ft_tcp_table_find(const FtTcpTable *table, const FtTcpPeer *peer)
{
	FtTcpConnection key = {.peer = *peer};

	return bsearch(&key, table->connections, table->count, sizeof(FtTcpConnection),
				   compare_peers);
}
