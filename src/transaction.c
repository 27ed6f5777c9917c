/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  What the extension does when the current transaction ends.
 *
 * There is no worker to wake yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "transaction.h"

void
ft_wake_worker_at_commit(void)
{
}

void
ft_transaction_init(void)
{
}
