/*-------------------------------------------------------------------------
 *
 * error_table.c
 *	  Counts of errors by their kind, and by the second.
 *
 * A fixed open-addressing table.  A kind takes a place for good when its hash
 * is put there by a compare-and-swap; its key follows, and once it is marked
 * as ready others compare by it.  Until then a hash of 64 bits that is the
 * same is taken to be the same kind.  What finds no place any more is counted
 * in one of the entries behind the table, of which there is one for each
 * level, so nothing is lost.
 *
 * To forget everything at once there are two such tables, of which one is in
 * use: the other one is emptied, and then they change places.  Who counts in
 * that very moment has counted before the reset.
 *
 * Who cannot log in chooses the names of databases, users and applications
 * freely, so such kinds get a quarter of the table at most; past it they are
 * counted without the names.
 *
 * Locking: none.  Counting does not allocate, wait or report errors, because
 * it is done in the log hook; a signal handler that logs an error while its
 * own process is counting one counts, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "diagnostics/error_table.h"
#include "recode.h"

/* A counter of the errors in one second, or one minute. */
typedef pg_atomic_uint64 Bucket;	/* which one << 32 | how many */

typedef struct ErrorEntry
{
	pg_atomic_uint32 ready;		/* the key is complete */
	FtErrorKey	key;			/* constant then */
	pg_atomic_uint64 count;
	pg_atomic_uint64 first_seen;
	pg_atomic_uint64 last_seen;
	Bucket		minutes[FT_ERROR_MINUTES];

	pg_atomic_uint64 changes;	/* odd while the message is being written */
	int			encoding;
	char		message[FT_ERROR_SUMMARY];
} ErrorEntry;

typedef struct Generation
{
	pg_atomic_uint64 since;
	pg_atomic_uint32 strangers; /* kinds of who was not logged in */
	Bucket		seconds[FT_ERROR_SECONDS];
} Generation;

struct FtErrorTable
{
	int			kinds;			/* constant */
	pg_atomic_uint32 current;	/* which of the two is in use */
	Generation	generations[2];
	/* the tags of both follow, then the entries of both */
};

static Size
tags_size(int kinds)
{
	return MAXALIGN(mul_size(kinds, sizeof(pg_atomic_uint64)));
}

static Size
entries_size(int kinds)
{
	return mul_size(kinds + FT_ERROR_LEVELS, MAXALIGN(sizeof(ErrorEntry)));
}

static pg_atomic_uint64 *
tag_at(FtErrorTable *table, uint32 which, int i)
{
	char	   *tags = (char *) table + MAXALIGN(sizeof(FtErrorTable));

	return (pg_atomic_uint64 *) (tags + which * tags_size(table->kinds)) + i;
}

/* Those from kinds on are the others of each level. */
static ErrorEntry *
entry_at(FtErrorTable *table, uint32 which, int i)
{
	char	   *entries = (char *) tag_at(table, 2, 0);

	entries += which * entries_size(table->kinds);
	return (ErrorEntry *) (entries + i * MAXALIGN(sizeof(ErrorEntry)));
}

Size
ft_error_table_size(int kinds)
{
	Size		size = MAXALIGN(sizeof(FtErrorTable));

	size = add_size(size, mul_size(2, tags_size(kinds)));
	return add_size(size, mul_size(2, entries_size(kinds)));
}

static void
clear_entry(ErrorEntry *entry)
{
	memset(entry, 0, sizeof(ErrorEntry));
	pg_atomic_init_u32(&entry->ready, 0);
	pg_atomic_init_u64(&entry->count, 0);
	pg_atomic_init_u64(&entry->first_seen, 0);
	pg_atomic_init_u64(&entry->last_seen, 0);
	pg_atomic_init_u64(&entry->changes, 0);
	for (int i = 0; i < FT_ERROR_MINUTES; i++)
		pg_atomic_init_u64(&entry->minutes[i], 0);
}

static void
clear_generation(FtErrorTable *table, uint32 which, TimestampTz now)
{
	Generation *generation = &table->generations[which];

	pg_atomic_init_u64(&generation->since, (uint64) now);
	pg_atomic_init_u32(&generation->strangers, 0);
	for (int i = 0; i < FT_ERROR_SECONDS; i++)
		pg_atomic_init_u64(&generation->seconds[i], 0);
	for (int i = 0; i < table->kinds; i++)
	{
		pg_atomic_init_u64(tag_at(table, which, i), 0);
		clear_entry(entry_at(table, which, i));
	}
	for (int level = 0; level < FT_ERROR_LEVELS; level++)
	{
		ErrorEntry *other = entry_at(table, which, table->kinds + level);

		clear_entry(other);
		other->key.level = (FtErrorLevel) level;
		pg_atomic_write_u32(&other->ready, 1);
	}
}

