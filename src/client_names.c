/*-------------------------------------------------------------------------
 *
 * client_names.c
 *	  What the client of this session asked to be connected as.
 *
 * The server's header wants those of GSSAPI and OpenSSL, which need not be
 * installed where only extensions are built.  It keeps the places of fields
 * the same without them, for that purpose; see struct Port.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq-be.h"
#include "miscadmin.h"

#include "client_names.h"

const char *
ft_client_database(void)
{
	return MyProcPort == NULL ? NULL : MyProcPort->database_name;
}

const char *
ft_client_user(void)
{
	return MyProcPort == NULL ? NULL : MyProcPort->user_name;
}

const char *
ft_client_application(void)
{
	return MyProcPort == NULL ? NULL : MyProcPort->application_name;
}
