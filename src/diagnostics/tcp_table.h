/*-------------------------------------------------------------------------
 *
 * tcp_table.h
 *	  What the kernel knows of the TCP connections of clients.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TCP_TABLE_H
#define FT_TCP_TABLE_H

/* The other end of a connection, an IPv4 address as one mapped into IPv6. */
typedef struct FtTcpPeer
{
	uint8		address[16];
	int			port;
} FtTcpPeer;

typedef struct FtTcpConnection
{
	FtTcpPeer	peer;
	int			state;			/* of the kernel's, see ft_tcp_state_name() */
	int			retransmits;	/* of what was sent and is not acknowledged */
	int			probes;			/* of a silent peer that were not answered */
} FtTcpConnection;

typedef struct FtTcpTable
{
	FtTcpConnection *connections;	/* sorted by peer */
	int			count;
} FtTcpTable;

#define FT_TCP_CLOSE_WAIT 8

/* NULL where the kernel does not show its connections. */
extern FtTcpTable *ft_tcp_table_read(void);

extern const FtTcpConnection *ft_tcp_table_find(const FtTcpTable *table, const FtTcpPeer *peer);
extern const char *ft_tcp_state_name(int state);
extern void ft_tcp_peer_set(FtTcpPeer *peer, bool ipv6, const uint8 *address, int port);

#endif							/* FT_TCP_TABLE_H */