void
ft_error_table_create(FtErrorTable *table, int kinds)
{
	table->kinds = kinds;
	pg_atomic_init_u32(&table->current, 0);
	clear_generation(table, 0, GetCurrentTimestamp());
	clear_generation(table, 1, 0);
}

void
ft_error_table_reset(FtErrorTable *table, TimestampTz now)
{
	uint32		next = 1 - pg_atomic_read_u32(&table->current);

	clear_generation(table, next, now);
	pg_write_barrier();
	pg_atomic_write_u32(&table->current, next);
}

TimestampTz
ft_error_table_since(FtErrorTable *table)
{
	Generation *generation = &table->generations[pg_atomic_read_u32(&table->current)];

	return (TimestampTz) pg_atomic_read_u64(&generation->since);
}

static void
count_in_bucket(Bucket *bucket, uint32 stamp)
{
	uint64		old = pg_atomic_read_u64(bucket);
	uint64		new;

	do
	{
		new = (uint32) (old >> 32) == stamp ? old + 1 : ((uint64) stamp << 32) + 1;
	} while (!pg_atomic_compare_exchange_u64(bucket, &old, new));
}

/* How many of the buckets up to this one, going back so far. */
static uint64
sum_of_buckets(Bucket *buckets, int length, uint32 last, int count)
{
	uint64		sum = 0;

	Assert(count <= length);
	for (uint32 stamp = last; last - stamp < (uint32) count; stamp--)
	{
		uint64		bucket = pg_atomic_read_u64(&buckets[stamp % length]);

		if ((uint32) (bucket >> 32) == stamp)
			sum += (uint32) bucket;
	}
	return sum;
}

static uint32
second_of(TimestampTz time)
{
	return (uint32) (time / USECS_PER_SEC);
}

static uint32
minute_of(TimestampTz time)
{
	return (uint32) (time / USECS_PER_MINUTE);
}

/* The entry of a kind; NULL if there is none and none can be made. */
static ErrorEntry *
find_entry(FtErrorTable *table, uint32 which, const FtErrorKey *key, bool may_add)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key, sizeof(FtErrorKey), 0);

	if (hash == 0)
		hash = 1;				/* 0 is a free place */
	for (int i = 0; i < table->kinds; i++)
	{
		int			place = (int) ((hash + i) % table->kinds);
		ErrorEntry *entry = entry_at(table, which, place);
		uint64		tag = pg_atomic_read_u64(tag_at(table, which, place));

		if (tag == 0)
		{
			if (!may_add)
				return NULL;
			if (pg_atomic_compare_exchange_u64(tag_at(table, which, place), &tag, hash))
			{
				entry->key = *key;
				pg_write_barrier();
				pg_atomic_write_u32(&entry->ready, 1);
				return entry;
			}
			/* somebody was quicker, and tag is what he put there */
		}
		if (tag != hash)
			continue;
		if (pg_atomic_read_u32(&entry->ready) == 0)
			return entry;
		pg_read_barrier();
		if (memcmp(&entry->key, key, sizeof(FtErrorKey)) == 0)
			return entry;
	}
	return NULL;
}

/* The entry to count in.  There is always one. */
static ErrorEntry *
entry_for(FtErrorTable *table, uint32 which, const FtErrorKey *key)
{
	ErrorEntry *entry;
	pg_atomic_uint32 *strangers = &table->generations[which].strangers;

	if (key->datname[0] != '\0' || key->usename[0] != '\0')
	{
		FtErrorKey	nameless = *key;

		entry = find_entry(table, which, key, false);
		if (entry != NULL)
			return entry;
		if (pg_atomic_fetch_add_u32(strangers, 1) < (uint32) table->kinds / 4)
			entry = find_entry(table, which, key, true);
		else
		{
			pg_atomic_fetch_sub_u32(strangers, 1);
			memset(nameless.application, 0, NAMEDATALEN);
			memset(nameless.datname, 0, NAMEDATALEN);
			memset(nameless.usename, 0, NAMEDATALEN);
			entry = find_entry(table, which, &nameless, true);
		}
	}
	else
		entry = find_entry(table, which, key, true);

	return entry != NULL ? entry : entry_at(table, which, table->kinds + key->level);
}

