/*-------------------------------------------------------------------------
 *
 * uuid.c
 *	  Time-ordered keys: UUID version 7 of RFC 9562.
 *
 * Keys that grow with time keep inserts on the right edge of their indexes.
 * Random ones touch a different page each, which after every checkpoint is
 * a full page in the WAL for each row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/time.h>

#include "fmgr.h"
#include "port.h"
#include "utils/builtins.h"

#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_uuid_v7);

/*
 * Microseconds since 1970, never the same twice in one session and never
 * falling, so that the keys of a session keep the order they were made in
 * even where the clock is set back.
 */
static uint64
next_microsecond(void)
{
	static uint64 last = 0;
	struct timeval now;
	uint64		microseconds;

	gettimeofday(&now, NULL);
	microseconds = (uint64) now.tv_sec * 1000000 + (uint64) now.tv_usec;
	if (microseconds <= last)
		microseconds = last + 1;
	last = microseconds;
	return microseconds;
}

/*
 * Layout: 48 bits of milliseconds, version, 12 bits of the fraction of the
 * millisecond (in 1/4096), variant, 62 random bits.
 */
void
ft_uuid_generate(pg_uuid_t *uuid)
{
	uint64		microseconds = next_microsecond();
	uint64		milliseconds = microseconds / 1000;
	uint32		fraction = (uint32) ((microseconds % 1000) * 4096 / 1000);

	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (milliseconds >> (8 * (5 - i)));
	uuid->data[6] = (unsigned char) (0x70 | (fraction >> 8));
	uuid->data[7] = (unsigned char) (fraction & 0xff);
	if (!pg_strong_random(&uuid->data[8], UUID_LEN - 8))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

char *
ft_uuid_string(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}

bool
ft_uuid_equal(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN) == 0;
}

/* ft.uuid_v7() returns uuid */
Datum
ft_uuid_v7(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	ft_uuid_generate(uuid);
	PG_RETURN_UUID_P(uuid);
}