static void
raise_to(pg_atomic_uint64 *value, uint64 least)
{
	uint64		old = pg_atomic_read_u64(value);

	while (old < least && !pg_atomic_compare_exchange_u64(value, &old, least))
		;
}

/* Left out if somebody else is just writing the message of his. */
static void
put_message(ErrorEntry *entry, const char *message)
{
	uint64		changes = pg_atomic_read_u64(&entry->changes);

	if (changes % 2 != 0 ||
		!pg_atomic_compare_exchange_u64(&entry->changes, &changes, changes + 1))
		return;
	entry->encoding = GetDatabaseEncoding();
	ft_copy_clipped(entry->message, FT_ERROR_SUMMARY, message);
	pg_atomic_fetch_add_u64(&entry->changes, 1);
}

void
ft_error_table_count(FtErrorTable *table, const FtErrorKey *key,
					 const char *message, TimestampTz now)
{
	uint32		which = pg_atomic_read_u32(&table->current);
	ErrorEntry *entry = entry_for(table, which, key);
	uint64		none = 0;

	/* an entry with a count has a time */
	pg_atomic_compare_exchange_u64(&entry->first_seen, &none, (uint64) now);
	pg_atomic_fetch_add_u64(&entry->count, 1);
	raise_to(&entry->last_seen, (uint64) now);
	count_in_bucket(&entry->minutes[minute_of(now) % FT_ERROR_MINUTES], minute_of(now));
	put_message(entry, message);

	if (key->level >= FT_ERROR_ERROR)
		count_in_bucket(&table->generations[which].seconds[second_of(now) % FT_ERROR_SECONDS],
						second_of(now));
}

/* The message of an entry, or an empty one if it changes all the time. */
static void
read_message(ErrorEntry *entry, FtErrorCount *copy)
{
	for (int looks = 0; looks < 1000; looks++)
	{
		uint64		before = pg_atomic_read_u64(&entry->changes);

		if (before % 2 == 0)
		{
			pg_read_barrier();
			copy->encoding = entry->encoding;
			memcpy(copy->message, entry->message, FT_ERROR_SUMMARY);
			pg_read_barrier();
			if (pg_atomic_read_u64(&entry->changes) == before)
				return;
		}
		CHECK_FOR_INTERRUPTS();
	}
	copy->encoding = PG_SQL_ASCII;
	copy->message[0] = '\0';
}

FtErrorCount *
ft_error_table_read(FtErrorTable *table, int window, TimestampTz now, int *count)
{
	uint32		which = pg_atomic_read_u32(&table->current);
	uint32		first_minute = minute_of(now - (TimestampTz) window * USECS_PER_SEC);
	int			minutes = (int) (minute_of(now) - first_minute) + 1;
	int			size = table->kinds + FT_ERROR_LEVELS;
	FtErrorCount *counts = palloc_extended(mul_size(size, sizeof(FtErrorCount)), MCXT_ALLOC_HUGE);

	*count = 0;
	for (int i = 0; i < size; i++)
	{
		ErrorEntry *entry = entry_at(table, which, i);
		FtErrorCount *copy = &counts[*count];

		CHECK_FOR_INTERRUPTS();
		if (pg_atomic_read_u32(&entry->ready) == 0)
			continue;
		pg_read_barrier();
		copy->count = pg_atomic_read_u64(&entry->count);
		if (copy->count == 0)
			continue;
		copy->other = i >= table->kinds;
		copy->key = entry->key;
		copy->first_seen = (TimestampTz) pg_atomic_read_u64(&entry->first_seen);
		copy->last_seen = (TimestampTz) pg_atomic_read_u64(&entry->last_seen);
		copy->window_count = sum_of_buckets(entry->minutes, FT_ERROR_MINUTES,
											minute_of(now), minutes);
		read_message(entry, copy);
		(*count)++;
	}
	return counts;
}

uint64
ft_error_table_in_window(FtErrorTable *table, int window, TimestampTz now)
{
	Generation *generation = &table->generations[pg_atomic_read_u32(&table->current)];

	return sum_of_buckets(generation->seconds, FT_ERROR_SECONDS, second_of(now), window);
}
